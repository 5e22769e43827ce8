// PoolCounts: a pool's gauges at one moment.
#pragma once

#include <chrono>
#include <cstdint>

namespace tidegate {

// Plain data that every error of an acquire carries. The counts are read without stopping the pool,
// so they are a moment apart; leased + idle + connecting + checking + retiring never exceeds max.
struct PoolCounts {
  std::uint32_t max = 0;
  std::uint32_t leased = 0;
  std::uint32_t idle = 0;  // docked or not, ready to be leased
  std::uint32_t connecting = 0;
  std::uint32_t checking = 0;  // with maintenance, resets, a ping or a hook
  std::uint32_t waiting = 0;   // acquires that wait
  std::chrono::nanoseconds oldest_wait{};
  std::uint32_t retiring = 0;  // being closed; free again when the server process has ended, too
  // Why slots are in `checking` or `retiring`, whether that work has begun or not. Maintenance
  // looks at the age of the other slots in these states, or they wait to be ended.
  std::uint32_t pinging = 0;
  std::uint32_t resetting = 0;
  std::uint32_t in_hooks = 0;  // after_release, before_close
};

}  // namespace tidegate
