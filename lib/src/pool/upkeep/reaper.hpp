// Reaper: ends connections that the load does not need any more, down to the floor.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include <tidegate/core/policy.hpp>
#include <tidegate/pool/config.hpp>

#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

// Decides which idle connections go, by max_idle_time; the caller ends them. Maintenance thread
// only.
class Reaper {
 public:
  using Clock = std::chrono::steady_clock;

  Reaper(const PoolConfig& config, PoolCore& core);

  void begin(Clock::time_point now) noexcept { window_began_ = now; }
  // This many are leased at the moment.
  void note_leased(std::uint32_t leased) noexcept { window_peak_ = std::max(window_peak_, leased); }

  // The idle slots, to be given before each reap(): clear(), then add() for each.
  void clear() noexcept { idle_.clear(); }
  void add(std::uint32_t slot) noexcept {
    idle_.push_back({slot, core_.slots().slot(slot).since()});
  }
  // Calls retire(slot) for each that is to go; the slot is in `checking` and belongs to the caller.
  template <class Retire>
  void reap(Clock::time_point now, const PoolCounts& counts, std::uint32_t floor,
            Retire&& retire) noexcept {
    std::uint32_t left = too_many(now, counts, floor);
    for (const Idle& idle : idle_) {
      if (left == 0) return;
      if (!core_.slots().try_check(idle.slot)) continue;  // somebody has it by now
      retire(idle.slot);
      --left;
    }
  }

 private:
  // An idle slot as it was found. Its age is a copy, because the slot's own age changes with every
  // lease, and a list cannot be sorted by that.
  struct Idle {
    std::uint32_t slot;
    core::Tick since;
  };

  std::uint32_t too_many(Clock::time_point now, const PoolCounts& counts,
                         std::uint32_t floor) noexcept;

  // Fixed after construction.
  const PoolConfig& config_;
  PoolCore& core_;

  std::vector<Idle> idle_;  // reserved for max_size
  Clock::time_point window_began_{};
  std::uint32_t window_peak_ = 0;
};

}  // namespace tidegate::detail
