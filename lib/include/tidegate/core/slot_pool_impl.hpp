// SlotPool's bodies, in the order in which a lease lives. Included where it is instantiated.
#pragma once

#include <algorithm>
#include <thread>
#include <utility>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/slot_pool.hpp>

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

// ---- acquire ---------------------------------------------------------------------------------

// Step 2, cheap part: the queue, then the docks of the other gates.
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
    if (gates_[(first_gate + i) & gate_mask_].take_dock(slot)) return true;
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

// Step 5. Whoever got a slot on a slow path was admitted before the fence, but may have found the
// slot after it:
//     acquirer                      closer
//     admitted at gate g
//                                   closed on every gate
//     claims an idle slot           (its sweep passes that slot by: it is out)
//     looks at g: closed -> retires it: no lease begins after the fence (I4)
template <class Sync>
Found SlotPool<Sync>::settle(std::uint32_t gate, std::uint32_t slot, bool waited) noexcept {
  TIDEGATE_TEST_POINT("acquire.before_settle");
  if (gate_word::closed(gates_[gate].load())) {
    shut_down(slot, SlotState::out);
    return leave_with(gate, Errc::closed, waited);
  }
  return {std::nullopt, {slot, gate}, waited};
}

template <class Sync>
Found SlotPool<Sync>::leave_with(std::uint32_t gate, Errc error, bool waited) noexcept {
  leave(gate);
  return {error, {}, waited};
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
  // One that gave its grant back keeps its place: it looks from the head of the list, below.
  if (!search.resumed && (look(gate, slot) || scan(slot))) return settle(gate, slot, false);
  if (search.stop.stop_requested()) return leave_with(gate, Errc::canceled);
  return wait(gate, search);
}

// Step 3. The list, the flags and the exact scan, all under the wait mutex.
template <class Sync>
Found SlotPool<Sync>::wait(std::uint32_t gate, Search& search) noexcept {
  const auto now = Sync::now();
  const bool first_turn = search.since == std::chrono::steady_clock::time_point{};

  Node node;
  std::unique_lock lock(mutex_);
  if (first_turn) {
    search.failures_before = failures();
    search.openings_before = openings();
  }
  if (const auto refused = may_wait(search)) {
    lock.unlock();
    return leave_with(gate, *refused);
  }
  if (search.may_not_wait && !search.deadline.passed()) {
    lock.unlock();
    return leave_with(gate, Errc::would_deadlock);
  }
  if (search.deadline.passed()) {
    // Not willing to wait; but what it lacked is asked for, so that a later try finds it.
    std::uint32_t slot = 0;
    const bool found = take_any_dock(gate, slot) || scan(slot);
    const std::uint32_t openings = found ? 0 : plan_openings(0, 1);
    lock.unlock();
    tell_openings(openings);
    if (found) return settle(gate, slot, false);
    return leave_with(gate, first_turn ? Errc::timeout : timeout_reason(search), !first_turn);
  }

  if (first_turn) search.since = now;
  node.since = search.since;
  search.resumed ? waiters_.push_front(node) : waiters_.push_back(node);
  if (waiters_.size() > peak_waiting()) {
    peak_waiting_.store(waiters_.size(), std::memory_order_relaxed);
  }
  std::uint32_t word = kUndecided;
  {
    // Its destructor waits for a callback that is running: the node outlives every decider.
    const std::stop_callback on_stop(search.stop, [&node]() noexcept {
      if (node.parker.decide(wait_word::kCanceled)) node.parker.wake();
    });
    word = sleep(gate, node, search, lock);
  }

  if (wait_word::granted(word)) {
    search.resumed = true;
    return settle(gate, wait_word::slot(word), true);
  }
  switch (word) {
    case wait_word::kCanceled: return leave_with(gate, Errc::canceled, true);
    case wait_word::kClosed: return leave_with(gate, Errc::closed, true);
    case wait_word::kRejected: return leave_with(gate, Errc::rejected, true);
    case wait_word::kDeadlocked: return leave_with(gate, Errc::would_deadlock, true);
    default: return leave_with(gate, timeout_reason(search), true);
  }
}

// Wait mutex. What refuses an acquire before it waits.
template <class Sync>
std::optional<Errc> SlotPool<Sync>::may_wait(Search& search) noexcept {
  if (closed_) return Errc::closed;
  if (open_count() == 0 && last_failure_ == OpenFailure::rejected && Sync::now() < next_attempt_) {
    return Errc::rejected;
  }
  const bool waits = !search.deadline.passed();
  if (waits && limits_.max_waiters != 0 && !search.resumed &&
      waiters_.size() >= limits_.max_waiters) {
    return Errc::overloaded;
  }
  return std::nullopt;
}

// Sleeps until the node's word is decided, by others or by us; `lock` is held on entry, not on
// return, and the node is out of the list by then.
//
// Why no wake-up is lost (I3). The waiter sets `waiting` on every gate, then reads all docks and
// states; a releaser writes its slot's place, then does its read-modify-write on its gate. Both
// are on the same word, so one comes first:
//     waiter first:   the releaser sees `waiting` and takes the wait mutex: it finds the node
//     releaser first: the waiter's read-modify-write synchronises with it: the scan finds the slot
// Everything else that frees a slot or capacity does so under the wait mutex (hand_off, retired,
// open_failed, forget), and so either finds the node or is seen by the scan.
template <class Sync>
std::uint32_t SlotPool<Sync>::sleep(std::uint32_t gate, Node& node, const Search& search,
                                    std::unique_lock<Mutex>& lock) noexcept {
  const auto now = Sync::now();
  const policy::Window window{.window = limits_.barge_window,
                              .growing = empty_.size > 0 || opening_ > 0,
                              .somebody_strict = waiters_.strict() > 0,
                              .oldest_wait = now - waiters_.oldest()->since};
  if (!search.resumed && policy::grants_window(window)) {
    // In the list, but not strict: releases pass by on the warm path unless somebody else insists.
    lock.unlock();
    TIDEGATE_TEST_POINT("wait.in_window");
    const Deadline window_end(now + limits_.barge_window);
    const std::uint32_t word = node.parker.park(earlier(search.deadline, window_end));
    if (word != kUndecided) return decide_and_unlink(node, word);
    lock.lock();
  }

  // Strict from here. Marked before the mutex is let go, or a release between would pass us by.
  waiters_.mark_strict(node);
  if (!node.linked) {  // granted, closed or rejected while we took the mutex
    lock.unlock();
    return node.parker.value();
  }
  if (!armed_) arm();
  TIDEGATE_TEST_POINT("wait.armed");
  std::uint32_t slot = 0;
  if (take_any_dock(gate, slot) || scan(slot)) {
    waiters_.unlink(node);
    lock.unlock();
    return wait_word::grant(slot);
  }
  if (empty_.size == 0 && opening_ == 0 && retiring_ == 0 && all_held_by(current_thread_id())) {
    waiters_.unlink(node);
    lock.unlock();
    return wait_word::kDeadlocked;
  }
  const std::uint32_t openings = plan_openings();
  lock.unlock();
  tell_openings(openings);
  TIDEGATE_TEST_POINT("wait.before_park");

  const std::uint32_t word = node.parker.park(search.deadline);
  return decide_and_unlink(node, word == kUndecided ? wait_word::kTimedOut : word);
}

// Ends a node's wait as `word` unless somebody was faster; a grant that won stays won. Whoever
// decided timed-out or canceled left the node in the list; all others took it out before.
template <class Sync>
std::uint32_t SlotPool<Sync>::decide_and_unlink(Node& node, std::uint32_t word) noexcept {
  if (word == wait_word::kTimedOut && !node.parker.decide(word)) word = node.parker.value();
  if (word == wait_word::kTimedOut || word == wait_word::kCanceled) {
    std::lock_guard lock(mutex_);
    waiters_.unlink(node);
  }
  return word;
}

// Wait mutex. From here every release comes to the wait mutex.
template <class Sync>
void SlotPool<Sync>::arm() noexcept {
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) gates_[g].set(gate_word::kWaiting);
  armed_ = true;
}

// Wait mutex, no strict waiter left. Cleared outside it, this could undo a newcomer's arm().
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
  std::lock_guard lock(mutex_);
  const bool could_grow = empty_.size > 0 || opening_ > 0;
  const bool all_failed = last_failure_ == OpenFailure::unavailable &&
                          openings() == search.openings_before &&
                          (failures() > search.failures_before || Sync::now() < next_attempt_);
  return could_grow && all_failed ? Errc::unavailable : Errc::timeout;
}

template <class Sync>
bool SlotPool<Sync>::all_held_by(std::int32_t thread) const noexcept {
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    if (states_.get(i) != SlotState::out || slots_[i].holder() != thread) return false;
  }
  return true;
}

// ---- release ---------------------------------------------------------------------------------

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
      std::unique_lock lock(mutex_);
      if (waiters_.strict() > 0 && grant(ticket.slot(), lock)) return leave(ticket.gate());
      TIDEGATE_TEST_POINT("release.before_disarm");
      disarm();
    }
    if (gate.try_leave_and_dock(ticket.slot())) return;
    if (!gate_word::has_dock(gate.load())) continue;  // a flag, or the dock came free meanwhile

    // The dock is taken: idle first, then leave; a waiter or closer that has set its flag since we
    // looked is met by the CAS, and the slot claimed back for it:
    //     releaser                        waiter (or closer)
    //     sees the dock taken
    //                                     waiting on all gates; scan finds nothing; parks
    //     state := idle
    //     CAS leave: sees `waiting`
    //     claims the slot back, grants it
    // If the claim fails, somebody has it, which is as good.
    TIDEGATE_TEST_POINT("release.before_idle");
    if (states_.make_idle(ticket.slot(), SlotState::out)) enqueue(ticket.slot(), ticket.gate());
    TIDEGATE_TEST_POINT("release.idle_before_leave");
    if (gate.try_leave(gate_word::kClosed | gate_word::kWaiting)) return;
    if (!states_.claim(ticket.slot(), SlotState::out)) return leave(ticket.gate());
  }
}

// Wait mutex. `slot` is out and ours: to the oldest waiter that still wants one. On true the mutex
// is free again; the grant was published under it, so a waking waiter is in no list any more.
template <class Sync>
bool SlotPool<Sync>::grant(std::uint32_t slot, std::unique_lock<Mutex>& lock) noexcept {
  Node* const node = waiters_.decide_oldest(wait_word::grant(slot));
  if (node == nullptr) return false;
  lock.unlock();
  node->parker.wake();  // the node may be gone: see Parker
  return true;
}

template <class Sync>
void SlotPool<Sync>::enqueue(std::uint32_t slot, std::uint32_t hint) noexcept {
  if (!queue_.try_enqueue(slot, hint)) states_.enqueue_failed(slot);
}

// The one way by which a slot comes free other than release(): under the wait mutex, so that a
// waiter either finds the slot in its scan or is found here.
template <class Sync>
void SlotPool<Sync>::hand_off(std::uint32_t slot, SlotState from) noexcept {
  std::unique_lock lock(mutex_);
  if (from == SlotState::opening) {
    --opening_;
    openings_.fetch_add(1, std::memory_order_relaxed);
    last_failure_ = OpenFailure::none;
  }
  if (closed_) {
    lock.unlock();
    return shut_down(slot, from);
  }
  Node* served = nullptr;
  if (!waiters_.empty()) {
    states_.move(slot, from, SlotState::out);
    from = SlotState::out;
    served = waiters_.decide_oldest(wait_word::grant(slot));
  }
  const bool must_enqueue = served == nullptr && states_.make_idle(slot, from);
  const std::uint32_t openings = plan_openings();  // for those who still wait
  lock.unlock();
  if (served != nullptr) served->parker.wake();  // the node may be gone: see Parker
  if (must_enqueue) enqueue(slot, slot);
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::retire(std::uint32_t slot, SlotState from) noexcept {
  std::unique_lock lock(mutex_);
  states_.move(slot, from, SlotState::retiring);
  ++retiring_;
  if (abandoned_) return finish_abandoned(slot, lock);
  push(to_retire_, slot);
  owner_.on_retire_wanted();
}

// `slot` is retiring, and nobody is there any more to take it: its end is on the calling thread.
template <class Sync>
void SlotPool<Sync>::finish_abandoned(std::uint32_t slot, std::unique_lock<Mutex>& lock) noexcept {
  lock.unlock();
  owner_.finish_late(slot);
  lock.lock();
  --retiring_;
  states_.move(slot, SlotState::retiring, SlotState::empty);
  push(empty_, slot);
}

// As retire(), for no other reason than that the pool is closed.
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
void SlotPool<Sync>::hand_over(Ticket ticket) noexcept {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    shut_down(ticket.slot(), SlotState::out);
  } else {
    states_.move(ticket.slot(), SlotState::out, SlotState::checking);
    push(to_check_, ticket.slot());
    owner_.on_retire_wanted();
    lock.unlock();
  }
  leave(ticket.gate());
}

template <class Sync>
void SlotPool<Sync>::forget(Ticket ticket) noexcept {
  std::unique_lock lock(mutex_);
  states_.move(ticket.slot(), SlotState::out, SlotState::empty);
  push(empty_, ticket.slot());
  const std::uint32_t openings = closed_ ? 0 : plan_openings();
  lock.unlock();
  tell_openings(openings);
  leave(ticket.gate());
}

// The one decrement outside the warm path (and release's own CAS). On a closed gate the closer may
// be waiting for just this: pin the core, leave, look, and let go of the core as the last touch.
template <class Sync>
void SlotPool<Sync>::leave(std::uint32_t gate) noexcept {
  if (gates_[gate].try_leave(gate_word::kClosed)) return;
  ref();
  const std::uint64_t word = gates_[gate].leave_closed();
  TIDEGATE_TEST_POINT("leave.before_drain_check");
  {
    // Under the mutex the checks of several leavers come one after another, each seeing all
    // decrements before it: the last one sees zero everywhere.
    std::lock_guard lock(drain_mutex_);
    if (drained()) drain_.notify_all();
  }
  unref(gate_word::orphaned(word) ? 2 : 1);
}

// ---- openers ---------------------------------------------------------------------------------

template <class Sync>
std::uint32_t SlotPool<Sync>::plan_openings(std::uint32_t floor,
                                            std::uint32_t more_demand) noexcept {
  const std::uint32_t count = policy::to_open({.waiting = waiters_.size() + more_demand,
                                               .floor = floor,
                                               .open = open_count(),
                                               .opening = opening_,
                                               .empty = empty_.size,
                                               .max_opening = limits_.max_opening});
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t slot = *pop(empty_);
    states_.move(slot, SlotState::empty, SlotState::opening);
    push(to_open_, slot);
  }
  opening_ += count;
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

template <class Sync>
void SlotPool<Sync>::open_failed(std::uint32_t slot, OpenFailure why,
                                 std::chrono::steady_clock::time_point next_attempt) noexcept {
  std::unique_lock lock(mutex_);
  --opening_;
  states_.move(slot, SlotState::opening, SlotState::empty);
  push(empty_, slot);
  std::uint32_t openings = 0;
  if (why != OpenFailure::aborted) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    last_failure_ = why == OpenFailure::rejected ? why : OpenFailure::unavailable;
    next_attempt_ = next_attempt;
  }
  if (why == OpenFailure::rejected && open_count() == 0) {
    while (Node* node = waiters_.decide_oldest(wait_word::kRejected)) node->parker.wake();
  } else if (!closed_ && why != OpenFailure::no_thread) {
    openings = plan_openings();
  }
  lock.unlock();
  tell_openings(openings);
}

template <class Sync>
void SlotPool<Sync>::grow_to(std::uint32_t floor) noexcept {
  std::unique_lock lock(mutex_);
  const std::uint32_t openings = closed_ ? 0 : plan_openings(floor);
  lock.unlock();
  tell_openings(openings);
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

// ---- close -----------------------------------------------------------------------------------

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
  constexpr int kSpins = 64;
  constexpr int kYields = 16;
  for (int i = 0; i < kSpins + kYields && !drained(); ++i) {
    if (i >= kSpins) {
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
      case SlotState::empty:
      case SlotState::retiring: break;
    }
  }
  std::uint32_t docked = 0;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    if (gate_word::has_dock(gates_[g].load())) ++docked;
  }
  docked = std::min(docked, out);  // the two were not read in one instant
  counts.leased = out - docked;
  counts.idle += docked;
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

template <class Sync>
std::uint32_t SlotPool<Sync>::retiring() const noexcept {
  std::lock_guard lock(mutex_);
  return retiring_;
}

}  // namespace tidegate::core
