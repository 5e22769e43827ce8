// SlotPool's bodies, in the order in which a lease lives: these files, and here what openers and
// maintenance do. Included where it is instantiated.
#pragma once

#include <algorithm>
#include <thread>
#include <utility>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/slot_pool.hpp>
#include <tidegate/core/slot_pool_acquire.hpp>
#include <tidegate/core/slot_pool_close.hpp>
#include <tidegate/core/slot_pool_describe.hpp>
#include <tidegate/core/slot_pool_release.hpp>

namespace tidegate::core {

template <class Sync>
SlotPool<Sync>::SlotPool(const SlotPoolLimits& limits, SlotOwner& owner)
    : limits_(limits),
      gate_mask_((limits.gates != 0
                      ? limits.gates
                      : policy::gate_count(std::thread::hardware_concurrency(), limits.max_size)) -
                 1),
      owner_(owner),
      gates_(new Gate<Sync>[gate_mask_ + 1]),
      slots_(new Slot[limits.max_size]),
      states_(limits.max_size),
      queue_(limits.max_size, 2 * (gate_mask_ + 1)),
      links_(new std::uint32_t[limits.max_size]) {
  for (std::uint32_t slot = limits.max_size; slot-- > 0;) push(empty_, slot);
}

// ---- openers ---------------------------------------------------------------------------------

template <class Sync>
std::uint32_t SlotPool<Sync>::plan_openings(For whom, std::uint32_t more_demand) noexcept {
  policy::Growth growth{.waiting = waiters_.size() + more_demand,
                        .floor = whom == For::all ? floor_ : 0,
                        .open = open_count(),
                        .opening = opening_,
                        .empty = empty_.size,
                        .max_opening = limits_.max_opening};
  // What comes back is looked for only where it spares something.
  if (growth.waiting > 0 && policy::to_open(growth) > 0) growth.coming_back = coming_back();
  const std::uint32_t count = policy::to_open(growth);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t slot = *pop(empty_);
    states_.move(slot, SlotState::empty, SlotState::opening);
    push(to_open_, slot);
  }
  opening_ += count;
  return count;
}

// A thread that acquires and releases by itself, with a hook or a wash after each lease, would find
// its own connection in `checking`, and open as many as there is room for. Whoever is counted on
// here and does not come is made up for by the owner's next grow().
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
  std::lock_guard lock(mutex_);
  return pop(to_open_);
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::reserve_to_open() noexcept {
  std::lock_guard lock(mutex_);
  if (closed_) return std::nullopt;
  const auto slot = pop(empty_);
  if (slot) {
    states_.move(*slot, SlotState::empty, SlotState::opening);
    ++opening_;
  }
  return slot;
}

template <class Sync>
void SlotPool<Sync>::opened(std::uint32_t slot) noexcept {
  hand_off(slot, SlotState::opening);
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
  std::unique_lock lock(mutex_);
  // A verdict on what was tried before a reset() says nothing of now. The new generation comes
  // before clear_rejection(), and that before whoever waits with the reset behind him: of a
  // rejection that clear_rejection() did not find here, we see that it is outdated.
  // It is as if that attempt had been given up, but it counts.
  const bool outdated = slots_[slot].generation() != generation();
  if (why != OpenFailure::aborted) failures_.fetch_add(1, std::memory_order_relaxed);
  if (why == OpenFailure::rejected && outdated) why = OpenFailure::aborted;
  --opening_;
  states_.move(slot, SlotState::opening, SlotState::empty);
  push(empty_, slot);
  std::uint32_t openings = 0;
  if (why != OpenFailure::aborted) {
    last_failure_ = why == OpenFailure::rejected ? why : OpenFailure::unavailable;
    next_attempt_ = next_attempt;
  }
  if (why == OpenFailure::rejected && open_count() == 0) {
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
    std::lock_guard lock(mutex_);
    if (keeps_floor_) floor_ = floor;
  }
  grow();
}

template <class Sync>
void SlotPool<Sync>::grow() noexcept {
  std::unique_lock lock(mutex_);
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::end_floor() noexcept {
  std::lock_guard lock(mutex_);
  keeps_floor_ = false;
  floor_ = 0;
}

template <class Sync>
void SlotPool<Sync>::clear_rejection() noexcept {
  std::lock_guard lock(mutex_);
  last_failure_ = OpenFailure::none;
}

// ---- maintenance -----------------------------------------------------------------------------

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::try_check_docked(std::uint32_t gate) noexcept {
  std::uint32_t slot = 0;
  if (!gates_[gate].take_dock(slot)) return std::nullopt;
  states_.move(slot, SlotState::out, SlotState::checking);
  return slot;
}

template <class Sync>
void SlotPool<Sync>::want_check(std::uint32_t slot) noexcept {
  std::unique_lock lock(mutex_);
  if (abandoned_) {  // nobody will look
    lock.unlock();
    return shut_down(slot, SlotState::checking);
  }
  push(to_check_, slot);
  owner_.on_retire_wanted();
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_to_check() noexcept {
  std::lock_guard lock(mutex_);
  return pop(to_check_);
}

template <class Sync>
void SlotPool<Sync>::want_chore(std::uint32_t slot) noexcept {
  std::lock_guard lock(mutex_);
  push(chores_, slot);
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_chore() noexcept {
  std::lock_guard lock(mutex_);
  return pop(chores_);
}

template <class Sync>
void SlotPool<Sync>::put_back(std::uint32_t slot) noexcept {
  hand_off(slot, SlotState::checking);
}

template <class Sync>
void SlotPool<Sync>::retire_checked(std::uint32_t slot) noexcept {
  retire(slot, SlotState::checking);
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_to_retire() noexcept {
  std::lock_guard lock(mutex_);
  return pop(to_retire_);
}

template <class Sync>
void SlotPool<Sync>::retire_again(std::uint32_t slot) noexcept {
  std::unique_lock lock(mutex_);
  if (abandoned_) return finish_abandoned(slot, lock);
  push(to_retire_, slot);
  owner_.on_retire_wanted();
}

template <class Sync>
void SlotPool<Sync>::retired(std::uint32_t slot) noexcept {
  std::unique_lock lock(mutex_);
  --retiring_;
  states_.move(slot, SlotState::retiring, SlotState::empty);
  push(empty_, slot);
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
}

// ---- looking ---------------------------------------------------------------------------------

template <class Sync>
PoolCounts SlotPool<Sync>::places() const noexcept {
  PoolCounts counts{.max = limits_.max_size};
  std::uint32_t out = 0;
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    switch (states_.get(i)) {
      case SlotState::idle: ++counts.idle; break;
      case SlotState::out: ++out; break;
      case SlotState::opening: ++counts.connecting; break;
      case SlotState::checking: ++counts.checking; break;
      case SlotState::retiring: ++counts.retiring; break;
      case SlotState::empty: break;
    }
  }
  std::uint32_t docked = 0;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    if (gate_word::has_dock(gates_[g].load())) ++docked;
  }
  docked = std::min(docked, out);  // the two were not read in one instant
  counts.leased = out - docked;
  counts.idle += docked;
  counts.waiting = waiters_.size();
  return counts;
}

template <class Sync>
PoolCounts SlotPool<Sync>::counts() const noexcept {
  PoolCounts counts = places();
  std::lock_guard lock(mutex_);
  counts.waiting = waiters_.size();
  if (const Node* oldest = waiters_.oldest()) counts.oldest_wait = Sync::now() - oldest->since;
  return counts;
}

// Under the wait mutex no slot comes into or out of these three states, and each is looked at once.
template <class Sync>
typename SlotPool<Sync>::Census SlotPool<Sync>::census() const noexcept {
  std::lock_guard lock(mutex_);
  const PoolCounts now = places();
  return {.by_state = now.idle + now.leased + now.checking, .by_books = open_count()};
}

template <class Sync>
bool SlotPool<Sync>::rejected_since(std::uint64_t failures_before) const noexcept {
  std::lock_guard lock(mutex_);
  return last_failure_ == OpenFailure::rejected &&
         (failures() > failures_before || Sync::now() < next_attempt_);
}

template <class Sync>
std::uint32_t SlotPool<Sync>::retiring() const noexcept {
  std::lock_guard lock(mutex_);
  return retiring_;
}

}  // namespace tidegate::core
