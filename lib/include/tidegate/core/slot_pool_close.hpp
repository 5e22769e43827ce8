// SlotPool's bodies, last part: the fence, the drain, and what outlives them.
#pragma once

#include <mutex>
#include <thread>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

template <class Sync>
typename SlotPool<Sync>::Fenced SlotPool<Sync>::close() noexcept {
  Fenced fenced;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) gates_[g].set(gate_word::kClosed);
  TIDEGATE_TEST_POINT("close.fenced");
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    while (Node* node = waiters_.decide_oldest(wait_word::kClosed)) {
      node->parker.wake();
      ++fenced.waiters;
    }
    while (const auto slot = pop(to_open_)) {  // nobody has begun on these
      --opening_;
      states_.move(*slot, SlotState::opening, SlotState::empty);
      push(empty_, *slot);
    }
  }
  fenced.idle = sweep();
  return fenced;
}

// After the fence nothing becomes idle for good: a release that makes its slot idle meets `closed`
// and claims it back. What the sweep finds it retires; it is repeated when all leases are back. One
// closer at a time, or one could return while another has a slot in hand that it has yet to retire.
template <class Sync>
std::uint32_t SlotPool<Sync>::sweep() noexcept {
  std::lock_guard lock(sweep_mutex_);
  std::uint32_t count = 0;
  for (std::uint32_t slot = 0; take_any_dock(0, slot) || scan(slot); ++count) {
    TIDEGATE_TEST_POINT("close.sweeping");
    shut_down(slot, SlotState::out);
  }
  return count;
}

// After `closed` a gate's count only falls, so reading zero once on each proves zero on all.
template <class Sync>
bool SlotPool<Sync>::drained() const noexcept {
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    const std::uint64_t word = gates_[g].load();
    if (!gate_word::closed(word) || gate_word::leases(word) != 0) return false;
  }
  return true;
}

template <class Sync>
bool SlotPool<Sync>::await_drained(Deadline deadline) noexcept {
  for (int i = 0; i < Sync::kSpins + Sync::kYields && !drained(); ++i) {
    if (i >= Sync::kSpins) {
      std::this_thread::yield();
    } else {
      Sync::relax();
    }
  }
  {
    std::unique_lock lock(drain_mutex_);
    const auto done = [this] { return drained(); };
    if (deadline.is_never()) {
      drain_.wait(lock, done);
    } else if (!drain_.wait_until(lock, deadline.at(), done)) {
      return false;
    }
  }
  sweep();
  return true;
}

// The bias keeps refs_ above zero while leavers that saw `orphaned` already give theirs back.
template <class Sync>
std::uint32_t SlotPool<Sync>::abandon() noexcept {
  constexpr std::uint64_t kBias = std::uint64_t{1} << 40;
  {
    std::lock_guard lock(mutex_);
    abandoned_ = true;  // from here whoever brings a slot back destroys its resource (finish_late)
  }
  refs_.fetch_add(kBias, std::memory_order_relaxed);
  std::uint64_t out = 0;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    out += gate_word::leases(gates_[g].set(gate_word::kOrphaned));
  }
  TIDEGATE_TEST_POINT("abandon.before_unbias");
  refs_.fetch_sub(kBias - out, std::memory_order_acq_rel);
  return static_cast<std::uint32_t>(out);
}

template <class Sync>
void SlotPool<Sync>::unref(std::uint64_t count) noexcept {
  // Release: all that this thread did to the core; acquire: all that the others did.
  if (refs_.fetch_sub(count, std::memory_order_acq_rel) == count) owner_.free_core();
}

}  // namespace tidegate::core
