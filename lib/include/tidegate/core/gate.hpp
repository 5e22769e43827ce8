// Gate: the state word. Closed flag, lease counter and the dock of idle slots, in one atomic.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include <tidegate/base/assert.hpp>
#include <tidegate/core/sync.hpp>
#include <tidegate/core/ticket.hpp>

namespace tidegate::core {

// Of neighbouring slots, at most 2^this many dock together.
inline constexpr unsigned kMostDockShift = 4;

// The word, and its transitions as pure functions.
//
//   bit 63      closed     nobody may enter; never cleared
//   bit 62      waiting    a strict waiter sleeps: a release takes the slow path
//   bits 32-61  leases     admissions: leases taken through this gate + acquires still looking
//   bit 31      orphaned   close gave up on these leases; only ever set together with closed
//   bits 16-27  group      whose berths these are; means nothing while all of them are free
//   bits 0-15   berths     one for each slot of that group: set while that slot is docked here
//
// Neighbouring slots form groups of 2^shift; Sync says which shift. A dock holds slots of one group
// at a time, so all slots of a small pool find room in one dock. The word names all that is docked:
// a compare-and-swap that succeeds is right however often a slot has come and gone in between.
namespace gate_word {

inline constexpr std::uint64_t kClosed = std::uint64_t{1} << 63;
inline constexpr std::uint64_t kWaiting = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kOneLease = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kLeases = ((std::uint64_t{1} << 30) - 1) << 32;
inline constexpr std::uint64_t kOrphaned = std::uint64_t{1} << 31;
inline constexpr unsigned kGroupAt = 16;
inline constexpr std::uint64_t kGroup = ((std::uint64_t{1} << 12) - 1) << kGroupAt;
inline constexpr std::uint64_t kBerths = (std::uint64_t{1} << 16) - 1;

static_assert((kClosed ^ kWaiting ^ kLeases ^ kOrphaned ^ kGroup ^ kBerths) ==
                  (kClosed | kWaiting | kLeases | kOrphaned | kGroup | kBerths),
              "each bit means one thing");
static_assert(kLeases % kOneLease == 0 && (kLeases & kOneLease) != 0, "the lowest of its bits");
static_assert(kBerths >> (1U << kMostDockShift) == 0, "a berth for each slot of a group");
static_assert((kMostSlots - 1) >> kMostDockShift <= kGroup >> kGroupAt, "each group has a number");
// One gate may count every thread of the largest process (pid_max is 2^22), plus every slot.
static_assert(kLeases / kOneLease >= (std::uint64_t{1} << 22) + kMostSlots);

constexpr bool closed(std::uint64_t w) noexcept { return (w & kClosed) != 0; }
constexpr bool waiting(std::uint64_t w) noexcept { return (w & kWaiting) != 0; }
constexpr bool orphaned(std::uint64_t w) noexcept { return (w & kOrphaned) != 0; }
constexpr std::uint32_t leases(std::uint64_t w) noexcept {
  return static_cast<std::uint32_t>((w & kLeases) >> 32);
}
constexpr bool any_docked(std::uint64_t w) noexcept { return (w & kBerths) != 0; }
constexpr std::uint32_t docked(std::uint64_t w) noexcept {
  return static_cast<std::uint32_t>(std::popcount(w & kBerths));
}
// The docked slot with the lowest index. Needs: any_docked(w).
constexpr std::uint32_t first_docked(std::uint64_t w, unsigned shift) noexcept {
  const std::uint64_t group = (w & kGroup) >> kGroupAt;
  return static_cast<std::uint32_t>(group << shift) |
         static_cast<std::uint32_t>(std::countr_zero(w));
}

// Where `slot` docks.
constexpr std::uint64_t group(std::uint32_t slot, unsigned shift) noexcept {
  return std::uint64_t{slot >> shift} << kGroupAt;
}
constexpr std::uint64_t berth(std::uint32_t slot, unsigned shift) noexcept {
  return std::uint64_t{1} << (slot & ((1U << shift) - 1));
}
constexpr bool is_docked(std::uint64_t w, std::uint32_t slot, unsigned shift) noexcept {
  return (w & berth(slot, shift)) != 0 && (w & kGroup) == group(slot, shift);
}

// One more admission. Needs: not closed.
constexpr std::uint64_t admit(std::uint64_t w) noexcept { return w + kOneLease; }
// Takes first_docked(w) without a new admission. Needs: any_docked(w).
constexpr std::uint64_t undock(std::uint64_t w) noexcept { return w & (w - 1); }
// first_docked(w) becomes a lease. Needs: not closed, any_docked(w).
constexpr std::uint64_t admit_and_undock(std::uint64_t w) noexcept { return admit(undock(w)); }
// One admission less. Needs: leases(w) > 0.
constexpr std::uint64_t leave(std::uint64_t w) noexcept { return w - kOneLease; }
// Is there room for `slot`? Slots of another group take it.
constexpr bool has_room(std::uint64_t w, std::uint32_t slot, unsigned shift) noexcept {
  return (w & kGroup) == group(slot, shift) || !any_docked(w);
}
// May a release dock `slot` right here?
constexpr bool may_dock(std::uint64_t w, std::uint32_t slot, unsigned shift) noexcept {
  return (w & (kClosed | kWaiting)) == 0 && has_room(w, slot, shift);
}
// The same, and the group is the slot's already: one test, and in a small pool it always is.
constexpr bool may_join(std::uint64_t w, std::uint32_t slot, unsigned shift) noexcept {
  return ((w ^ group(slot, shift)) & (kClosed | kWaiting | kGroup)) == 0;
}
// The lease becomes a docked slot. Needs: may_dock(w, slot), leases(w) > 0.
constexpr std::uint64_t leave_and_dock(std::uint64_t w, std::uint32_t slot,
                                       unsigned shift) noexcept {
  return (leave(w) & ~kGroup) | group(slot, shift) | berth(slot, shift);
}
// The same for one that may_join(w).
constexpr std::uint64_t leave_and_join(std::uint64_t w, std::uint32_t slot,
                                       unsigned shift) noexcept {
  return leave(w) + berth(slot, shift);
}

}  // namespace gate_word

// One gate on its own cache line. A lease leaves through the gate by which it entered, whatever
// processor its thread runs on by then. Every change of the word is a read-modify-write, so each
// edge below also holds across changes by other threads in between (a release sequence).
//
// [dock]  leave_and_dock releases; whoever takes the slot acquires. Carries: the slot's resource.
// [leave] every leave releases; the drain check acquires. Carries: all that the lease did.
template <class Sync>
class alignas(kCacheLine) Gate {
 public:
  using Entry = core::Entry;
  struct Passed {
    Entry entry;
    std::uint32_t slot;  // with docked
  };

  // The warm half of enter(): takes a docked slot with an admission. False: nothing was done.
  bool try_enter_docked(std::uint32_t& slot) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (gate_word::closed(word) || !gate_word::any_docked(word)) [[unlikely]] {
      return false;
    }
    // The slot comes from the word as read, not as the CAS leaves it: its address is known sooner.
    slot = gate_word::first_docked(word, Sync::dock_shift());
    // [dock] acquire
    return word_.compare_exchange_strong(word, gate_word::admit_and_undock(word),
                                         std::memory_order_acquire, std::memory_order_relaxed);
  }

  // Acquire, step 1: takes a docked slot with an admission, or an admission alone, or nothing.
  Passed enter() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      if (gate_word::closed(word)) return {Entry::closed, 0};
      const bool docked = gate_word::any_docked(word);
      const std::uint64_t next =
          docked ? gate_word::admit_and_undock(word) : gate_word::admit(word);
      // [dock] acquire
      if (word_.compare_exchange_weak(word, next, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        if (!docked) return {Entry::admitted, 0};
        return {Entry::docked, gate_word::first_docked(word, Sync::dock_shift())};
      }
    }
  }

  // Release, step 2: docks `slot` here and leaves, if the gate is open, nobody waits and the dock
  // has room for it. Promises: on true this was the last touch of the pool's memory.
  bool try_leave_and_dock(std::uint32_t slot) noexcept {
    const unsigned shift = Sync::dock_shift();
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      TIDEGATE_DEBUG_ASSERT(I2, !gate_word::is_docked(word, slot, shift));
      std::uint64_t next = 0;
      if (gate_word::may_join(word, slot, shift)) [[likely]] {
        next = gate_word::leave_and_join(word, slot, shift);
      } else if (gate_word::may_dock(word, slot, shift)) {
        next = gate_word::leave_and_dock(word, slot, shift);
      } else {
        return false;
      }
      // [dock] [leave] release
      if (word_.compare_exchange_weak(word, next, std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
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

  // Has the dock no room for `slot`, whatever the flags say? Slots of another group are there.
  bool refuses(std::uint32_t slot) const noexcept {
    return !gate_word::has_room(load(), slot, Sync::dock_shift());
  }

  // Takes a docked slot for a caller that needs no new admission; false when there is none.
  bool take_docked(std::uint32_t& slot) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (gate_word::any_docked(word)) {
      // [dock] acquire
      if (word_.compare_exchange_weak(word, gate_word::undock(word), std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        slot = gate_word::first_docked(word, Sync::dock_shift());
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
