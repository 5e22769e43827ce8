// The phases of a close, one after the other.
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <tidegate/core/resource_core.hpp>

#include "pool/close/attached_users.hpp"
#include "pool/close/close_progress.hpp"
#include "pool/close/closing.hpp"
#include "pool/events.hpp"
#include "pool/lease_table.hpp"
#include "pool/upkeep/maintenance.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kHoldersShown = 3;
// A statement that begins during the cancel phase is found at the next look.
constexpr auto kLookEvery = 50ms;
// Time beyond the last phase, for threads that would have ended if they had got the processor.
constexpr auto kGrace = 30ms;

}  // namespace

// Sets the phase that errors show and how long it may take, and tells the observer of it.
void Closing::enter(std::string_view phase, std::chrono::milliseconds Plan::* bound) {
  const std::vector<LeaseInfo> leases = leases_of(parts_.core);
  {
    const Lock lock(mutex_);
    auto closed = std::make_shared<ClosedReport>(*closed_);  // errors made so far share the old one
    closed->closer.phase = phase;
    const auto shown = static_cast<std::ptrdiff_t>(std::min(kHoldersShown, leases.size()));
    closed->holders = std::make_shared<const std::string>(describe_holders(
        holders_of({leases.begin(), leases.begin() + shown}),
        static_cast<std::uint32_t>(leases.size()) - static_cast<std::uint32_t>(shown)));
    closed_ = std::move(closed);
    // In one step with the phase: a caller that shortens the phase sees both or neither.
    const Deadline end = Deadline(Clock::now()) + plan_.*bound;
    until_.store(end.at().time_since_epoch().count(), std::memory_order_relaxed);
  }
  tell(parts_.config.observer, [phase](Observer& o) { o.close_phase(phase); });
}

bool Closing::skips(std::chrono::milliseconds Plan::* bound) const {
  const Lock lock(mutex_);
  return (plan_.*bound).count() == 0;
}

// True: nobody has to be told when a connection goes, so any thread may end it.
bool Closing::tells_nobody() const noexcept {
  return !parts_.config.observer && !parts_.config.hooks.before_close;
}

bool Closing::takes_the_last() const noexcept {
  return takes_the_last_.load(std::memory_order_relaxed) && parts_.core.slots().drained(1);
}

// Returns true when the leases are back, false when the phase is over. Calls look() now and then. A
// caller that joins may have leases; from then on this does not wait for them.
bool Closing::await(std::chrono::milliseconds look_every, const std::function<void()>& look) {
  takes_the_last_.store(tells_nobody(), std::memory_order_relaxed);
  Deadline next_look = Deadline(Clock::now()) + look_every;
  for (;;) {
    const std::uint32_t own = own_.load(std::memory_order_relaxed);
    const auto wake = [&] {
      return own_.load(std::memory_order_relaxed) != own ? Deadline::now()
                                                         : earlier(until(), next_look);
    };
    if (parts_.core.slots().await_drained(wake, own)) {
      if (!has_less_to_leave_out(own)) return true;
      continue;
    }
    if (until().passed()) return false;
    if (!next_look.passed()) continue;
    look();
    next_look = Deadline(Clock::now()) + look_every;
  }
}

bool Closing::drain() {
  auto& core = parts_.core;
  core.slots().fence();
  result_.leases_at_close = count_leases(core);  // before anybody is told, and gives one back
  const auto fenced = core.slots().close();
  result_.fence = Clock::now() - began_;
  result_.waiters_rejected = fenced.waiters;
  result_.idle_closed = fenced.idle;
  result_.connects_aborted = core.openers().stop_opening();
  core.closing().request_stop();
  core.announced().request_stop();
  tell(parts_.config.observer, [](Observer& o) { o.close_phase("fence"); });

  draining_.store(true, std::memory_order_relaxed);
  enter("drain", &Plan::drain);
  CloseProgress progress;
  bool in_doubt = count_leases(core, core::current_thread_id(), Known::last_user) >
                  own_.load(std::memory_order_relaxed);
  const bool drained = await(in_doubt ? core::kSuspicious : 1s, [&] {
    if (std::exchange(in_doubt, false)) tell_if_suspicious();
    const auto spent = Clock::now() - began_;
    if (!progress.due(spent)) return;
    tell(parts_.config.observer, [&](Observer& o) {
      o.close_waits(std::chrono::duration_cast<std::chrono::nanoseconds>(spent),
                    leases_of(parts_.core));
    });
  });
  result_.drain = Clock::now() - began_ - result_.fence;
  draining_.store(false, std::memory_order_relaxed);
  if (drained) return true;
  note_left();
  note_own();
  end_of_patience();
  return parts_.core.slots().drained(own_.load(std::memory_order_relaxed));
}

// Stops waiting for what the destructor's thread used last: nobody gave it back in all that time.
void Closing::end_of_patience() noexcept {
  const Lock lock(mutex_);
  drain_over_ = true;
  const std::int32_t thread = last_.load(std::memory_order_relaxed);
  if (thread != 0) leave_out(thread, Known::last_user);
}

// This thread waits, and it acquired or last used some of the leases itself: perhaps no other
// thread is there to give them back.
void Closing::tell_if_suspicious() const noexcept {
  tell(parts_.config.observer, [&](Observer& o) {
    const auto own = leases_held_by(parts_.core, core::current_thread_id(), Known::last_user);
    if (!own.empty()) o.self_deadlock_suspected(where_, own, true);
  });
}

void Closing::note_own() noexcept {
  const long self = core::current_thread_id();
  result_.leases_of_closer = static_cast<std::uint32_t>(
      std::count_if(result_.remaining.begin(), result_.remaining.end(),
                    [self](const auto& left) { return left.lease.thread_id == self; }));
}

// Notes the leases that drain left over, and those that have begun since: a thread that got its
// connection before the fence may be slow to write the record. After the fence no slot is leased
// twice, so a slot that has been noted has nothing new.
void Closing::note_left() {
  const auto& slots = parts_.core.slots();
  noted_.resize(parts_.config.max_size);
  for (std::uint32_t i = 0; i < parts_.config.max_size; ++i) {
    if (noted_[i] || !slots.slot(i).leased()) continue;
    if (is_left_out(i)) continue;
    auto lease = lease_of(parts_.core, i);
    if (!lease) continue;
    Left left{.slot = i, .session = {}};
    parts_.core.visit(i, [&](const PooledConnection& pooled, const core::Slot&) {
      left.session = pooled.monitor;
    });
    left_.push_back(std::move(left));
    result_.remaining.push_back({.lease = std::move(*lease)});
    noted_[i] = true;
  }
}

bool Closing::still_out(std::uint32_t slot) const {
  return parts_.core.slots().slot(slot).leased();
}

void Closing::note_ended(const char* phase) {
  for (std::size_t i = 0; i < left_.size(); ++i) {
    auto& remaining = result_.remaining[i];
    if (remaining.ended_in.empty() && !still_out(left_[i].slot)) remaining.ended_in = phase;
  }
}

// Notes whether the server has canceled the statement, or how far the requests have come.
void Closing::note_canceled() {
  for (std::size_t i = 0; i < left_.size(); ++i) {
    if (!left_[i].asked_to_cancel) continue;
    const pq::CancelTally before = left_[i].before_cancel;
    const pq::CancelTally now = left_[i].session.cancels();
    auto& remaining = result_.remaining[i];
    remaining.canceled = now.canceled != before.canceled;
    // The effect of a request may be seen before the end of the request's own connection.
    const bool answered = remaining.canceled || now.answered != before.answered;
    remaining.cancel_request = answered                    ? "answered"
                               : now.reset != before.reset ? "sent, outcome unknown"
                               : now.sent != before.sent   ? "sent, not answered"
                                                           : "not sent";
  }
}

// Calls visit(Remaining&, const PooledConnection&, Left&) for each lease that is still out.
template <class Visit>
void Closing::for_each_left(Visit&& visit) {
  for (std::size_t i = 0; i < left_.size(); ++i) {
    parts_.core.visit(left_[i].slot, [&](const PooledConnection& pooled, const core::Slot&) {
      const bool waited_for = still_out(left_[i].slot) && !is_left_out(left_[i].slot);
      if (waited_for) visit(result_.remaining[i], pooled, left_[i]);
    });
  }
}

// Never waits for a request: the canceller's thread sends them, at the configured rate.
bool Closing::cancel() {
  if (skips(&Plan::cancel)) return false;
  const auto began = Clock::now();
  const std::uint64_t sent = parts_.cancels.sent();
  const std::uint64_t failed = parts_.cancels.failed();
  const std::uint64_t unsent = parts_.cancels.unsent();
  const std::uint64_t stuck = parts_.cancels.stuck();
  const auto cancel_busy = [this] {
    note_left();
    for_each_left([](CloseReport::Remaining&, const PooledConnection& pooled, Left& left) {
      if (!left.asked_to_cancel) left.before_cancel = pooled.monitor.cancels();
      if (pooled.monitor.activity().busy && pooled.monitor.cancel()) left.asked_to_cancel = true;
    });
  };
  enter("cancel", &Plan::cancel);
  cancel_busy();
  const bool drained = await(kLookEvery, cancel_busy);
  note_ended("cancel");
  note_canceled();
  if (!drained) parts_.cancels.give_up();
  result_.cancel = Clock::now() - began;
  result_.cancels_sent = parts_.cancels.sent() - sent;
  result_.cancels_failed = parts_.cancels.failed() - failed;
  result_.cancels_unsent = parts_.cancels.unsent() - unsent;
  result_.cancels_stuck = parts_.cancels.stuck() - stuck;
  if (drained) result_.outcome = Outcome::drained_after_cancel;
  return drained;
}

// Ends both directions of the socket, through the duplicate that the slot owns: the user's thread,
// or libpq on it, finds the connection lost. This touches nothing of libpq.
bool Closing::force() {
  if (skips(&Plan::force)) {
    result_.outcome = Outcome::orphaned;
    return false;
  }
  const auto began = Clock::now();
  enter("force", &Plan::force);
  const auto shut_down = [this] {
    note_left();
    for_each_left([](CloseReport::Remaining& remaining, const PooledConnection& pooled, Left&) {
      if (remaining.forced || pooled.duplicate.get() < 0) return;
      remaining.forced = ::shutdown(pooled.duplicate.get(), SHUT_RDWR) == 0;
    });
  };
  shut_down();
  const bool drained = await(kLookEvery, shut_down);
  note_ended("force");
  note_canceled();
  result_.force = Clock::now() - began;
  result_.outcome = drained ? Outcome::drained_after_force : Outcome::orphaned;
  return drained;
}

// The short way, when close waits for a last lease: this thread is awake, the maintenance thread is
// not, and the server process that ends needs a processor, too. Carries out the terminations that
// are due. True: nothing is left to do, so maintenance only has to end, and close does not wait for
// it.
bool Closing::end_by_itself(Deadline deadline) {
  auto& core = parts_.core;
  takes_the_last_.store(false, std::memory_order_relaxed);
  if (!tells_nobody()) return false;
  while (const auto slot = core.slots().take_to_retire()) core.finish(*slot);
  if (core.slots().retiring() > 0 || core.slots().places().checking > 0) return false;
  parts_.maintenance.stop_soon(deadline);
  return true;
}

// Ends everything that is not a lease: connections that terminate, hooks, connects that are being
// aborted. They have as long as the leases had. A thread that does not end by then is left behind,
// with everything that it may touch.
void Closing::end_rest(const Keep& keep) {
  auto& core = parts_.core;
  Deadline end = until();
  {
    const Lock lock(mutex_);
    if (closed_->closer.phase == "drain") {
      if (hurry_.load(std::memory_order_relaxed)) end = Deadline(Clock::now());
      end = end + plan_.cancel + plan_.force;
    } else if (closed_->closer.phase == "cancel") {
      end = end + plan_.force;
    }
  }
  if (result_.outcome == Outcome::orphaned || own_ > 0) {
    if (result_.outcome == Outcome::orphaned) note_left();
    result_.leases_orphaned = orphan_leases();
    if (result_.leases_orphaned > 0) {
      result_.outcome = Outcome::orphaned;
    } else {  // the last lease came back just now
      const bool forced = result_.force.count() > 0;
      note_ended(forced ? "force" : "cancel");
      result_.outcome = forced                       ? Outcome::drained_after_force
                        : result_.cancel.count() > 0 ? Outcome::drained_after_cancel
                                                     : Outcome::drained;
    }
  }
  const Deadline give_up = end.passed() ? Deadline(kGrace) : end + kGrace;
  const auto began = Clock::now();
  const bool maintenance_ended = end_by_itself(end) || parts_.maintenance.stop(end, give_up);
  const bool openers_ended = core.openers().stop(give_up);
  const auto now = Clock::now();
  // This time counts into the phase in which the leases came back.
  (result_.force.count() > 0    ? result_.force
   : result_.cancel.count() > 0 ? result_.cancel
                                : result_.drain) += now - began;
  if (!maintenance_ended) {
    result_.stuck_threads.push_back({.role = "maintenance",
                                     .in = "an observer",
                                     .stuck = now - began_,
                                     .thread_id = parts_.maintenance.thread_id()});
    parts_.maintenance.detach(keep.lock());
  }
  if (!openers_ended) {
    for (const auto& stuck : core.openers().running()) {
      result_.stuck_threads.push_back({.role = "opener",
                                       .in = stuck.in != nullptr ? stuck.in : "nothing",
                                       .stuck = now - stuck.since,
                                       .thread_id = stuck.thread_id});
    }
    core.openers().detach(keep.lock());
  }
  if (maintenance_ended && openers_ended) {
    // A connect that was too far along to be aborted has ended after maintenance did.
    while (const auto slot = core.slots().take_to_retire()) core.finish(*slot);
  }
  const bool orphaned = result_.outcome == Outcome::orphaned;
  tell(parts_.config.observer, [&](Observer& o) { o.close_phase(orphaned ? "orphaned" : "done"); });
}

}  // namespace tidegate::detail
