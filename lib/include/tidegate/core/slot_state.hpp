// Where each slot is: one byte per slot, dense, so that the exact scan touches few cache lines.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include <tidegate/base/assert.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::core {

enum class SlotState : std::uint8_t {
  empty,     // no resource
  opening,   // an opener makes one
  idle,      // free for whoever claims it
  out,       // leased, docked at a gate, or in somebody's hand: records and docks tell which
  checking,  // with maintenance or at a hook, or on the way there: neither idle nor leased
  retiring,  // its resource is on the way to destruction
};

constexpr std::string_view to_string(SlotState state) noexcept {
  switch (state) {
    case SlotState::empty: return "empty";
    case SlotState::opening: return "opening";
    case SlotState::idle: return "idle";
    case SlotState::out: return "out";
    case SlotState::checking: return "checking";
    case SlotState::retiring: return "retiring";
  }
  return "?";
}

// The truth about places (I2): a slot's byte names its one place, and whoever moves the slot there
// owns it. Docked slots keep `out`, so that the warm path writes no shared line but the gate's.
// Beside the state, a `queued` bit says that the idle queue holds an entry for the slot (never more
// than one). The entry may stay when the slot is idle no more; whoever dequeues it then drops it.
//
// [idle-publish] make_idle releases; claims acquire. Carries: the slot's resource and record.
template <class Sync>
class SlotStates {
 public:
  explicit SlotStates(std::uint32_t size) : size_(size), cells_(new Cell[size]) {}

  std::uint32_t size() const noexcept { return size_; }

  SlotState get(std::uint32_t slot) const noexcept {
    return state_of(cells_[slot].load(std::memory_order_acquire));
  }

  // Whether the idle queue holds an entry for the slot. For diagnostics.
  bool queued(std::uint32_t slot) const noexcept {
    return (cells_[slot].load(std::memory_order_relaxed) & kQueued) != 0;
  }

  // idle -> `to`, keeping the queue's entry. False: somebody else was faster, or it was not idle.
  bool claim(std::uint32_t slot, SlotState to) noexcept {
    std::uint8_t cell = cells_[slot].load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (state_of(cell) == SlotState::idle) {
      // [idle-publish] acquire
      if (cells_[slot].compare_exchange_weak(cell, with_state(cell, to), std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  // For the thread that dequeued the slot's entry: uses the entry up; idle -> out, else false.
  bool claim_dequeued(std::uint32_t slot) noexcept {
    std::uint8_t cell = cells_[slot].load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      const bool idle = state_of(cell) == SlotState::idle;
      const auto next = static_cast<std::uint8_t>(idle ? raw(SlotState::out) : cell & ~kQueued);
      // [idle-publish] acquire; release: a later make_idle of this slot that sees queued = 0
      // enqueues only after our dequeue.
      if (cells_[slot].compare_exchange_weak(cell, next, std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
        TIDEGATE_DEBUG_ASSERT(I2, (cell & kQueued) != 0);
        return idle;
      }
    }
  }

  // `from` -> idle, for the slot's owner. True: the slot has no entry in the queue and the caller
  // must enqueue it (the bit is set already), or call enqueue_failed().
  bool make_idle(std::uint32_t slot, SlotState from) noexcept {
    std::uint8_t cell = cells_[slot].load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      TIDEGATE_ASSERT(I2, state_of(cell) == from);
      // [idle-publish] release; acquire: see claim_dequeued.
      if (cells_[slot].compare_exchange_weak(
              cell, static_cast<std::uint8_t>(raw(SlotState::idle) | kQueued),
              std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return (cell & kQueued) == 0;
      }
    }
  }

  // The queue had no room: the slot stays idle, and the scan finds it.
  void enqueue_failed(std::uint32_t slot) noexcept {
    cells_[slot].fetch_and(static_cast<std::uint8_t>(~kQueued), std::memory_order_acq_rel);
  }

  // `from` -> `to` for the slot's owner, neither of them idle. Release: the next owner acquires
  // through get() or the wait mutex.
  void move(std::uint32_t slot, SlotState from, SlotState to) noexcept {
    std::uint8_t cell = cells_[slot].load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      TIDEGATE_ASSERT(I2, state_of(cell) == from);
      if (cells_[slot].compare_exchange_weak(cell, with_state(cell, to), std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
        return;
      }
    }
  }

 private:
  using Cell = typename Sync::template Atomic<std::uint8_t>;
  static constexpr std::uint8_t kQueued = 0x80;

  static constexpr std::uint8_t raw(SlotState state) noexcept {
    return static_cast<std::uint8_t>(state);
  }
  static constexpr SlotState state_of(std::uint8_t cell) noexcept {
    return static_cast<SlotState>(cell & ~kQueued);
  }
  static constexpr std::uint8_t with_state(std::uint8_t cell, SlotState to) noexcept {
    return static_cast<std::uint8_t>((cell & kQueued) | raw(to));
  }

  std::uint32_t size_;
  std::unique_ptr<Cell[]> cells_;
};

}  // namespace tidegate::core
