// A pool's Stats, from the counters of its parts.
#include <algorithm>
#include <cstdint>
#include <new>

#include <tidegate/base/test_point.hpp>

#include "pool/lanes/lanes.hpp"
#include "pool/pool_impl.hpp"
#include "pool/upkeep/connector.hpp"

namespace tidegate::detail {

using core::Retired;

// I7 counts: what is a difference of two counters that do not move in one step is never too high,
// but may be too low for a moment: a lease counts as waited for before it has begun, as discarded
// before it has ended; a refusal is noted before it counts as a failure. Whoever adds up counters
// takes one that goes back for one that began anew, so each shows the most that it has been. The
// whole is read before its parts.
void PoolImpl::count_into(Stats& stats) const {
  const auto& slots = core_->slots();
  const Lock lock(shown_mutex_);  // observers only; each sees all that the one before has seen
  const auto most = [](std::uint64_t& shown, std::uint64_t whole, std::uint64_t parts) {
    return shown = std::max(shown, whole - std::min(whole, parts));
  };
  std::uint64_t begun = 0;
  std::uint64_t ended = 0;
  for (std::uint32_t i = 0; i < slots.limits().max_size; ++i) {
    begun += slots.slot(i).acquired();
    ended += slots.slot(i).ended();
  }
  stats.outcomes.immediate = most(shown_.immediate, begun, core_->waited());
  stats.outcomes.waited = begun - stats.outcomes.immediate;
  stats.outcomes.timeout = core_->failed(Errc::timeout);
  stats.outcomes.unavailable = core_->failed(Errc::unavailable);
  stats.outcomes.rejected = core_->failed(Errc::rejected);
  stats.outcomes.overloaded = core_->failed(Errc::overloaded);
  stats.outcomes.hook = core_->failed(Errc::hook);
  stats.outcomes.canceled = core_->failed(Errc::canceled);
  stats.outcomes.closed = core_->failed(Errc::closed);
  stats.outcomes.would_deadlock = core_->failed(Errc::would_deadlock);
  stats.hijacked = core_->retired(Retired::hijacked);
  stats.discarded = core_->discarded();
  stats.released = most(shown_.released, ended, stats.discarded + stats.hijacked);

  stats.create_errors = slots.failures();
  try {
    stats.create_errors_by_class = connector_->refusals();
    std::uint64_t refused = 0;
    for (const auto& [sqlstate_class, count] : stats.create_errors_by_class) refused += count;
    const std::uint64_t unanswered = most(shown_.unanswered, stats.create_errors, refused);
    if (unanswered > 0) stats.create_errors_by_class["none"] = unanswered;
    stats.create_errors = refused + unanswered;
  } catch (const std::bad_alloc&) {
    stats.create_errors_by_class.clear();
  }
}

void PoolImpl::gauges_into(Stats& stats) const {
  const auto& slots = core_->slots();
  const PoolCounts counts = slots.counts();
  stats.max = counts.max;
  stats.min = config_.min_size;
  stats.min_idle = config_.min_idle;
  stats.idle = counts.idle;
  stats.leased = counts.leased;
  stats.connecting = counts.connecting;
  stats.checking = counts.checking;
  stats.pinging = counts.pinging;
  stats.resetting = counts.resetting;
  stats.in_hooks = counts.in_hooks;
  // Read at another moment than the rest: a slot that was leased then may retire now.
  TIDEGATE_TEST_POINT("stats.before_retiring");
  stats.retiring = std::min(slots.retiring(), counts.max - counts.idle - counts.leased -
                                                  counts.connecting - counts.checking);
  stats.waiting = counts.waiting;
  stats.oldest_wait = counts.oldest_wait;
  stats.peak_leased = std::max(maintenance_.peak_leased(), counts.leased);
  stats.peak_waiting = slots.peak_waiting();
}

Stats::Destroyed PoolImpl::destroyed() const {
  return {.lifetime = core_->retired(Retired::lifetime),
          .idle = core_->retired(Retired::idle),
          .broken = core_->retired(Retired::broken),
          .ping = core_->retired(Retired::ping),
          .hook = core_->retired(Retired::hook),
          .reset = core_->retired(Retired::reset),
          .dirty = core_->retired(Retired::dirty),
          .generation = core_->retired(Retired::generation),
          .shutdown = core_->slots().shut_down() + core_->retired(Retired::shutdown)};
}

Stats PoolImpl::stats() const {
  Stats stats;
  gauges_into(stats);
  count_into(stats);
  stats.waited_for = core_->waited_for();
  try {
    stats.waits = core_->waits();
    stats.waits.add(std::chrono::nanoseconds::zero(), stats.outcomes.immediate);
    stats.connects = connector_->times();
  } catch (const std::bad_alloc&) {
    stats.waits = stats.connects = {};
  }
  stats.created = core_->slots().openings();
  stats.destroyed = destroyed();
  stats.backends_abandoned = maintenance_.abandoned() + given_up_.load(std::memory_order_relaxed);
  stats.connects_stuck = core_->openers().detached();
  stats.pings = maintenance_.pings();
  stats.cancels = {.sent = cancels_->sent(),
                   .failed = cancels_->failed(),
                   .unsent = cancels_->unsent(),
                   .stuck = cancels_->stuck()};
  stats.resets = {.clean = maintenance_.resets().clean(), .failed = maintenance_.resets().failed()};
  stats.leaks_suspected = maintenance_.leaks().suspected();
  stats.leaks_returned = maintenance_.leaks().returned();
  stats.nested_acquires = nested_acquires_.load(std::memory_order_relaxed);
  stats.self_deadlocks_suspected = core_->suspicions();
  stats.role_changes = maintenance_.role_changes();
  if (lanes_ != nullptr) stats.lanes = lanes_->stats();
  return stats;
}

}  // namespace tidegate::detail
