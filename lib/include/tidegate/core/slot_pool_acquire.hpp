// SlotPool's bodies, first part: finding a slot, and waiting for one.
#pragma once

#include <algorithm>
#include <utility>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

// Step 2, cheap part: the queue, then the docks of all gates, the acquirer's own gate first.
template <class Sync>
bool SlotPool<Sync>::look(std::uint32_t gate, std::uint32_t& slot) noexcept {
  // Stale entries are used up here, one each, so the loop is bounded by the queue's length.
  while (queue_.try_dequeue(slot)) {
    if (states_.claim_dequeued(slot)) return true;
  }
  return take_any_dock(gate, slot);
}

template <class Sync>
bool SlotPool<Sync>::take_any_dock(std::uint32_t first_gate, std::uint32_t& slot) noexcept {
  for (std::uint32_t i = 0; i <= gate_mask_; ++i) {
    if (gates_[(first_gate + i) & gate_mask_].take_docked(slot)) return true;
  }
  return false;
}

// Step 2, exact part: the queue may lie about being empty, the states do not.
template <class Sync>
bool SlotPool<Sync>::scan(std::uint32_t& slot) noexcept {
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    if (states_.claim(i, SlotState::out)) {
      slot = i;
      return true;
    }
  }
  return false;
}

// Step 4. Whoever got a slot on a slow path was admitted before the fence, but may have found the
// slot after it:
//     acquirer                      closer
//     admitted at gate g
//                                   closed on every gate
//     claims an idle slot           (its sweep passes that slot by: it is out)
//     looks at g: closed -> retires it: no lease begins after the fence (I4)
// Walked by SlotPoolCloseRace.AnAcquireThatFindsItsSlotAfterTheFenceIsToldClosed.
template <class Sync>
Found SlotPool<Sync>::settle(std::uint32_t gate, std::uint32_t slot, bool waited) noexcept {
  TIDEGATE_TEST_POINT("acquire.before_settle");
  if (gate_word::closed(gates_[gate].load())) {
    fence();
    shut_down(slot, SlotState::out);
    return leave_with(gate, Errc::closed, waited);
  }
  return {std::nullopt, {slot, gate}, waited};
}

// Step 6: looks at the gate again, because the pool may have closed during a ping or a hook.
template <class Sync>
bool SlotPool<Sync>::still_open(Ticket ticket) noexcept {
  if (!gate_word::closed(gates_[ticket.gate()].load())) return true;
  fence();
  shut_down(ticket.slot(), SlotState::out);
  leave(ticket.gate());
  return false;
}

template <class Sync>
Found SlotPool<Sync>::leave_with(std::uint32_t gate, Errc error, bool waited) noexcept {
  leave(gate);
  return {error, {}, waited};
}

template <class Sync>
std::optional<Found> SlotPool<Sync>::try_find(std::uint32_t gate) noexcept {
  std::uint32_t slot = 0;
  if (!look(gate, slot)) return std::nullopt;
  return settle(gate, slot, false);
}

template <class Sync>
std::optional<Ticket> SlotPool<Sync>::find_idle(std::uint32_t gate) noexcept {
  std::uint32_t slot = 0;
  if (look(gate, slot) || scan(slot)) {
    const Found found = settle(gate, slot, false);
    if (!found.error) return found.ticket;
    return std::nullopt;
  }
  leave(gate);
  return std::nullopt;
}

template <class Sync>
Found SlotPool<Sync>::find(std::uint32_t gate, Search& search) noexcept {
  std::uint32_t slot = 0;
  // An acquire that gave its grant back keeps its place: it looks from the head of the list, below.
  if (!search.resumed && (look(gate, slot) || scan(slot))) return settle(gate, slot, false);
  if (search.stop.stop_requested()) return leave_with(gate, Errc::canceled);
  TIDEGATE_TEST_POINT("acquire.before_wait");
  return wait(gate, search);
}

// Step 3. The list, the flags and the exact scan, all under the wait mutex.
template <class Sync>
Found SlotPool<Sync>::wait(std::uint32_t gate, Search& search) noexcept {
  const bool first_turn = search.since == std::chrono::steady_clock::time_point{};

  Node node;
  Lock lock(mutex_);
  if (const auto refused = may_wait(search)) {
    lock.unlock();
    return leave_with(gate, *refused);
  }
  if (!search.deadline.passed() && (search.may_not_wait || waits_for_its_own_calls())) {
    lock.unlock();
    return leave_with(gate, Errc::would_deadlock);
  }
  if (search.deadline.passed()) {
    // The caller does not wait, but asks for an opening, so that a later try finds a slot.
    std::uint32_t slot = 0;
    const bool found = take_any_dock(gate, slot) || scan(slot);
    const std::uint32_t openings = found ? 0 : plan_openings(For::waiters, 1);
    lock.unlock();
    tell_openings(openings);
    if (found) return settle(gate, slot, false);
    return leave_with(gate, first_turn ? Errc::timeout : timeout_reason(search), !first_turn);
  }

  enlist(node, search);
  std::uint32_t word = kUndecided;
  {
    // The destructor waits for a running callback, so the node outlives every decider.
    const std::stop_callback on_stop(search.stop, [&node]() noexcept {
      if (node.parker.decide(wait_word::kCanceled)) node.parker.wake();
    });
    lock.let_go();
    word = sleep(gate, node, search);
  }
  return end_wait(gate, word, search);
}

// The same for a caller that is called back. There is no barge window: the node is strict at once,
// because a callback that finds its slot gone would only queue again. Until the mutex is free
// nobody can decide the node; from then on it may be decided, and its lease over, and the pool
// closed, so the core is pinned for what is left to do.
template <class Sync>
std::optional<Found> SlotPool<Sync>::begin_find(std::uint32_t gate, Search& search,
                                                Node& node) noexcept {
  if (search.deadline.passed()) return find(gate, search);  // which does not wait then
  std::uint32_t slot = 0;
  if (!search.resumed && (look(gate, slot) || scan(slot))) return settle(gate, slot, false);
  TIDEGATE_TEST_POINT("acquire.before_wait");
  Lock lock(mutex_);
  if (const auto refused = may_wait(search)) {
    lock.unlock();
    return leave_with(gate, *refused);
  }
  enlist(node, search);
  if (const std::uint32_t word = become_strict(gate, node); word != kUndecided) {
    lock.unlock();
    return end_wait(gate, word, search);
  }
  const std::uint32_t wanted = plan_openings();
  ref();
  lock.unlock();
  tell_openings(wanted);
  unref();
  return std::nullopt;
}

template <class Sync>
bool SlotPool<Sync>::withdraw(Node& node, std::uint32_t word) noexcept {
  if (!node.parker.decide(word)) return false;
  const Lock lock(mutex_);
  waiters_.unlink(node);
  return true;
}

// How a wait ended whose node was decided to `word`.
template <class Sync>
Found SlotPool<Sync>::end_wait(std::uint32_t gate, std::uint32_t word, Search& search) noexcept {
  if (wait_word::granted(word)) {
    search.resumed = true;
    return settle(gate, wait_word::slot(word), true);
  }
  switch (word) {
    case wait_word::kCanceled: return leave_with(gate, Errc::canceled, true);
    case wait_word::kClosed: return leave_with(gate, Errc::closed, true);
    case wait_word::kRejected: return leave_with(gate, Errc::rejected, true);
    default: return leave_with(gate, timeout_reason(search), true);
  }
}

// The error that refuses an acquire before it waits, if any.
template <class Sync>
std::optional<Errc> SlotPool<Sync>::may_wait(Search& search) noexcept {
  if (search.since == std::chrono::steady_clock::time_point{}) {
    search.failures_before = failures();
    search.openings_before = openings();
  }
  if (closed_) return Errc::closed;
  if (books_.open() == 0 && last_failure_ == OpenFailure::rejected && Sync::now() < next_attempt_) {
    return Errc::rejected;
  }
  const bool waits = !search.deadline.passed();
  if (waits && limits_.max_waiters != 0 && !search.resumed &&
      waiters_.size() >= limits_.max_waiters) {
    return Errc::overloaded;
  }
  return std::nullopt;
}

// Puts the node into the list, where a search that goes on finds its place again.
template <class Sync>
void SlotPool<Sync>::enlist(Node& node, Search& search) noexcept {
  if (search.since == std::chrono::steady_clock::time_point{}) search.since = Sync::now();
  node.since = search.since;
  search.resumed ? waiters_.push_front(node) : waiters_.push_back(node);
  if (waiters_.size() > peak_waiting()) {
    peak_waiting_.store(waiters_.size(), std::memory_order_relaxed);
  }
}

// Sleeps until the node's word is decided, by others or by us. On return the wait mutex is free,
// and the node is out of the list.
//
// Why no wake-up is lost (I3). The waiter sets `waiting` on every gate, then reads all docks and
// states; a releaser writes its slot's place, then does its read-modify-write on its gate. Both
// operate on the same word, so one comes first:
//     waiter first:   the releaser sees `waiting` and takes the wait mutex: it finds the node
//     releaser first: the waiter's read-modify-write synchronises with it: the scan finds the slot
// Walked by SlotPoolRace.AReleaseBetweenArmingAndScanningIsHandedOver, and
// SlotPoolRace.AReleaseBetweenLookingAndArmingIsFoundByTheScan.
// Everything else that frees a slot or capacity does so under the wait mutex (make_available,
// retired, open_failed, forget), and so either finds the node or is seen by the scan.
template <class Sync>
std::uint32_t SlotPool<Sync>::sleep(std::uint32_t gate, Node& node, Search& search) noexcept {
  const auto now = Sync::now();
  const policy::Window window{.window = limits_.barge_window,
                              .growing = books_.can_grow(),
                              .somebody_strict = waiters_.strict() > 0,
                              .oldest_wait = now - waiters_.oldest()->since};
  if (!search.resumed && policy::grants_window(window)) {
    // The node is listed, but not strict: releases dock past it unless another waiter is strict.
    mutex_.unlock();
    TIDEGATE_TEST_POINT("wait.in_window");
    const Deadline window_end(now + limits_.barge_window);
    const std::uint32_t word = node.parker.park(earlier(search.deadline, window_end));
    if (word != kUndecided) return decide_and_unlink(node, word);
    mutex_.lock();
  }

  if (const std::uint32_t word = become_strict(gate, node); word != kUndecided) {
    mutex_.unlock();
    return word;
  }
  const bool in_doubt = search.suspect != nullptr && seems_to_wait_for_itself();
  const std::uint32_t openings = plan_openings();
  mutex_.unlock();
  tell_openings(openings);
  TIDEGATE_TEST_POINT("wait.before_park");

  const std::uint32_t word =
      in_doubt ? park_in_doubt(node, search) : node.parker.park(search.deadline);
  return decide_and_unlink(node, word == kUndecided ? wait_word::kTimedOut : word);
}

// Strict from here: marked before the mutex is unlocked, or a release in between would miss us.
// Returns: the word, if the wait is over; a slot that the exact scan finds is a grant.
template <class Sync>
std::uint32_t SlotPool<Sync>::become_strict(std::uint32_t gate, Node& node) noexcept {
  waiters_.mark_strict(node);
  if (!node.linked) return node.parker.value();  // decided while we took the mutex
  if (!armed_) arm();
  TIDEGATE_TEST_POINT("wait.armed");
  std::uint32_t slot = 0;
  if (take_any_dock(gate, slot) || scan(slot)) {
    waiters_.unlink(node);
    return wait_word::grant(slot);
  }
  return kUndecided;
}

// A sleeping thread gets no lease, so a wait that does not look like one for itself at the
// beginning never will.
template <class Sync>
std::uint32_t SlotPool<Sync>::park_in_doubt(Node& node, Search& search) noexcept {
  const Deadline look(Sync::now() + kSuspicious);
  if (search.deadline > look) {
    const std::uint32_t word = node.parker.park(look);
    if (word != kUndecided) return word;
    if (seems_to_wait_for_itself()) search.suspect(search);
  }
  return node.parker.park(search.deadline);
}

// Ends a node's wait as `word` unless somebody was faster; a grant that won stays won. A decision
// of timed-out or canceled leaves the node in the list; every other decider took it out before.
template <class Sync>
std::uint32_t SlotPool<Sync>::decide_and_unlink(Node& node, std::uint32_t word) noexcept {
  if (word == wait_word::kTimedOut && !node.parker.decide(word)) word = node.parker.value();
  if (word == wait_word::kTimedOut || word == wait_word::kCanceled) {
    const Lock lock(mutex_);
    waiters_.unlink(node);
  }
  return word;
}

// From here every release takes the wait mutex.
template <class Sync>
void SlotPool<Sync>::arm() noexcept {
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) gates_[g].set(gate_word::kWaiting);
  armed_ = true;
}

// Needs: no strict waiter left. Clearing outside the wait mutex could undo a newcomer's arm().
template <class Sync>
void SlotPool<Sync>::disarm() noexcept {
  if (!armed_) return;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) gates_[g].clear_waiting();
  armed_ = false;
}

// A passed deadline is the server's fault when the pool could have grown and every opening since
// the wait began has failed as unavailable, or none was made because of an earlier such failure
// (I9).
template <class Sync>
Errc SlotPool<Sync>::timeout_reason(const Search& search) noexcept {
  const Lock lock(mutex_);
  const bool all_failed = last_failure_ == OpenFailure::unavailable &&
                          openings() == search.openings_before &&
                          (failures() > search.failures_before || Sync::now() < next_attempt_);
  return books_.can_grow() && all_failed ? Errc::unavailable : Errc::timeout;
}

template <class Sync>
template <class Is>
bool SlotPool<Sync>::all_leased(Is&& is) const noexcept {
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    if (!is(slots_[i]) || states_.get(i) != SlotState::out) return false;
  }
  return true;
}

// The verdict. A deadlock is certain only if every lease ends with a call that this very thread is
// in, because those calls wait for this one. A user's Lease proves nothing, wherever it was
// acquired or used last: any thread that can reach it may end it.
template <class Sync>
bool SlotPool<Sync>::waits_for_its_own_calls() const noexcept {
  const std::int32_t thread = current_thread_id();
  return all_leased([thread](const Slot& slot) { return slot.in_call_of(thread); });
}

// The suspicion: no other thread is known to use any of the leases. One may all the same.
template <class Sync>
bool SlotPool<Sync>::seems_to_wait_for_itself() const noexcept {
  const std::int32_t thread = current_thread_id();
  return all_leased([thread](const Slot& slot) { return slot.holder() == thread; });
}

}  // namespace tidegate::core
