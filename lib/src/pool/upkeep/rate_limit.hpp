// RateLimit: at most so many per second, evenly spread.
#pragma once

#include <chrono>
#include <cstdint>

namespace tidegate::detail {

class RateLimit {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Needs: at least 1.
  explicit RateLimit(std::uint32_t per_second) noexcept
      : interval_(std::chrono::nanoseconds(std::chrono::seconds(1)) / per_second) {}

  // Whether one may be done now; if so, it counts as done.
  bool take(TimePoint now) noexcept {
    if (now < next_) return false;
    next_ = now + interval_;
    return true;
  }
  // When the next one may be done.
  TimePoint next() const noexcept { return next_; }

 private:
  std::chrono::nanoseconds interval_;
  TimePoint next_{};
};

}  // namespace tidegate::detail
