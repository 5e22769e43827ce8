#include "support/ledger.hpp"

#include <algorithm>
#include <sstream>
#include <thread>

#include "support/verdict.hpp"

namespace tidegate::stress {

// ---- thing
// ---------------------------------------------------------------------------------------

Thing::~Thing() {
  require(body_ == nullptr, "I5", "a thing was dropped, not destroyed by the pool's `destroy`");
}

void Thing::destroy() {
  const auto body = std::move(body_);
  require(body != nullptr, "I5", "a thing is destroyed that is empty already");
  body->ledger.destroyed(*body);
}

// ---- the factory
// ---------------------------------------------------------------------------------

Ledger::Ledger(std::uint32_t max_size, std::uint32_t max_waiters, std::uint32_t actors)
    : max_size_(max_size),
      max_waiters_(max_waiters),
      lines_(actors),
      books_(new Books[actors + 1]) {}

void Ledger::making() {
  const std::uint64_t now = live_.fetch_add(1, std::memory_order_relaxed) + 1;
  require(now <= max_size_, "I1", now, " things at once, max_size is ", max_size_);
}

std::unique_ptr<Thing::Body> Ledger::made() {
  add(made_);
  return std::unique_ptr<Thing::Body>(new Thing::Body{*this});
}

void Ledger::not_made(Errc why) {
  add(not_made_[static_cast<std::size_t>(why)]);
  live_.fetch_sub(1, std::memory_order_relaxed);
}

void Ledger::destroyed(Thing::Body& body) {
  const std::uint32_t owner = body.owner.load(std::memory_order_relaxed);
  require(owner == 0, "I5", "a thing is destroyed under the lease of actor ", owner - 1);
  ++body.uses;
  add(destroyed_);
  live_.fetch_sub(1, std::memory_order_relaxed);
}

// ---- a lease, in order
// ---------------------------------------------------------------------------

Ledger::Attempt Ledger::begin(Actor& actor, Deadline deadline, const std::stop_token& stop,
                              std::uint32_t attempts) {
  Books& books = line(actor.index);
  books.attempts.fetch_add(attempts, std::memory_order_relaxed);
  actor.fence = &fence_;
  actor.settled_after_fence = false;
  const bool is_timed = !deadline.is_never() && deadline != Deadline::now();
  return {deadline, stop, fence_stands(),
          is_timed ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{}};
}

void Ledger::won(Actor& actor, const Attempt& attempt, Thing& thing) {
  actor.fence = nullptr;
  Books& books = line(actor.index);
  add(books.acquired);
  const std::uint32_t before =
      thing.body().owner.exchange(actor.index + 1, std::memory_order_relaxed);
  require(before == 0, "I2", "a thing of actor ", before - 1, " was leased to actor ", actor.index);
  require(!attempt.after_fence, "I4", "an acquire that began after the fence got a lease");
  require(!actor.settled_after_fence, "I4",
          "an acquire found its slot after the fence and kept it");
  check_in_time(attempt);
  use(actor, thing);
}

void Ledger::lost(Actor& actor, const Attempt& attempt, Errc why) {
  actor.fence = nullptr;
  Books& books = line(actor.index);
  add(books.failed[static_cast<std::size_t>(why)]);
  check_in_time(attempt);
  require(!attempt.after_fence || why == Errc::closed, "I9",
          "an acquire that began after the fence ended as ", to_string(why));
  switch (why) {
    case Errc::closed: {
      // An acquire that is refused at the gate orders nothing, so the flag may come a little later.
      for (int i = 0; i < 1000 && !closing_.load(std::memory_order_relaxed); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      return require(closing_.load(std::memory_order_relaxed), "I9", "closed, and nobody closes");
    }
    case Errc::timeout:
      return require(attempt.deadline.passed(), "I9", "timeout before the deadline");
    case Errc::canceled:
      return require(attempt.stop.stop_requested(), "I9", "canceled without a stop");
    case Errc::overloaded:
      return require(max_waiters_ != 0, "I9", "overloaded, and waiters are not limited");
    case Errc::unavailable:
      require(attempt.deadline.passed(), "I9", "unavailable before the deadline");
      return require(not_made_[static_cast<std::size_t>(Errc::unavailable)].load() > 0, "I9",
                     "unavailable, and every making succeeded");
    case Errc::rejected:
      return require(not_made_[static_cast<std::size_t>(Errc::rejected)].load() > 0, "I9",
                     "rejected, and no making was");
    default: return require(false, "I9", "an acquire ended as ", to_string(why));
  }
}

// I8. What the deadline may be late by is a matter of the machine's load, so the bound is generous.
void Ledger::check_in_time(const Attempt& attempt) const {
  if (attempt.deadline.is_never() || attempt.deadline == Deadline::now()) return;
  const auto late =
      std::chrono::steady_clock::now() - std::max(attempt.deadline.at(), attempt.began);
  require(late < Watchdog::instance().limit() / 2, "I8", "an acquire ended ",
          std::chrono::duration_cast<std::chrono::milliseconds>(late).count(),
          " ms after its deadline");
}

void Ledger::use(Actor& actor, Thing& thing) {
  Thing::Body& body = thing.body();
  ++body.uses;
  body.last_user = actor.index;
}

void Ledger::ending(std::uint32_t acquirer, Thing& thing, End how) {
  const std::uint32_t before = thing.body().owner.exchange(0, std::memory_order_relaxed);
  require(before == acquirer + 1, "I2", "a thing of actor ", acquirer, " ends its lease as one of ",
          before - 1);
  add(line(acquirer).returning);
  // The slot of a hijacked thing is free before hijack() returns.
  if (how == End::hijacked) live_.fetch_sub(1, std::memory_order_relaxed);
}

void Ledger::ended(std::uint32_t who, End how) {
  Books& books = line(who);
  add(books.ended);
  if (how == End::discarded) add(books.discarded);
  if (how == End::hijacked) add(books.hijacked);
}

void Ledger::aside(Actor& actor, Thing& thing) {
  const std::uint32_t before =
      thing.body().owner.exchange(actor.index + 1, std::memory_order_relaxed);
  require(before == 0, "I2", "a thing of actor ", before - 1, " was set aside for a look");
  use(actor, thing);
}

void Ledger::looked_at(Actor& actor, Thing& thing) {
  const std::uint32_t before = thing.body().owner.exchange(0, std::memory_order_relaxed);
  require(before == actor.index + 1, "I2", "a thing that was set aside went to actor ", before - 1);
}

// ---- close
// ---------------------------------------------------------------------------------------

void Ledger::closing(Actor& closer) {
  if (!closing_.exchange(true, std::memory_order_relaxed)) closed_in_use_ = in_use();
  closer.raises = &fence_;
}

void Ledger::closed(Actor& closer, bool drained) {
  closer.raises = nullptr;
  // Release: an acquirer that sees the flag begins after the fence.
  fence_.store(true, std::memory_order_release);
  if (!drained) return;
  const std::uint64_t begun = sum(&Books::acquired);
  const std::uint64_t returning = sum(&Books::returning);
  require(begun == returning, "I7", "close says drained, and ", begun - returning,
          " leases are out");
  if (holding_.load() > 0) return;
  require(live() == 0, "I5", "close says drained, and ", live(), " things live on");
}

// ---- audits
// --------------------------------------------------------------------------------------

std::uint64_t Ledger::sum(Count Books::* count) const noexcept {
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i <= lines_; ++i) {
    total += (books_[i].*count).load(std::memory_order_relaxed);
  }
  return total;
}

std::uint64_t Ledger::failed(Errc code) const noexcept {
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i <= lines_; ++i) {
    total += books_[i].failed[static_cast<std::size_t>(code)].load(std::memory_order_relaxed);
  }
  return total;
}

// Somebody is in an acquire, or has a lease.
bool Ledger::in_use() const noexcept {
  std::uint64_t over = sum(&Books::ended);
  for (std::size_t i = 0; i < kErrcCount; ++i) over += failed(static_cast<Errc>(i));
  return sum(&Books::attempts) > over;
}

void Ledger::compare(const core::ResourceStats& stats, bool done) const {
  const auto same = [](const char* what, std::uint64_t pool, std::uint64_t ledger) {
    require(pool == ledger, "I7", what, ": the pool has ", pool, ", the ledger ", ledger);
  };
  same("leases begun", stats.acquired, sum(&Books::acquired));
  same("leases ended", stats.ended, sum(&Books::ended));
  same("leases out", stats.acquired - stats.ended, 0);
  same("hijacked", stats.hijacked, sum(&Books::hijacked));
  std::uint64_t outcomes = sum(&Books::acquired);
  for (std::size_t i = 0; i < kErrcCount; ++i) {
    const auto code = static_cast<Errc>(i);
    same(to_string(code).data(), stats.failed[i], failed(code));
    outcomes += failed(code);
  }
  same("attempts", outcomes, sum(&Books::attempts));
  require(stats.waited <= stats.acquired, "I7", "more leases after a wait than leases");
  // A reset discards, too.
  require(stats.discarded >= sum(&Books::discarded), "I7", "discarded: the pool has ",
          stats.discarded, ", the ledger ", sum(&Books::discarded));
  if (!done) return;
  const auto not_made = [this](Errc code) {
    return not_made_[static_cast<std::size_t>(code)].load(std::memory_order_relaxed);
  };
  same("created", stats.created, made_.load(std::memory_order_relaxed));
  same("not created", stats.create_failed, not_made(Errc::unavailable) + not_made(Errc::rejected));
}

void Ledger::nothing_left() const {
  require(live() == 0, "I5", live(), " things live on after the pool is gone");
  const std::uint64_t made = made_.load(std::memory_order_relaxed);
  const std::uint64_t destroyed = destroyed_.load(std::memory_order_relaxed);
  const std::uint64_t hijacked = sum(&Books::hijacked);
  require(made == destroyed + hijacked, "I5", made, " made, ", destroyed, " destroyed, ", hijacked,
          " hijacked");
  require(sum(&Books::acquired) == sum(&Books::ended), "I7", sum(&Books::acquired),
          " leases began and ", sum(&Books::ended), " ended");
}

// ---- progress
// ------------------------------------------------------------------------------------

Ledger::~Ledger() {
  Watchdog::instance().count({.acquires = sum(&Books::attempts),
                              .leases = sum(&Books::ended),
                              .closes = closed_in_use_ ? 1U : 0U});
}

Watchdog::Progress Ledger::progress(const PoolCounts& counts) const {
  std::ostringstream text;
  text << "leased " << counts.leased << ", idle " << counts.idle << ", making " << counts.connecting
       << ", checking " << counts.checking << ", waiting " << counts.waiting << ", ";
  text << "things " << live() << " of " << max_size_ << "; acquired " << sum(&Books::acquired)
       << ", ended " << sum(&Books::ended);
  for (std::size_t i = 0; i < kErrcCount; ++i) {
    const auto code = static_cast<Errc>(i);
    if (const std::uint64_t n = failed(code)) text << ", " << to_string(code) << ' ' << n;
  }
  return {Watchdog::instance().tally().acquires + sum(&Books::attempts), text.str()};
}

}  // namespace tidegate::stress
