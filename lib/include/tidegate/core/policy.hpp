// Policy: the pool's decisions as pure functions of numbers. No clock, no lock, no I/O.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>

namespace tidegate::core::policy {

// How many gates: one per core but no more than slots, a power of two, 64 at most.
constexpr std::uint32_t gate_count(std::uint32_t cores, std::uint32_t max_size) noexcept {
  return std::min(std::bit_ceil(std::clamp(cores, 1U, 64U)),
                  std::bit_floor(std::max(max_size, 1U)));
}

struct Growth {
  std::uint32_t waiting = 0;      // acquires that found nothing
  std::uint32_t floor = 0;        // resources wanted whether or not somebody waits
  std::uint32_t open = 0;         // resources that exist and are not on the way out
  std::uint32_t opening = 0;      // on their way
  std::uint32_t empty = 0;        // slots that could open
  std::uint32_t max_opening = 1;  // at once
  std::uint32_t coming_back = 0;  // open, held by nobody, and idle in a moment
};

// A resource that gets a longer look after its lease (a reset, a hook) counts as coming back for
// this time only: making another resource takes no longer, so waiters do not rely on it after that.
inline constexpr std::chrono::nanoseconds kComesBackWithin = std::chrono::milliseconds(20);

// How many slots to open now: one for each waiter without an opening under way or a resource about
// to come back, or what the floor lacks, whichever is more; limited by the empty slots and by
// max_opening.
constexpr std::uint32_t to_open(const Growth& g) noexcept {
  const std::uint64_t expected = std::uint64_t{g.opening} + g.coming_back;
  const std::uint32_t for_waiters =
      g.waiting > expected ? g.waiting - static_cast<std::uint32_t>(expected) : 0;
  const std::uint32_t have = g.open + g.opening;
  const std::uint32_t for_floor = g.floor > have ? g.floor - have : 0;
  const std::uint32_t room = g.max_opening > g.opening ? g.max_opening - g.opening : 0;
  return std::min({std::max(for_waiters, for_floor), g.empty, room});
}

// Whether a waiter gets a barge window before it insists on FIFO order. Not when the pool can grow
// (an opening takes far longer than any window), and not when the oldest waiter shows that leases
// are long (the window would only cost a second wake-up).
struct Window {
  std::chrono::nanoseconds window{};
  bool growing = false;
  bool somebody_strict = false;
  std::chrono::nanoseconds oldest_wait{};
};
constexpr bool grants_window(const Window& w) noexcept {
  if (w.window.count() <= 0 || w.growing) return false;
  return !(w.somebody_strict && w.oldest_wait / 4 >= w.window);
}

// Full-jitter exponential backoff: a uniform draw from 0 .. min(max, min * 2^(failures-1)), but at
// least `min`/2 so that a lucky draw is not a hot loop. `random` is uniform in [0, 1).
constexpr std::chrono::nanoseconds backoff(std::uint32_t failures, std::chrono::nanoseconds min,
                                           std::chrono::nanoseconds max, double random) noexcept {
  if (failures == 0) return std::chrono::nanoseconds::zero();
  auto ceiling = min;
  for (std::uint32_t i = 1; i < failures && ceiling.count() > 0 && ceiling < max; ++i) {
    ceiling = ceiling > max / 2 ? max : 2 * ceiling;
  }
  ceiling = std::min(ceiling, max);
  const auto draw = std::chrono::nanoseconds(
      static_cast<std::int64_t>(random * static_cast<double>(ceiling.count())));
  return std::max(draw, std::min(min / 2, max));
}

// How many idle resources to reap: those past the idle limit, down to the floor. `surplus` counts
// the idle resources beyond the high-water mark of concurrent leases over the last window: the
// queue rotates, so no single resource looks old, yet that many were never needed.
struct Reap {
  std::uint32_t open = 0;
  std::uint32_t floor = 0;
  std::uint32_t aged = 0;     // idle for longer than the limit
  std::uint32_t surplus = 0;  // idle and not needed for a whole window
};
constexpr std::uint32_t to_reap(const Reap& r) noexcept {
  const std::uint32_t above_floor = r.open > r.floor ? r.open - r.floor : 0;
  return std::min(std::max(r.aged, r.surplus), above_floor);
}

// How many idle resources maintenance may check at once, so that acquirers never find the pool
// empty because of checks. `idle` includes the resources that are being checked.
constexpr std::uint32_t checked_at_once(std::uint32_t idle) noexcept {
  return std::max(idle / 4, 1U);
}

// How many resources are wanted in any case: max(min_size, leased + min_idle), within max_size.
constexpr std::uint32_t floor_size(std::uint32_t min_size, std::uint32_t min_idle,
                                   std::uint32_t leased, std::uint32_t max_size) noexcept {
  const std::uint64_t for_idle = min_idle == 0 ? 0 : std::uint64_t{leased} + min_idle;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(min_size, for_idle), max_size));
}

}  // namespace tidegate::core::policy
