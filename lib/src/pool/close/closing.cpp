// Who closes the pool, and until when: the record, the callers, the deadlines.
#include "pool/close/closing.hpp"

#include <algorithm>
#include <utility>

#include <tidegate/base/thread.hpp>
#include <tidegate/core/sync.hpp>

#include "pool/close/attached_users.hpp"
#include "pool/events.hpp"
#include "pool/lease_table.hpp"
#include "pool/upkeep/maintenance.hpp"

namespace tidegate::detail {

// ---- the record ------------------------------------------------------------------------------

bool Closing::request(const char* reason, Location where) noexcept {
  if (parts_.core.slots().closed()) return false;
  Request none = Request::none;
  if (!request_.compare_exchange_strong(none, Request::writing, std::memory_order_relaxed)) {
    return false;
  }
  request_reason_ = reason;
  request_where_ = where;
  request_when_ = Clock::now();
  request_thread_ = core::current_thread_id();
  request_.store(Request::written, std::memory_order_release);  // pairs with publish()
  parts_.core.slots().fence();
  return true;
}

CloseRecord Closing::record_of(std::string reason, Location where) const {
  CloseRecord record{.where = where,
                     .thread_id = core::current_thread_id(),
                     .when = Clock::now(),
                     .reason = std::move(reason)};
  record.thread_name = thread_name(record.thread_id);
  return record;
}

// False: another caller wrote the record.
bool Closing::publish(std::string reason, Location where) {
  if (closed_) return false;
  const bool requested = request_.load(std::memory_order_acquire) == Request::written;
  auto closed = std::make_shared<ClosedReport>();
  closed->pool = parts_.name;
  closed->max_size = parts_.config.max_size;
  if (requested) {
    closed->closer = {.where = request_where_,
                      .thread_id = request_thread_,
                      .when = request_when_,
                      .reason = request_reason_};
    closed->closer.thread_name = thread_name(request_thread_);
  } else {
    closed->closer = record_of(std::move(reason), where);
  }
  closed->closer.phase = "fence";
  closed->attached = std::make_shared<const std::vector<std::string>>(parts_.users.names());
  closed_ = std::move(closed);
  return !requested;
}

Closing::Standing Closing::standing() const {
  const Lock lock(mutex_);
  Standing standing{.announced = announced_.has_value(), .ended = report_.has_value()};
  if (closed_) {
    standing.by = closed_->closer;
  } else if (announced_) {
    standing.by = *announced_;
  }
  return standing;
}

std::shared_ptr<const ClosedReport> Closing::closed() {
  const Lock lock(mutex_);
  publish({}, {});  // requested, and no thread has come to do it yet
  return closed_;
}

// ---- deadlines -------------------------------------------------------------------------------

// Options that are set may make a phase shorter, never longer.
void Closing::shorten(const CloseOptions& options) {
  const auto shorter = [](std::chrono::milliseconds& bound, const auto& asked) {
    if (asked) bound = std::min(bound, *asked);
  };
  const std::string& phase = closed_->closer.phase;
  const auto& asked_now = phase == "cancel"  ? options.cancel
                          : phase == "force" ? options.force
                                             : options.drain;
  if (asked_now) {
    const Deadline end = earlier(until(), Deadline(Clock::now()) + *asked_now);
    until_.store(end.at().time_since_epoch().count(), std::memory_order_relaxed);
  }
  shorter(plan_.drain, options.drain);
  shorter(plan_.cancel, options.cancel);
  shorter(plan_.force, options.force);
}

// Close does not wait for the leases of that thread, as far as they are its own.
void Closing::leave_out(std::int32_t thread, Known known) noexcept {
  last_.store(thread, std::memory_order_relaxed);
  own_known_.store(known, std::memory_order_relaxed);
  own_.store(count_leases(parts_.core, thread, known), std::memory_order_relaxed);
}

// True: one of the `own` leases that are not waited for has come back, or another thread uses it,
// so a lease that is still out may be somebody else's.
bool Closing::has_less_to_leave_out(std::uint32_t own) noexcept {
  if (own == 0) return false;
  const Lock lock(mutex_);
  leave_out(last_.load(std::memory_order_relaxed), own_known_.load(std::memory_order_relaxed));
  return own_.load(std::memory_order_relaxed) < own;
}

bool Closing::is_left_out(std::uint32_t slot) const noexcept {
  if (own_.load(std::memory_order_relaxed) == 0) return false;
  return is_of(parts_.core.slots().slot(slot), last_.load(std::memory_order_relaxed),
               own_known_.load(std::memory_order_relaxed));
}

void Closing::hurry() noexcept {
  hurry_.store(true, std::memory_order_relaxed);  // relaxed: the drain mutex carries it
  parts_.core.slots().poke_drain();
}

Deadline Closing::until() const noexcept {
  if (draining_.load(std::memory_order_relaxed) && hurry_.load(std::memory_order_relaxed)) {
    return Deadline::now();
  }
  return Deadline(Clock::time_point(Clock::duration(until_.load(std::memory_order_relaxed))));
}

// ---- the callers -----------------------------------------------------------------------------

bool Closing::announce(std::string_view reason, Location where) {
  const Lock lock(mutex_);
  if (announced_ || closed_) return false;
  announced_ = record_of(std::string(reason), where);
  announced_->phase = "lame duck";
  return true;
}

bool Closing::runs_here() const {
  const Lock lock(mutex_);
  return running_ && !report_ && runner_ == core::current_thread_id();
}

CloseReport Closing::run(const CloseOptions& options, Location where, const Keep& keep) {
  return run(options, where, keep, Caller::user);
}

CloseReport Closing::run_last(const CloseOptions& options, Location where, const Keep& keep) {
  return run(options, where, keep, Caller::destructor);
}

CloseReport Closing::run_requested(const Keep& keep) {
  return run({}, request_where_, keep, Caller::pool);
}

// Until finish() has a report, other callers may take over.
class Closing::Turn {
 public:
  explicit Turn(Closing& closing) noexcept : closing_(closing) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    const Lock lock(closing_.mutex_);
    closing_.running_ = false;
    closing_.ended_.notify_all();
  }

 private:
  Closing& closing_;
};

CloseReport Closing::run(const CloseOptions& options, Location where, const Keep& keep,
                         Caller caller) {
  const std::stop_callback on_hurry(options.hurry, [this] { hurry(); });
  {
    Lock lock(mutex_);
    if (report_) return *report_;
    if (!publish(options.reason, where) && caller != Caller::pool) {
      later_.push_back(record_of(options.reason, where));
    }
    if (caller == Caller::destructor) {
      leave_out(core::current_thread_id(),
                running_ && drain_over_ ? Known::last_user : Known::in_call);
    }
    if (running_) {
      shorten(options);
      lock.unlock();
      parts_.core.slots().poke_drain();
      lock.lock();
      ended_.wait(lock.native(),
                  [this]() TIDEGATE_REQUIRES(mutex_) { return report_.has_value() || !running_; });
      if (report_) return *report_;
    }
    running_ = true;
    runner_ = core::current_thread_id();
    drain_over_ = false;
    plan_ = {.drain = options.drain.value_or(parts_.config.close_drain),
             .cancel = options.cancel.value_or(parts_.config.close_cancel),
             .force = options.force.value_or(parts_.config.close_force)};
  }
  const Turn turn(*this);
  result_ = {};  // drop the result of a run that failed
  left_.clear();
  noted_.clear();
  {
    const Lock lock(mutex_);
    result_.closer = closed_->closer;
    result_.announced = announced_;  // there is none to come once the record is published
    result_.still_attached = *closed_->attached;
  }
  began_ = Clock::now();
  where_ = where;
  if (!drain() && !cancel()) force();
  end_rest(keep);
  return finish();
}

// Orphans the leases at most once, whoever calls it.
std::uint32_t Closing::orphan_leases() noexcept {
  if (!orphaned_) orphaned_ = parts_.core.slots().orphan_leases();
  return *orphaned_;
}

void Closing::end_without_report(const std::shared_ptr<void>& keep) noexcept {
  auto& core = parts_.core;
  core.slots().close();
  core.openers().stop_opening();
  core.closing().request_stop();
  core.announced().request_stop();
  orphan_leases();
  const Deadline give_up = Deadline(Clock::now()) + std::chrono::seconds(1);
  if (!parts_.maintenance.stop(Deadline::now(), give_up)) parts_.maintenance.detach(keep);
  if (!core.openers().stop(give_up)) core.openers().detach(keep);
}

CloseReport Closing::finish() {
  Lock lock(mutex_);
  const bool orphaned = result_.outcome == Outcome::orphaned;
  // A new object, because errors made so far share the old one.
  auto ended = std::make_shared<ClosedReport>(*closed_);
  ended->closer.phase = orphaned ? "orphaned" : "done";
  if (!orphaned) ended->holders = nullptr;
  closed_ = std::move(ended);
  result_.closer.phase = closed_->closer.phase;
  result_.later_callers = std::move(later_);
  result_.total = Clock::now() - began_;
  // The report does not change from here on.
  const CloseReport& report = report_.emplace(std::move(result_));
  ended_.notify_all();
  lock.unlock();
  // The observer is told before the report is copied, which takes memory: nobody else will tell it.
  tell(parts_.config.observer, [&report](Observer& o) { o.closed(report); });
  return report;
}

}  // namespace tidegate::detail
