// SlotPool's bodies: what maintenance does with a slot.
#pragma once

#include <optional>

#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::try_check_docked(std::uint32_t gate) noexcept {
  std::uint32_t slot = 0;
  if (!gates_[gate].take_docked(slot)) return std::nullopt;
  states_.move(slot, SlotState::out, SlotState::checking);
  return slot;
}

template <class Sync>
void SlotPool<Sync>::want_check(std::uint32_t slot) noexcept {
  Lock lock(mutex_);
  if (orphaned_) {  // nobody will look
    lock.unlock();
    return shut_down(slot, SlotState::checking);
  }
  books_.want_check(slot);
  owner_.on_retire_wanted();
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_to_check() noexcept {
  const Lock lock(mutex_);
  return books_.take_to_check();
}

template <class Sync>
void SlotPool<Sync>::want_hook_job(std::uint32_t slot) noexcept {
  const Lock lock(mutex_);
  books_.want_hook_job(slot);
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_hook_job() noexcept {
  const Lock lock(mutex_);
  return books_.take_hook_job();
}

template <class Sync>
std::uint32_t SlotPool<Sync>::hook_jobs() const noexcept {
  const Lock lock(mutex_);
  return books_.hook_jobs();
}

template <class Sync>
void SlotPool<Sync>::put_back(std::uint32_t slot) noexcept {
  make_available(slot, SlotState::checking);
}

template <class Sync>
void SlotPool<Sync>::retire_checked(std::uint32_t slot) noexcept {
  retire(slot, SlotState::checking);
}

template <class Sync>
std::optional<std::uint32_t> SlotPool<Sync>::take_to_retire() noexcept {
  const Lock lock(mutex_);
  return books_.take_to_retire();
}

template <class Sync>
void SlotPool<Sync>::end_hooked(std::uint32_t slot) noexcept {
  slots_[slot].set_errand(Errand::none);
  Lock lock(mutex_);
  if (orphaned_) {
    lock.unlock();
    return end_orphan(slot);
  }
  books_.want_end(slot);
  owner_.on_retire_wanted();
}

template <class Sync>
void SlotPool<Sync>::retired(std::uint32_t slot) noexcept {
  Lock lock(mutex_);
  books_.end_retiring(slot);
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
}

}  // namespace tidegate::core
