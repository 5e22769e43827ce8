// SlotPool's bodies, last part: the fence, the drain, and what outlives them.
#pragma once

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

// Gate after gate, so for a moment some are closed and some are not. Whoever meets a closed one
// ends the fence before it says so, or what was told Closed could still get a lease (I4, I9):
//     closer                        acquirer
//     closes gate 0
//                                   finds gate 0 closed, and is told Closed
//                                   tries again, on another processor: gate 1 is open
//     closes gate 1
// Walked by SlotPoolCloseRace.WhoIsToldClosedFindsEveryGateClosed.
template <class Sync>
void SlotPool<Sync>::fence() noexcept {
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    if (gate_word::closed(gates_[g].load())) continue;
    gates_[g].set(gate_word::kClosed);
    TIDEGATE_TEST_POINT("close.fencing");
  }
}

template <class Sync>
typename SlotPool<Sync>::Fenced SlotPool<Sync>::close() noexcept {
  Fenced fenced;
  fence();
  TIDEGATE_TEST_POINT("close.fenced");
  CallBacks<Sync> callbacks;
  {
    const Lock lock(mutex_);
    closed_ = true;
    fenced.waiters = waiters_.decide_all(wait_word::kClosed, callbacks);
    books_.drop_wanted();
  }
  callbacks.tell();
  fenced.idle = sweep();
  return fenced;
}

// After the fence no slot becomes idle for good: a release that makes its slot idle sees `closed`
// and claims it back. The sweep retires every slot that it finds, and runs again when all leases
// are back. One closer at a time, or one could return while another has a slot in hand that it has
// yet to retire.
template <class Sync>
std::uint32_t SlotPool<Sync>::sweep() noexcept {
  const Lock lock(sweep_mutex_);
  std::uint32_t count = 0;
  for (std::uint32_t slot = 0; take_any_dock(0, slot) || scan(slot); ++count) {
    TIDEGATE_TEST_POINT("close.sweeping");
    shut_down(slot, SlotState::out);
  }
  return count;
}

template <class Sync>
bool SlotPool<Sync>::await_drained(const std::function<Deadline()>& until,
                                   std::uint32_t allowed) noexcept {
  if (!drain_.await(until, allowed)) return false;
  sweep();
  return true;
}

template <class Sync>
std::uint32_t SlotPool<Sync>::orphan_leases() noexcept {
  {
    const Lock lock(mutex_);
    orphaned_ = true;  // from here whoever brings a slot back destroys its resource (finish_orphan)
  }
  return drain_.orphan([this](std::uint32_t g) { return gates_[g].set(gate_word::kOrphaned); });
}

template <class Sync>
void SlotPool<Sync>::unref(std::uint64_t count) noexcept {
  if (drain_.unref(count)) owner_.free_core();
}

}  // namespace tidegate::core
