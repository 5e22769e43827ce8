// SlotPool's bodies: what openers do, and who asks for openings.
#pragma once

#include <optional>

#include <tidegate/core/policy.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

template <class Sync>
std::uint32_t SlotPool<Sync>::plan_openings(For whom, std::uint32_t more_demand) noexcept {
  policy::Growth growth{.waiting = waiters_.size() + more_demand,
                        .floor = whom == For::all ? floor_ : 0,
                        .open = books_.open(),
                        .opening = books_.opening(),
                        .empty = books_.empty(),
                        .max_opening = limits_.max_opening};
  // What comes back is looked for only where it spares something.
  if (growth.waiting > 0 && policy::to_open(growth) > 0) growth.coming_back = coming_back();
  const std::uint32_t count = policy::to_open(growth);
  for (std::uint32_t i = 0; i < count; ++i) books_.want_opening();
  return count;
}

// A thread that acquires and releases by itself, with a hook or a reset after each lease, would
// find its own connection in `checking`, and open as many as there is room for. Whoever is counted
// on here and does not come is made up for by the owner's next grow().
template <class Sync>
std::uint32_t SlotPool<Sync>::coming_back() const noexcept {
  const Tick oldest = tick() - policy::kComesBackWithin.count();
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    if (states_.get(i) == SlotState::checking && slots_[i].since() >= oldest) ++count;
  }
  return count;
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_to_open() noexcept {
  const Lock lock(mutex_);
  return books_.take_to_open();
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::reserve_to_open() noexcept {
  const Lock lock(mutex_);
  if (closed_) return std::nullopt;
  return books_.begin_opening();
}

template <class Sync>
void SlotPool<Sync>::opened(std::uint32_t slot) noexcept {
  make_available(slot, SlotState::opening);
}

// The slot is capacity again, and a waiter may be on its way into the list. Whoever takes the wait
// mutex last asks for the next opening (I3):
//     opener                          waiter
//                                     looks: everything is being made
//     slot := empty; finds nobody
//                                     in the list; finds an empty slot: asks for an opening
// or
//                                     in the list; finds no empty slot: asks for nothing
//     slot := empty; finds the waiter: asks for an opening
// Walked by SlotPoolRace.AnOpeningThatFailsBeforeTheWaiterIsInTheListIsAskedForByTheWaiter and
// ...WhenTheWaiterIsInTheListIsRepeatedForIt.
template <class Sync>
void SlotPool<Sync>::open_failed(std::uint32_t slot, OpenFailure why,
                                 std::chrono::steady_clock::time_point next_attempt) noexcept {
  Lock lock(mutex_);
  // A verdict on what was tried before a reset() says nothing of now. The new generation comes
  // before clear_rejection(), and that before whoever waits with the reset behind him: of a
  // rejection that clear_rejection() did not find here, we see that it is outdated.
  // It is as if that attempt had been given up, but it counts.
  const bool outdated = slots_[slot].generation() != generation();
  if (why != OpenFailure::aborted) failures_.fetch_add(1, std::memory_order_relaxed);
  if (why == OpenFailure::rejected && outdated) why = OpenFailure::aborted;
  books_.end_opening(slot);
  std::uint32_t openings = 0;
  if (why != OpenFailure::aborted) {
    last_failure_ = why == OpenFailure::rejected ? why : OpenFailure::unavailable;
    next_attempt_ = next_attempt;
  }
  if (why == OpenFailure::rejected && books_.open() == 0) {
    while (Node* node = waiters_.decide_oldest(wait_word::kRejected)) node->parker.wake();
  } else if (!closed_ && why != OpenFailure::no_thread) {
    // What the floor lacks is asked for again when the next attempt may begin, by the owner: only
    // who waits is a reason to stand in line for it.
    openings = plan_openings(why == OpenFailure::aborted ? For::all : For::waiters);
  }
  lock.unlock();
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::grow_to(std::uint32_t floor) noexcept {
  {
    const Lock lock(mutex_);
    if (keeps_floor_) floor_ = floor;
  }
  grow();
}

template <class Sync>
void SlotPool<Sync>::grow() noexcept {
  Lock lock(mutex_);
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::end_floor() noexcept {
  const Lock lock(mutex_);
  keeps_floor_ = false;
  floor_ = 0;
}

template <class Sync>
void SlotPool<Sync>::clear_rejection() noexcept {
  const Lock lock(mutex_);
  last_failure_ = OpenFailure::none;
}

}  // namespace tidegate::core
