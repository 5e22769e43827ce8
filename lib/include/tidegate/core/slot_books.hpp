// SlotBooks: which list a slot is on, how many slots are being opened or ended, and every move of a
// slot that takes the wait mutex.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <tidegate/base/assert.hpp>
#include <tidegate/core/slot_state.hpp>

namespace tidegate::core {

// Each function is a row of the table in docs/core.md that says "wait mutex". The functions only
// move slots; SlotPool decides who gets a slot, who is woken and who is told. Moves without the
// mutex (claims, docks, set_aside) go through SlotStates alone, and their slots are on no list.
//
// A slot is on one list at most (I2), and on the list of its state. Both ends of every move assert
// that, so a move that the table does not know aborts.
//
// Needs, for every function but the constructor: the wait mutex.
template <class Sync>
class SlotBooks {
 public:
  enum class List : std::uint8_t { none, empty, to_open, to_check, hook_jobs, to_retire };

  // All slots are empty. `states` outlives the books. Throws: std::bad_alloc.
  explicit SlotBooks(SlotStates<Sync>& states)
      : states_(states), next_(new std::uint32_t[states.size()]), on_(new List[states.size()]) {
    for (std::uint32_t slot = states.size(); slot-- > 0;) {
      on_[slot] = List::none;
      push(List::empty, slot);
    }
  }

  // ---- how many ------------------------------------------------------------------------------

  std::uint32_t empty() const noexcept { return list(List::empty).size; }
  std::uint32_t opening() const noexcept { return opening_; }    // taken by somebody or not
  std::uint32_t retiring() const noexcept { return retiring_; }  // the same
  std::uint32_t hook_jobs() const noexcept { return list(List::hook_jobs).size; }
  // With a resource, and not on the way to its end: idle, out or checking.
  std::uint32_t open() const noexcept { return states_.size() - empty() - opening_ - retiring_; }
  // A resource may still come from an opening.
  bool can_grow() const noexcept { return empty() > 0 || opening_ > 0; }
  List list_of(std::uint32_t slot) const noexcept { return on_[slot]; }

  // ---- opening -------------------------------------------------------------------------------

  // empty -> opening, wanted: for take_to_open(). False: none is empty.
  bool want_opening() noexcept {
    const auto slot = begin_opening();
    if (slot) push(List::to_open, *slot);
    return slot.has_value();
  }
  // empty -> opening, being opened by the caller.
  std::optional<std::uint32_t> begin_opening() noexcept {
    const auto slot = pop(List::empty);
    if (slot) {
      states_.move(*slot, SlotState::empty, SlotState::opening);
      ++opening_;
    }
    return slot;
  }
  // opening, wanted -> being opened by the caller.
  std::optional<std::uint32_t> take_to_open() noexcept { return pop(List::to_open); }
  // opening, being opened -> empty.
  void end_opening(std::uint32_t slot) noexcept {
    move(slot, SlotState::opening, SlotState::empty);
    push(List::empty, slot);
  }
  // opening, wanted -> empty, all of them: nobody has begun on these.
  void drop_wanted() noexcept {
    while (const auto slot = pop(List::to_open)) end_opening(*slot);
  }

  // ---- coming free ---------------------------------------------------------------------------

  // opening or checking -> out, in hand.
  void hand_out(std::uint32_t slot, SlotState from) noexcept {
    TIDEGATE_ASSERT(I2, from == SlotState::opening || from == SlotState::checking);
    move(slot, from, SlotState::out);
  }
  // opening, checking or out -> idle. True: the caller must enqueue it (SlotStates::make_idle).
  bool make_idle(std::uint32_t slot, SlotState from) noexcept {
    leave(slot, from);
    return states_.make_idle(slot, from);
  }

  // ---- looked at -----------------------------------------------------------------------------

  // out -> checking, to be looked at.
  void give_to_maintenance(std::uint32_t slot) noexcept {
    move(slot, SlotState::out, SlotState::checking);
    push(List::to_check, slot);
  }
  // checking -> checking, to be looked at.
  void want_check(std::uint32_t slot) noexcept {
    TIDEGATE_ASSERT(I2, states_.get(slot) == SlotState::checking);
    push(List::to_check, slot);
  }
  std::optional<std::uint32_t> take_to_check() noexcept { return pop(List::to_check); }
  // checking or retiring -> the same, at a hook.
  void want_hook_job(std::uint32_t slot) noexcept {
    const SlotState state = states_.get(slot);
    TIDEGATE_ASSERT(I2, state == SlotState::checking || state == SlotState::retiring);
    push(List::hook_jobs, slot);
  }
  std::optional<std::uint32_t> take_hook_job() noexcept { return pop(List::hook_jobs); }

  // ---- ending --------------------------------------------------------------------------------

  // opening, checking or out -> retiring, by the caller.
  void begin_retiring(std::uint32_t slot, SlotState from) noexcept {
    TIDEGATE_ASSERT(
        I2, from == SlotState::opening || from == SlotState::checking || from == SlotState::out);
    move(slot, from, SlotState::retiring);
    ++retiring_;
  }
  // retiring -> retiring, to be ended.
  void want_end(std::uint32_t slot) noexcept {
    TIDEGATE_ASSERT(I2, states_.get(slot) == SlotState::retiring);
    push(List::to_retire, slot);
  }
  std::optional<std::uint32_t> take_to_retire() noexcept { return pop(List::to_retire); }
  // retiring -> empty.
  void end_retiring(std::uint32_t slot) noexcept {
    --retiring_;
    move(slot, SlotState::retiring, SlotState::empty);
    push(List::empty, slot);
  }
  // out -> empty: the resource has gone with its holder.
  void forget(std::uint32_t slot) noexcept {
    move(slot, SlotState::out, SlotState::empty);
    push(List::empty, slot);
  }

 private:
  static constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  // Intrusive, through next_.
  struct Chain {
    std::uint32_t head = kEnd;
    std::uint32_t size = 0;
  };

  Chain& list(List which) noexcept { return lists_[static_cast<std::size_t>(which)]; }
  const Chain& list(List which) const noexcept { return lists_[static_cast<std::size_t>(which)]; }
  void push(List which, std::uint32_t slot) noexcept {
    TIDEGATE_ASSERT(I2, on_[slot] == List::none);
    Chain& chain = list(which);
    on_[slot] = which;
    next_[slot] = chain.head;
    chain.head = slot;
    ++chain.size;
  }
  std::optional<std::uint32_t> pop(List which) noexcept {
    Chain& chain = list(which);
    if (chain.head == kEnd) return std::nullopt;
    const std::uint32_t slot = chain.head;
    chain.head = next_[slot];
    --chain.size;
    on_[slot] = List::none;
    return slot;
  }
  // Runs when a slot leaves its state: the slot must be on no list where others could find it.
  void leave(std::uint32_t slot, SlotState from) noexcept {
    TIDEGATE_ASSERT(I2, on_[slot] == List::none);
    if (from == SlotState::opening) --opening_;
  }
  void move(std::uint32_t slot, SlotState from, SlotState to) noexcept {
    leave(slot, from);
    states_.move(slot, from, to);
  }

  SlotStates<Sync>& states_;
  const std::unique_ptr<std::uint32_t[]> next_;
  const std::unique_ptr<List[]> on_;
  std::array<Chain, 6> lists_{};
  std::uint32_t opening_ = 0;
  std::uint32_t retiring_ = 0;
};

}  // namespace tidegate::core
