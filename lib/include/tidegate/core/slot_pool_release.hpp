// SlotPool's bodies, second part: giving a slot back, and leaving.
#pragma once

#include <utility>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

template <class Sync>
void SlotPool<Sync>::release_slowly(Ticket ticket) noexcept {
  Gate<Sync>& gate = gates_[ticket.gate()];
  for (;;) {
    const std::uint64_t word = gate.load();
    if (gate_word::closed(word)) {
      shut_down(ticket.slot(), SlotState::out);
      return leave(ticket.gate());
    }
    if (gate_word::waiting(word)) {
      Lock lock(mutex_);
      if (const auto served = waiters_.strict() > 0 ? grant(ticket.slot()) : Decided()) {
        lock.unlock();
        served.tell();
        return leave(ticket.gate());
      }
      TIDEGATE_TEST_POINT("release.before_disarm");
      disarm();
    }
    if (gate.try_leave_and_dock(ticket.slot())) return;
    if (!gate.refuses(ticket.slot())) continue;  // a flag was set, or the dock has room by now

    // Slots of another group are docked here, so make the slot idle first, then leave. If a waiter
    // or closer has set its flag since we looked, the CAS sees the flag, and we claim the slot back
    // for it:
    //     releaser                        waiter (or closer)
    //     sees the dock taken
    //                                     waiting on all gates; scan finds nothing; parks
    //     state := idle
    //     CAS leave: sees `waiting`
    //     claims the slot back, grants it
    // If the claim fails, somebody else has the slot, which is as good. Walked by
    // SlotPoolRace.AReleaseThatMadeItsSlotIdleTakesItBackForAWaiter and ...ForTheCloser.
    TIDEGATE_TEST_POINT("release.before_idle");
    if (states_.make_idle(ticket.slot(), SlotState::out)) enqueue(ticket.slot(), ticket.gate());
    TIDEGATE_TEST_POINT("release.idle_before_leave");
    if (gate.try_leave(gate_word::kClosed | gate_word::kWaiting)) return;
    if (!states_.claim(ticket.slot(), SlotState::out)) return leave(ticket.gate());
  }
}

// Gives our `slot`, which is out, to the oldest waiter that still wants one. Returns that waiter,
// to be told after the mutex is unlocked; empty: there is none. The grant is published under the
// mutex, so a waiter that wakes is in no list any more.
template <class Sync>
typename SlotPool<Sync>::Decided SlotPool<Sync>::grant(std::uint32_t slot) noexcept {
  return waiters_.decide_oldest(wait_word::grant(slot));
}

template <class Sync>
void SlotPool<Sync>::enqueue(std::uint32_t slot, std::uint32_t hint) noexcept {
  if (!queue_.try_enqueue(slot, hint)) states_.enqueue_failed(slot);
}

// The only way besides release() by which a slot comes free. It takes the wait mutex, so a waiter
// either finds the slot in its scan or is found here. The closer takes that mutex, too, between the
// fence and its sweep, so what finishes just after the fence is either swept or retired here (I4):
//     opener (or maintenance)         closer
//     has made a resource
//                                     closed on every gate
//                                     closed_, under the wait mutex; its sweep finds nothing idle
//     sees closed_: retires it
// Walked by ResourcePoolClose.AnOpeningThatFinishesJustAfterTheFenceIsRetiredAndNeverPublished.
template <class Sync>
void SlotPool<Sync>::make_available(std::uint32_t slot, SlotState from) noexcept {
  slots_[slot].set_errand(Errand::none);
  Lock lock(mutex_);
  if (from == SlotState::opening) {
    openings_.fetch_add(1, std::memory_order_relaxed);
    last_failure_ = OpenFailure::none;
  }
  if (closed_) {
    lock.unlock();
    return shut_down(slot, from);
  }
  Decided served;
  if (!waiters_.empty()) {
    books_.hand_out(slot, from);
    from = SlotState::out;
    served = grant(slot);
  }
  const bool must_enqueue = !served && books_.make_idle(slot, from);
  const std::uint32_t openings = plan_openings();  // for those who still wait, and the floor
  lock.unlock();
  if (served) served.tell();
  if (must_enqueue) enqueue(slot, slot);
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::retire(std::uint32_t slot, SlotState from) noexcept {
  TIDEGATE_DEBUG_ASSERT(I6, !slots_[slot].leased());
  slots_[slot].set_errand(Errand::none);
  Lock lock(mutex_);
  books_.begin_retiring(slot, from);
  if (orphaned_) {
    lock.unlock();
    return end_orphan(slot);
  }
  if (owner_.ends_with_hook(slot)) {
    slots_[slot].set_errand(Errand::before_close);
    books_.want_hook_job(slot);
  } else {
    books_.want_end(slot);
  }
  owner_.on_retire_wanted();
}

// Nobody is there any more to take the retiring `slot`, so the calling thread ends it.
template <class Sync>
void SlotPool<Sync>::end_orphan(std::uint32_t slot) noexcept {
  owner_.finish_orphan(slot);
  const Lock lock(mutex_);
  books_.end_retiring(slot);
}

// Like retire(), when the only reason is that the pool is closed.
template <class Sync>
void SlotPool<Sync>::shut_down(std::uint32_t slot, SlotState from) noexcept {
  shut_down_.fetch_add(1, std::memory_order_relaxed);
  retire(slot, from);
}

template <class Sync>
void SlotPool<Sync>::discard(Ticket ticket) noexcept {
  retire(ticket.slot(), SlotState::out);
  leave(ticket.gate());
}

template <class Sync>
void SlotPool<Sync>::replace(Ticket ticket) noexcept {
  retire(ticket.slot(), SlotState::out);
}

template <class Sync>
void SlotPool<Sync>::give_to_maintenance(Ticket ticket) noexcept {
  Lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    shut_down(ticket.slot(), SlotState::out);
  } else {
    books_.give_to_maintenance(ticket.slot());
    owner_.on_retire_wanted();
    lock.unlock();
  }
  leave(ticket.gate());
}

template <class Sync>
void SlotPool<Sync>::forget(Ticket ticket) noexcept {
  Lock lock(mutex_);
  books_.forget(ticket.slot());
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
  leave(ticket.gate());
}

// The only decrement besides the warm path's and release's own CAS. On a closed gate the closer may
// be waiting for just this: pin the core, leave, look, and unpin the core as the last touch.
template <class Sync>
void SlotPool<Sync>::leave(std::uint32_t gate) noexcept {
  if (gates_[gate].try_leave(gate_word::kClosed)) return;
  ref();
  const std::uint64_t word = gates_[gate].leave_closed();
  TIDEGATE_TEST_POINT("leave.before_drain_check");
  drain_.look();
  unref(gate_word::orphaned(word) ? 2 : 1);
}

}  // namespace tidegate::core
