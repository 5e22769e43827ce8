#include "pool/upkeep/reaper.hpp"

namespace tidegate::detail {

Reaper::Reaper(const PoolConfig& config, PoolCore& core) : config_(config), core_(core) {
  idle_.reserve(config.max_size);
}

// How many of idle_ are to go. Sorts idle_, the longest idle first.
std::uint32_t Reaper::too_many(Clock::time_point now, const PoolCounts& counts,
                               std::uint32_t floor) noexcept {
  if (config_.max_idle_time.count() == 0) return 0;
  const auto limit = std::chrono::nanoseconds(config_.max_idle_time);
  const core::Tick oldest_kept = (now - limit).time_since_epoch().count();
  core::policy::Reap reap{.open = counts.idle + counts.leased + counts.checking, .floor = floor};
  for (const Idle& idle : idle_) {
    if (idle.since <= oldest_kept) ++reap.aged;
  }
  // With rotation through the queue every connection is used now and then; but what the busiest
  // moment of a whole window did not need is surplus nevertheless.
  if (now - window_began_ >= limit) {
    reap.surplus = reap.open > window_peak_ ? reap.open - window_peak_ : 0;
    window_began_ = now;
    window_peak_ = counts.leased;
  }
  std::sort(idle_.begin(), idle_.end(),
            [](const Idle& a, const Idle& b) { return a.since < b.since; });
  return core::policy::to_reap(reap);
}

}  // namespace tidegate::detail
