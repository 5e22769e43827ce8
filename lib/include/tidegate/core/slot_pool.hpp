// SlotPool: the lock-free protocol that hands out slots. It knows indices, not resources.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/error.hpp>
#include <tidegate/base/prefetch.hpp>
#include <tidegate/core/counts.hpp>
#include <tidegate/core/drain.hpp>
#include <tidegate/core/gate.hpp>
#include <tidegate/core/idle_queue.hpp>
#include <tidegate/core/mutex.hpp>
#include <tidegate/core/slot.hpp>
#include <tidegate/core/slot_books.hpp>
#include <tidegate/core/slot_owner.hpp>
#include <tidegate/core/slot_state.hpp>
#include <tidegate/core/sync.hpp>
#include <tidegate/core/ticket.hpp>
#include <tidegate/core/waiters.hpp>

namespace tidegate::core {

struct SlotPoolLimits {
  std::uint32_t max_size = 4;                // 1..65535
  std::uint32_t gates = 0;                   // a power of two <= 64; 0 = one per core
  std::uint32_t max_waiters = 0;             // 0 = unlimited
  std::uint32_t max_opening = 1;             // slots in `opening` at once
  std::chrono::nanoseconds barge_window{0};  // 0 = strict FIFO
};

// How an acquire ended, and what it cost. `error` empty: the ticket is ours.
struct Found {
  std::optional<Errc> error{};
  Ticket ticket{};
  bool waited = false;
};

// What an acquire may do while it looks for a slot. One Search lives through all the turns of an
// acquire, so that a granted slot that fails its check does not cost the place in the queue.
struct Search {
  Deadline deadline{};
  std::stop_token stop{};
  bool may_not_wait = false;  // waiting would be a deadlock: the acquire ends with would_deadlock
  // A wait that has lasted for kSuspicious calls this, without a lock, when every slot is leased
  // and the waiting thread is the last user of each, because then nobody else may be there to end
  // the wait. At most once a turn. Null: nobody wants to know.
  void (*suspect)(Search&) noexcept = nullptr;
  bool resumed = false;                           // was granted a slot before, and gave the slot up
  std::chrono::steady_clock::time_point since{};  // when it began to wait; epoch = not yet
  std::uint64_t failures_before = 0;              // openings that had failed by then
  std::uint64_t openings_before = 0;              // openings that had succeeded by then
};

// A wait that looks like one for oneself is suspected after this time, when no worker is likely to
// end it soon.
inline constexpr std::chrono::milliseconds kSuspicious{100};

// Joins the gates, the idle queue, the slot states and the waiters, as docs/core.md tells.
//
// Invariants kept here: I1 counts, I2 place, I3 wake, I4 fence, I8 outcome. Lock-free: enter(),
// release() and look() while no strict waiter sleeps. The wait mutex guards the waiters, the books
// and closing; it is held for short steps that wait for nothing.
template <class Sync = StdSync>
class SlotPool {
 public:
  using Entry = core::Entry;
  using Entered = core::Entered;
  using Node = WaitNode<Sync>;

  // `owner` outlives the core. Throws std::bad_alloc.
  SlotPool(const SlotPoolLimits& limits, SlotOwner& owner);

  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // ---- the path of a lease, in order --------------------------------------------------------

  // Step 1, one read-modify-write: a docked slot, or an admission with which to find().
  Entered enter() noexcept {
    const std::uint32_t gate = Sync::cpu() & gate_mask_;
    const auto entered = gates_[gate].enter();
    if (entered.entry == Entry::closed) [[unlikely]] {
      fence();
    }
    return {entered.entry, Ticket(entered.slot, gate)};
  }
  // The warm half of enter(). False: nothing was done; enter() does the rest.
  bool try_enter_docked(Ticket& ticket) noexcept {
    const std::uint32_t gate = Sync::cpu() & gate_mask_;
    std::uint32_t slot = 0;
    expect_to_change(&gates_[gate]);
    if (!gates_[gate].try_enter_docked(slot)) [[unlikely]] {
      return false;
    }
    ticket = Ticket(slot, gate);
    return true;
  }
  // Steps 2 to 4, for a caller admitted at `gate`: takes an idle slot, or waits for whatever comes
  // first, a slot or a finished opening. Promises: on an error the admission is given back. Ends
  // with closed, timeout, canceled, overloaded, unavailable, rejected or would_deadlock.
  Found find(std::uint32_t gate, Search& search) noexcept;
  // find() for a caller that does not block but is called back (WaitNode::called_back is set;
  // `node` is fresh). None: the node waits. From then on the caller touches neither node nor search
  // until it is called back, or withdraw() says true; then end_find() says how the search has
  // ended. `search`: no stop, nothing to suspect.
  std::optional<Found> begin_find(std::uint32_t gate, Search& search, Node& node) noexcept;
  // Ends the node's wait as `word`, timed out or canceled. False: somebody was faster, and the
  // callback has come, or will. Needs: the node waits, and has not been withdrawn.
  bool withdraw(Node& node, std::uint32_t word) noexcept;
  Found end_find(std::uint32_t gate, Search& search, const Node& node) noexcept {
    return end_wait(gate, node.parker.value(), search);
  }
  // The first look of find(): takes a slot from the queue or a dock, or ends with closed. None: the
  // look found nothing, and the admission stays.
  std::optional<Found> try_find(std::uint32_t gate) noexcept;
  // Like find(), but never waits and asks for no opening: takes a slot that is idle or docked now,
  // or none (then the admission is given back).
  std::optional<Ticket> find_idle(std::uint32_t gate) noexcept;

  // For a caller that is about to release: the line of the gate is on its way meanwhile.
  void expect_release(Ticket ticket) const noexcept { expect_to_change(&gates_[ticket.gate()]); }
  // Gives the slot back. Never blocks on more than the wait mutex (and that only when somebody
  // waits) or, on a closed pool, the drain mutex; never allocates; one read-modify-write on the
  // warm path, after which the core may be gone.
  void release(Ticket ticket) noexcept {
    if (!gates_[ticket.gate()].try_leave_and_dock(ticket.slot())) release_slowly(ticket);
  }
  // The resource is not fit for reuse: the slot goes to `retiring`.
  void discard(Ticket ticket) noexcept;
  // Like discard, but the admission stays: the caller goes on to find().
  void replace(Ticket ticket) noexcept;
  // The resource needs a longer look: out -> checking, for maintenance to put back or retire. The
  // admission stays, as with replace(). The caller calls want_check() next.
  void set_aside(Ticket ticket) noexcept {
    states_.move(ticket.slot(), SlotState::out, SlotState::checking);
  }
  // Like release(), but the resource needs a longer look before anybody may have it: out ->
  // checking, for take_to_check(). On a closed pool the slot is retired at once.
  void give_to_maintenance(Ticket ticket) noexcept;
  // Called after a check that may have taken a while, for a slot whose lease has not begun yet.
  // False: the pool has been closed meanwhile, and slot and admission are gone (I4).
  bool still_open(Ticket ticket) noexcept;
  // Ends only the admission: replace() or set_aside() has moved the slot on already.
  void give_up(std::uint32_t gate) noexcept { leave(gate); }
  // The resource is gone with its holder: the slot is `empty` at once.
  void forget(Ticket ticket) noexcept;

  // ---- openers -------------------------------------------------------------------------------

  // The next slot in `opening` that nobody works on yet. Whoever takes it ends it with opened() or
  // open_failed().
  std::optional<std::uint32_t> take_to_open() noexcept;
  // The resource is made: the slot goes to the oldest waiter, or becomes idle. On a closed pool the
  // slot is retired (I4).
  void opened(std::uint32_t slot) noexcept;
  // The opening failed: the slot is empty again, and the pool asks for another opening if somebody
  // still waits. `next_attempt`: when the other side is asked again. Until then, if the other side
  // rejected us, acquires that need a new resource are refused at once; if it was unavailable, it
  // gets the blame for a deadline that passes. A rejection of an older generation's opening does
  // neither, and nobody is told of it.
  void open_failed(std::uint32_t slot, OpenFailure why,
                   std::chrono::steady_clock::time_point next_attempt = {}) noexcept;
  // Takes an empty slot for the calling thread to open; it ends like one from take_to_open().
  std::optional<std::uint32_t> reserve_to_open() noexcept;
  // A standing order: the pool asks for openings, max_opening at once, until `floor` resources
  // exist, and whenever one of them has gone. Each opening that ends asks for the next. One that
  // fails does not: call this again when the next attempt may begin.
  void grow_to(std::uint32_t floor) noexcept;
  // Asks for the openings that waiters and the floor lack now. Call it at each tick while more
  // acquires wait than are being opened, because what was about to come back may not have come.
  void grow() noexcept;
  // From here on openings are made for waiters only.
  void end_floor() noexcept;
  // Forgets a rejection (the configuration on the server's side may have changed); after
  // next_generation() also the rejections that are on their way.
  void clear_rejection() noexcept;

  // ---- maintenance ---------------------------------------------------------------------------

  // idle -> checking; false when it is not idle.
  bool try_check(std::uint32_t slot) noexcept { return states_.claim(slot, SlotState::checking); }
  // Takes a docked slot of `gate`: out -> checking.
  std::optional<std::uint32_t> try_check_docked(std::uint32_t gate) noexcept;
  // Puts back what is docked, because a slot may be docked for hours, and its state does not say
  // that it is idle. As many as a dock has now: others may dock again and again meanwhile.
  void empty_docks() noexcept {
    for (std::uint32_t g = 0; g < gate_count(); ++g) {
      for (std::uint32_t left = gate_word::docked(gates_[g].load()); left > 0; --left) {
        if (const auto slot = try_check_docked(g)) put_back(*slot);
      }
    }
  }
  // Moves every idle slot to `checking` for a moment, one at a time: look(slot) puts the slot back
  // or retires it.
  template <class Look>
  void check_each_idle(Look&& look) noexcept {
    empty_docks();
    for (std::uint32_t slot = 0; slot < limits_.max_size; ++slot) {
      if (try_check(slot)) look(slot);
    }
  }
  // Lists a slot in `checking` for a look: take_to_check() gives it out, in no order.
  void want_check(std::uint32_t slot) noexcept;
  // The next of these slots that nobody works on yet.
  std::optional<std::uint32_t> take_to_check() noexcept;
  // Lists a slot in `checking` or `retiring` for a hook job, which may block: take_hook_job() gives
  // it out.
  void want_hook_job(std::uint32_t slot) noexcept;
  std::optional<std::uint32_t> take_hook_job() noexcept;
  // How many hook jobs have not been taken yet.
  std::uint32_t hook_jobs() const noexcept;
  // checking -> the oldest waiter, or idle.
  void put_back(std::uint32_t slot) noexcept;
  // checking -> retiring.
  void retire_checked(std::uint32_t slot) noexcept;
  // The next slot in `retiring` that nobody works on yet.
  std::optional<std::uint32_t> take_to_retire() noexcept;
  // The hook job of a slot in `retiring` is done: take_to_retire() gives the slot out next.
  void end_hooked(std::uint32_t slot) noexcept;
  // The slot's resource is destroyed: retiring -> empty, and waiters may get an opening for it.
  void retired(std::uint32_t slot) noexcept;

  // ---- close ---------------------------------------------------------------------------------

  // The fence: once it has returned no lease begins (I4), every waiter has been told, and what was
  // idle is in `retiring`. Idempotent; any thread.
  struct Fenced {
    std::uint32_t waiters = 0;  // told closed
    std::uint32_t idle = 0;     // now in `retiring`
  };
  Fenced close() noexcept;
  // The fence alone: no acquire succeeds from here on. Async-signal-safe; close() does the rest.
  void fence() noexcept;
  // Does the fence stand? It ends at the last gate.
  bool closed() const noexcept { return gate_word::closed(gates_[gate_mask_].load()); }
  // Waits until no admission is left: spins briefly, yields, parks. False: the deadline came first.
  bool await_drained(Deadline deadline) noexcept {
    return await_drained([deadline] { return deadline; }, 0);
  }
  // The same with a deadline that others may move: the wait calls `until` again after poke_drain(),
  // under the drain mutex; `until` must not throw. The wait accepts `allowed` admissions that stay.
  bool await_drained(const std::function<Deadline()>& until, std::uint32_t allowed) noexcept;
  void poke_drain() noexcept { drain_.poke(); }
  bool drained(std::uint32_t allowed = 0) const noexcept { return drain_.drained(allowed); }
  // Gives up on the leases that are still out: each of them keeps the core alive until it is back.
  // Returns how many admissions those were. Needs: closed; at most once.
  std::uint32_t orphan_leases() noexcept;
  // Gives the owner's reference back; the last reference calls free_core().
  void unref() noexcept { unref(1); }
  // Keeps the core alive for a thread that close leaves behind.
  void ref() noexcept { drain_.ref(); }

  // ---- looking -------------------------------------------------------------------------------

  const SlotPoolLimits& limits() const noexcept { return limits_; }
  std::uint32_t gate_count() const noexcept { return gate_mask_ + 1; }
  Slot& slot(std::uint32_t index) noexcept { return slots_[index]; }
  const Slot& slot(std::uint32_t index) const noexcept { return slots_[index]; }
  SlotState state(std::uint32_t index) const noexcept { return states_.get(index); }
  // Counts of this moment, exact when no slot moves. places() takes no lock; counts() takes the
  // wait mutex, and also says for how long the oldest waiter has waited.
  PoolCounts places() const noexcept;
  PoolCounts counts() const noexcept;
  // How many acquires wait: an atomic, so no mutex is needed.
  std::uint32_t waiting() const noexcept TIDEGATE_UNCHECKED { return waiters_.size(); }
  // Gate words, slots, waiters and openings as text, a line each. Takes no lock, so it also works
  // on a pool that hangs. The parts are a moment apart.
  std::string describe() const;
  std::string describe(std::uint32_t slot) const;
  // For audits of I1: the slots that hold a resource (idle, out, checking), counted by their states
  // and by the books of the wait mutex. Both agree at any moment while the pool is open.
  struct Census {
    std::uint32_t by_state = 0;
    std::uint32_t by_books = 0;
  };
  Census census() const noexcept;
  // Slots in `retiring`.
  std::uint32_t retiring() const noexcept;
  // Whether the other side has rejected us since there were `failures_before` failures, or so
  // shortly before that the pool does not ask it again yet.
  bool rejected_since(std::uint64_t failures_before) const noexcept;
  std::uint64_t openings() const noexcept { return openings_.load(std::memory_order_relaxed); }
  std::uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  // Resources retired because the pool was closed.
  std::uint64_t shut_down() const noexcept { return shut_down_.load(std::memory_order_relaxed); }
  std::uint32_t peak_waiting() const noexcept {
    return peak_waiting_.load(std::memory_order_relaxed);
  }

  // The coarse clock. Maintenance writes it, and so does a thread that finds that it has stood
  // still; relaxed: it is a time, and carries nothing.
  Tick tick() const noexcept { return tick_.load(std::memory_order_relaxed); }
  void set_tick(Tick now) noexcept { tick_.store(now, std::memory_order_relaxed); }
  // For a thread that finds before maintenance that the tick has stood still at `seen`.
  void set_tick_from(Tick seen, Tick now) noexcept {
    tick_.compare_exchange_strong(seen, now, std::memory_order_relaxed);
  }
  // Resources of an older generation are replaced as they come back (reset).
  std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_relaxed); }
  void next_generation() noexcept { generation_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Decided = core::Decided<Sync>;

  // How many waiters are strict: an atomic, so no mutex is needed.
  std::uint32_t strict() const noexcept TIDEGATE_UNCHECKED { return waiters_.strict(); }

  bool look(std::uint32_t gate, std::uint32_t& slot) noexcept;
  bool scan(std::uint32_t& slot) noexcept;
  bool take_any_dock(std::uint32_t first_gate, std::uint32_t& slot) noexcept;
  Found settle(std::uint32_t gate, std::uint32_t slot, bool waited) noexcept;
  Found leave_with(std::uint32_t gate, Errc error, bool waited = false) noexcept;

  Found wait(std::uint32_t gate, Search& search) noexcept;
  std::optional<Errc> may_wait(Search& search) noexcept TIDEGATE_REQUIRES(mutex_);
  void enlist(Node& node, Search& search) noexcept TIDEGATE_REQUIRES(mutex_);
  std::uint32_t sleep(std::uint32_t gate, Node& node, Search& search) noexcept
      TIDEGATE_RELEASES(mutex_);
  std::uint32_t become_strict(std::uint32_t gate, Node& node) noexcept TIDEGATE_REQUIRES(mutex_);
  Found end_wait(std::uint32_t gate, std::uint32_t word, Search& search) noexcept;
  std::uint32_t park_in_doubt(Node& node, Search& search) noexcept;
  std::uint32_t decide_and_unlink(Node& node, std::uint32_t word) noexcept
      TIDEGATE_EXCLUDES(mutex_);
  void arm() noexcept TIDEGATE_REQUIRES(mutex_);
  void disarm() noexcept TIDEGATE_REQUIRES(mutex_);
  Errc timeout_reason(const Search& search) noexcept TIDEGATE_EXCLUDES(mutex_);
  template <class Is>
  bool all_leased(Is&& is) const noexcept;
  bool waits_for_its_own_calls() const noexcept;
  bool seems_to_wait_for_itself() const noexcept;

  void release_slowly(Ticket ticket) noexcept TIDEGATE_EXCLUDES(mutex_);
  Decided grant(std::uint32_t slot) noexcept TIDEGATE_REQUIRES(mutex_);
  void make_available(std::uint32_t slot, SlotState from) noexcept TIDEGATE_EXCLUDES(mutex_);
  void enqueue(std::uint32_t slot, std::uint32_t hint) noexcept;
  void retire(std::uint32_t slot, SlotState from) noexcept TIDEGATE_EXCLUDES(mutex_);
  void end_orphan(std::uint32_t slot) noexcept TIDEGATE_EXCLUDES(mutex_);
  void shut_down(std::uint32_t slot, SlotState from) noexcept TIDEGATE_EXCLUDES(mutex_);
  std::uint32_t sweep() noexcept;
  void leave(std::uint32_t gate) noexcept;
  void unref(std::uint64_t count) noexcept;

  // Turns empty slots into opening ones as policy says; returns how many. The caller
  // unlocks and then tells the owner.
  enum class For : std::uint8_t { all, waiters };
  std::uint32_t plan_openings(For whom = For::all, std::uint32_t more_demand = 0) noexcept
      TIDEGATE_REQUIRES(mutex_);
  std::uint32_t coming_back() const noexcept;
  void tell_openings(std::uint32_t count) noexcept TIDEGATE_EXCLUDES(mutex_) {
    if (count > 0) owner_.on_open_wanted(count);
  }

  // Fixed after construction.
  const SlotPoolLimits limits_;
  const std::uint32_t gate_mask_;
  SlotOwner& owner_;
  std::unique_ptr<Gate<Sync>[]> gates_;
  std::unique_ptr<Slot[]> slots_;
  // Read on the warm path, written rarely.
  std::atomic<Tick> tick_{0};
  std::atomic<std::uint32_t> generation_{0};

  // Slow path.
  alignas(kCacheLine) SlotStates<Sync> states_;
  IdleQueue queue_;

  // The wait mutex, and what it guards.
  alignas(kCacheLine) mutable Mutex<typename Sync::Mutex> mutex_;
  WaitList<Sync> waiters_ TIDEGATE_GUARDED_BY(mutex_);
  bool armed_ TIDEGATE_GUARDED_BY(mutex_) = false;   // `waiting` is set on all gates
  bool closed_ TIDEGATE_GUARDED_BY(mutex_) = false;  // set by close()
  bool orphaned_ TIDEGATE_GUARDED_BY(mutex_) = false;
  SlotBooks<Sync> books_ TIDEGATE_GUARDED_BY(mutex_);
  std::uint32_t floor_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  bool keeps_floor_ TIDEGATE_GUARDED_BY(mutex_) = true;
  OpenFailure last_failure_ TIDEGATE_GUARDED_BY(mutex_) = OpenFailure::none;
  std::chrono::steady_clock::time_point next_attempt_ TIDEGATE_GUARDED_BY(mutex_){};

  // Statistics of the slow path; relaxed: each is a number of its own.
  std::atomic<std::uint64_t> openings_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> shut_down_{0};
  std::atomic<std::uint32_t> peak_waiting_{0};

  // Close.
  Mutex<typename Sync::Mutex> sweep_mutex_;  // one closer at a time
  Drain<Sync> drain_;
};

extern template class SlotPool<StdSync>;

}  // namespace tidegate::core
