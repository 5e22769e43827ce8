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
  // Counts what is about to come back only where that can spare an opening.
  if (growth.waiting > 0 && policy::to_open(growth) > 0) growth.coming_back = coming_back();
  const std::uint32_t count = policy::to_open(growth);
  for (std::uint32_t i = 0; i < count; ++i) books_.want_opening();
  return count;
}

// Without this, a lone thread that acquires and releases, with a hook or a reset after each lease,
// would find its own connection in `checking`, and open as many as there is room for. If a
// connection that is counted here does not come back, the owner's next grow() makes up for it.
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

// The slot is capacity again, and a waiter may be on its way into the list. The one that takes the
// wait mutex last asks for the next opening (I3):
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
  // A rejection of what was tried before a reset() says nothing about now. reset() begins the new
  // generation before clear_rejection(), and returns after both. So if clear_rejection() comes too
  // early for a rejection, we see here that the rejection is outdated. We treat it as if the
  // attempt had been given up, but count the failure.
  const bool outdated = slots_[slot].generation() != generation();
  if (why != OpenFailure::aborted) failures_.fetch_add(1, std::memory_order_relaxed);
  if (why == OpenFailure::rejected && outdated) why = OpenFailure::aborted;
  books_.end_opening(slot);
  CallBacks<Sync> callbacks;
  std::uint32_t openings = 0;
  if (why != OpenFailure::aborted) {
    last_failure_ = why == OpenFailure::rejected ? why : OpenFailure::unavailable;
    next_attempt_ = next_attempt;
  }
  if (why == OpenFailure::rejected && books_.open() == 0) {
    waiters_.decide_all(wait_word::kRejected, callbacks);
  } else if (!closed_ && why != OpenFailure::no_thread) {
    // The owner asks again for what the floor lacks when the next attempt may begin. Until then
    // only waiters are a reason to stand in line for that attempt.
    openings = plan_openings(why == OpenFailure::aborted ? For::all : For::waiters);
  }
  lock.unlock();
  callbacks.tell();
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
