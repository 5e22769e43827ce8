// Gate: the state word. Closed flag, lease counter and the dock of one idle slot, in one atomic.
#pragma once

#include <atomic>
#include <cstdint>

#include <tidegate/core/sync.hpp>
#include <tidegate/core/ticket.hpp>

namespace tidegate::core {

// The word, and its transitions as pure functions.
//
//   bit 63      closed     nobody may enter; never cleared
//   bit 62      waiting    a strict waiter sleeps: a release takes the slow path
//   bits 32-61  leases     admissions: leases taken through this gate + acquires still looking
//   bit 31      orphaned   close gave up on these leases; only ever set together with closed
//   bits 0-16   dock       slot index + 1 of one idle slot that is docked here, or 0
namespace gate_word {

inline constexpr std::uint64_t kClosed = std::uint64_t{1} << 63;
inline constexpr std::uint64_t kWaiting = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kOneLease = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kLeases = ((std::uint64_t{1} << 30) - 1) << 32;
inline constexpr std::uint64_t kOrphaned = std::uint64_t{1} << 31;
inline constexpr std::uint64_t kDock = (std::uint64_t{1} << 17) - 1;

static_assert((kClosed ^ kWaiting ^ kLeases ^ kOrphaned ^ kDock) ==
                  (kClosed | kWaiting | kLeases | kOrphaned | kDock),
              "each bit means one thing");
static_assert(kLeases % kOneLease == 0 && (kLeases & kOneLease) != 0, "the lowest of its bits");
static_assert(kDock >= kMostSlots, "the dock holds each slot's index, plus 1");
// One gate may count every thread of the largest process (pid_max is 2^22), plus every slot.
static_assert(kLeases / kOneLease >= (std::uint64_t{1} << 22) + kMostSlots);

constexpr bool closed(std::uint64_t w) noexcept { return (w & kClosed) != 0; }
constexpr bool waiting(std::uint64_t w) noexcept { return (w & kWaiting) != 0; }
constexpr bool orphaned(std::uint64_t w) noexcept { return (w & kOrphaned) != 0; }
constexpr std::uint32_t leases(std::uint64_t w) noexcept {
  return static_cast<std::uint32_t>((w & kLeases) >> 32);
}
constexpr bool has_dock(std::uint64_t w) noexcept { return (w & kDock) != 0; }
// Needs: has_dock(w).
constexpr std::uint32_t docked_slot(std::uint64_t w) noexcept {
  return static_cast<std::uint32_t>(w & kDock) - 1;
}

// One more admission. Needs: not closed.
constexpr std::uint64_t admit(std::uint64_t w) noexcept { return w + kOneLease; }
// The docked slot becomes a lease. Needs: not closed, has_dock(w).
constexpr std::uint64_t admit_and_undock(std::uint64_t w) noexcept {
  return w - (w & kDock) + kOneLease;
}
// Takes the docked slot without a new admission. Needs: has_dock(w).
constexpr std::uint64_t undock(std::uint64_t w) noexcept { return w & ~kDock; }
// One admission less. Needs: leases(w) > 0.
constexpr std::uint64_t leave(std::uint64_t w) noexcept { return w - kOneLease; }
// May a release dock its slot right here?
constexpr bool may_dock(std::uint64_t w) noexcept {
  return (w & (kClosed | kWaiting | kDock)) == 0;
}
// The lease becomes the docked slot. Needs: may_dock(w), leases(w) > 0.
constexpr std::uint64_t leave_and_dock(std::uint64_t w, std::uint32_t slot) noexcept {
  return w - kOneLease + (slot + 1);
}

}  // namespace gate_word

// One gate on its own cache line. A lease leaves through the gate by which it entered, whatever
// processor its thread runs on by then. Every change of the word is a read-modify-write, so each
// edge below also holds across changes by other threads in between (a release sequence).
//
// [dock]  leave_and_dock releases; whoever takes the dock acquires. Carries: the slot's resource.
// [leave] every leave releases; the drain check acquires. Carries: all that the lease did.
template <class Sync>
class alignas(kCacheLine) Gate {
 public:
  using Entry = core::Entry;
  struct Passed {
    Entry entry;
    std::uint32_t slot;  // with docked
  };

  // The warm half of enter(): takes the docked slot with an admission. False: nothing was done.
  bool try_enter_docked(std::uint32_t& slot) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (gate_word::closed(word) || !gate_word::has_dock(word)) [[unlikely]] {
      return false;
    }
    // The slot comes from the word as read, not as the CAS leaves it: its address is known sooner.
    slot = gate_word::docked_slot(word);
    // [dock] acquire
    return word_.compare_exchange_strong(word, gate_word::admit_and_undock(word),
                                         std::memory_order_acquire, std::memory_order_relaxed);
  }

  // Acquire, step 1: takes the docked slot with an admission, or an admission alone, or nothing.
  Passed enter() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      if (gate_word::closed(word)) return {Entry::closed, 0};
      const bool docked = gate_word::has_dock(word);
      const std::uint64_t next =
          docked ? gate_word::admit_and_undock(word) : gate_word::admit(word);
      // [dock] acquire
      if (word_.compare_exchange_weak(word, next, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        if (!docked) return {Entry::admitted, 0};
        return {Entry::docked, gate_word::docked_slot(word)};
      }
    }
  }

  // Release, step 2: docks `slot` here and leaves, if the gate is open, nobody waits and the dock
  // is free. Promises: on true this was the last touch of the pool's memory.
  bool try_leave_and_dock(std::uint32_t slot) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (gate_word::may_dock(word)) {
      // [dock] [leave] release
      if (word_.compare_exchange_weak(word, gate_word::leave_and_dock(word, slot),
                                      std::memory_order_release, std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  // Leaves unless one of `unless` (kClosed, kWaiting) is set. Promises: on true this was the last
  // touch of the pool's memory. Acquire on failure: pairs with set(); the caller then acts on what
  // the waiter or closer did before it set the flag.
  bool try_leave(std::uint64_t unless) noexcept {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    while ((word & unless) == 0) {
      // [leave] release
      if (word_.compare_exchange_weak(word, gate_word::leave(word), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  // Leaves a closed gate; returns the word as it was. Needs: closed (a gate stays closed), and a
  // pinned core, because the closer may be waiting for this very decrement.
  std::uint64_t leave_closed() noexcept {
    return word_.fetch_sub(gate_word::kOneLease, std::memory_order_acq_rel);  // [leave] release
  }

  // Takes the docked slot for a caller that needs no new admission; false when there is none.
  bool take_dock(std::uint32_t& slot) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (gate_word::has_dock(word)) {
      // [dock] acquire
      if (word_.compare_exchange_weak(word, gate_word::undock(word), std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        slot = gate_word::docked_slot(word);
        return true;
      }
    }
    return false;
  }

  // Sets closed, waiting or orphaned; returns the word as it was. A release that comes later in
  // this word's order sees the flag; the caller sees what every earlier release did.
  std::uint64_t set(std::uint64_t flag) noexcept {
    return word_.fetch_or(flag, std::memory_order_acq_rel);
  }
  // Needs: the wait mutex, and no strict waiter left.
  void clear_waiting() noexcept {
    word_.fetch_and(~gate_word::kWaiting, std::memory_order_acq_rel);
  }

  // Acquire: pairs with [leave] (the drain check) and with set(closed).
  std::uint64_t load() const noexcept { return word_.load(std::memory_order_acquire); }

 private:
  typename Sync::template Atomic<std::uint64_t> word_{0};  // no record has this offset: see Slot
};

}  // namespace tidegate::core
