// PoolCounts: a pool's gauges at one moment.
#pragma once

#include <chrono>
#include <cstdint>

namespace tidegate {

// Small, plain data that every error of an acquire carries. Read without stopping the pool, so the
// parts are a moment apart; leased + idle + connecting + checking + retiring never exceeds max.
struct PoolCounts {
  std::uint32_t max = 0;
  std::uint32_t leased = 0;
  std::uint32_t idle = 0;  // docked or not, ready to be leased
  std::uint32_t connecting = 0;
  std::uint32_t checking = 0;  // with maintenance, resets, a ping or a hook
  std::uint32_t waiting = 0;   // acquires that wait
  std::chrono::nanoseconds oldest_wait{};
  std::uint32_t retiring = 0;  // being closed: the place is free when the server has ended it, too
  // What those in `checking` and `retiring` are there for, begun or not; the others are looked at
  // for their age, or wait to be ended.
  std::uint32_t pinging = 0;
  std::uint32_t resetting = 0;
  std::uint32_t in_hooks = 0;  // after_release, before_close
};

}  // namespace tidegate
