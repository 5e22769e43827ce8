// Pauses of all lengths that matter here: none, a few instructions, a yield, a sleep.
#pragma once

#include <chrono>
#include <thread>

#include <tidegate/base/deadline.hpp>
#include <tidegate/core/sync.hpp>

#include "support/random.hpp"

namespace tidegate::stress {

// Up to `turns` spins of some nanoseconds each.
inline void spin(Random& random, std::uint32_t turns) {
  for (std::uint32_t i = random.below(turns + 1); i > 0; --i) core::StdSync::relax();
}

// As long as people hold a lease: mostly not at all, seldom asleep.
inline void hold(Random& random) {
  const std::uint32_t draw = random.below(32);
  if (draw == 0) {
    std::this_thread::sleep_for(random.up_to(std::chrono::microseconds(100)));
  } else if (draw < 4) {
    std::this_thread::yield();
  } else if (draw < 16) {
    spin(random, 200);
  }
}

// So long. What a scenario waits for it waits for by comes_true(); this is for the time that a
// fault is to last, and the like.
inline void pause(std::chrono::microseconds time) { std::this_thread::sleep_for(time); }

// What others bring about sooner or later: looks again and again, for as long as `patience`.
template <class Condition>
bool comes_true(std::chrono::nanoseconds patience, Condition&& condition) {
  for (const Deadline limit(patience); !condition();) {
    if (limit.passed()) return false;
    pause(std::chrono::microseconds(200));
  }
  return true;
}

}  // namespace tidegate::stress
