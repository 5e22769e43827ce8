// Deadline: the point on the steady clock at which a wait gives up.
#pragma once

#include <chrono>
#include <compare>
#include <limits>

namespace tidegate {

// An absolute point on the steady clock; wake-ups never extend it and the wall clock never moves
// it.
//
// Three kinds: never() (wait for ever), already passed ("only if it needs no waiting"), and a point
// in time. Implicit from any duration (counted from now; zero or negative = already passed) and
// from any steady_clock time point. Arithmetic saturates: a huge duration is never(), not an
// overflow.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;

  constexpr Deadline() noexcept = default;  // never

  template <class Rep, class Period>
  Deadline(std::chrono::duration<Rep, Period> from_now)  // NOLINT(google-explicit-constructor)
      : at_(from_now > from_now.zero() ? saturating_add(Clock::now(), from_now) : kPassed) {}

  constexpr Deadline(TimePoint at) noexcept : at_(at) {}  // NOLINT(google-explicit-constructor)
  template <class Duration>
  constexpr Deadline(  // NOLINT(google-explicit-constructor)
      std::chrono::time_point<Clock, Duration> at) noexcept
      : at_(saturating_add(TimePoint{}, at.time_since_epoch())) {}

  static constexpr Deadline never() noexcept { return {}; }
  // Already passed, without reading a clock.
  static constexpr Deadline now() noexcept { return Deadline(kPassed); }

  constexpr bool is_never() const noexcept { return at_ == kNever; }
  // Reads the clock only where the answer depends on it.
  bool passed() const noexcept {
    if (at_ == kNever) return false;
    if (at_ == kPassed) return true;
    return Clock::now() >= at_;
  }
  constexpr TimePoint at() const noexcept { return at_; }

  // Time left, never negative; duration::max() for never().
  Clock::duration remaining() const noexcept {
    if (at_ == kNever) return Clock::duration::max();
    if (at_ == kPassed) return Clock::duration::zero();
    const auto now = Clock::now();
    return now >= at_ ? Clock::duration::zero() : at_ - now;
  }

  // The same deadline, later (or earlier) by `by`; never() and an already passed one stay what they
  // are.
  template <class Rep, class Period>
  constexpr Deadline operator+(std::chrono::duration<Rep, Period> by) const noexcept {
    if (at_ == kNever || at_ == kPassed) return *this;
    return Deadline(saturating_add(at_, by));
  }

  friend constexpr auto operator<=>(Deadline, Deadline) noexcept = default;

 private:
  static constexpr TimePoint kNever = TimePoint::max();
  static constexpr TimePoint kPassed = TimePoint::min();

  // Compared in floating point, where no duration of any unit can overflow. long double holds every
  // count of the clock exactly, so only sums that leave its range are clamped.
  template <class Rep, class Period>
  static constexpr TimePoint saturating_add(TimePoint base,
                                            std::chrono::duration<Rep, Period> by) noexcept {
    using Wide = std::chrono::duration<long double, Clock::period>;
    const Wide sum = Wide(base.time_since_epoch()) + Wide(by);
    if (sum >= Wide(kNever.time_since_epoch())) return kNever;
    if (!(sum > Wide(kPassed.time_since_epoch()))) return kPassed;  // also a NaN
    return TimePoint(std::chrono::duration_cast<Clock::duration>(sum));
  }

  TimePoint at_ = kNever;
};

constexpr Deadline earlier(Deadline a, Deadline b) noexcept { return a < b ? a : b; }

}  // namespace tidegate
