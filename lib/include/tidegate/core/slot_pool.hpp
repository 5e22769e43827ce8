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
#include <tidegate/core/counts.hpp>
#include <tidegate/core/drain.hpp>
#include <tidegate/core/gate.hpp>
#include <tidegate/core/idle_queue.hpp>
#include <tidegate/core/mutex.hpp>
#include <tidegate/core/slot.hpp>
#include <tidegate/core/slot_books.hpp>
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

// What an acquire that looks for a slot is willing to do. One object lives through all the turns of
// one acquire, so that a granted slot which fails its check does not cost the place in the queue.
struct Search {
  Deadline deadline{};
  std::stop_token stop{};
  bool may_not_wait = false;  // it would be a deadlock: ends with would_deadlock
  // Called without a lock by a wait that has lasted for kSuspicious, when every slot is leased and
  // the waiting thread is the last user of each: nobody else may be there to end it. At most once
  // a turn. Null: nobody wants to know.
  void (*suspect)(Search&) noexcept = nullptr;
  bool resumed = false;                           // was granted a slot before, and gave it up
  std::chrono::steady_clock::time_point since{};  // when it began to wait; epoch = not yet
  std::uint64_t failures_before = 0;              // openings that had failed by then
  std::uint64_t openings_before = 0;              // openings that had succeeded by then
};

// So long a wait that looks as if it were one for oneself is none that a worker ends soon.
inline constexpr std::chrono::milliseconds kSuspicious{100};

// How an opening failed, as far as waiters care (the owner keeps the text).
enum class OpenFailure : std::uint8_t {
  none,
  unavailable,  // try again; waiters go on waiting
  no_thread,    // as unavailable, but asked for again only by the next grow()
  rejected,     // hopeless for now: fails waiters at once while nothing is open
  aborted,      // given up: the pool closes, or whoever wanted it here does not any more
};

// What the protocol asks of its owner. Called with no lock held, unless it says otherwise.
class SlotOwner {
 public:
  // `count` more slots stand in `opening`: see that take_to_open() is called. Any acquiring or
  // maintaining thread; must not block.
  virtual void on_open_wanted(std::uint32_t count) noexcept = 0;
  // A slot stands in `retiring`, or in `checking` for somebody to look at: see that
  // take_to_retire() and take_to_check() are called. Any thread, also one that releases, under the
  // wait mutex (so that none comes after orphan_leases()): must neither block, nor allocate, nor
  // call back.
  virtual void on_retire_wanted() noexcept = 0;
  // `slot` has come into `retiring`: is a hook job due before its end? It comes out of
  // take_hook_job() then, and not yet out of take_to_retire(). Under the wait mutex, as above.
  virtual bool ends_with_hook(std::uint32_t) noexcept { return false; }
  // The pool is gone and the lease of `slot` came back late: destroy its resource here and now.
  virtual void finish_orphan(std::uint32_t slot) noexcept = 0;
  // Nobody refers to the core any more. The last touch: may delete the SlotPool.
  virtual void free_core() noexcept = 0;

 protected:
  ~SlotOwner() = default;
};

// The gates, the idle queue, the slot states and the waiters, joined as docs/core.md tells.
//
// Invariants kept here: I1 counts, I2 place, I3 wake, I4 fence, I8 outcome. Lock-free: enter(),
// release() and look() while no strict waiter sleeps. The wait mutex guards the waiters, the books
// and closing; it is held for short, I/O-free steps.
template <class Sync = StdSync>
class SlotPool {
 public:
  using Entry = core::Entry;
  using Entered = core::Entered;

  // `owner` outlives the core. Throws std::bad_alloc.
  SlotPool(const SlotPoolLimits& limits, SlotOwner& owner);

  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // ---- the path of a lease, in order --------------------------------------------------------

  // Step 1, one read-modify-write: the docked slot, or an admission with which to find().
  Entered enter() noexcept {
    const std::uint32_t gate = Sync::cpu() & gate_mask_;
    const auto entered = gates_[gate].enter();
    return {entered.entry, Ticket(entered.slot, gate)};
  }
  // The warm half of enter(). False: nothing was done; enter() does the rest.
  bool try_enter_docked(Ticket& ticket) noexcept {
    const std::uint32_t gate = Sync::cpu() & gate_mask_;
    std::uint32_t slot = 0;
    if (!gates_[gate].try_enter_docked(slot)) [[unlikely]] {
      return false;
    }
    ticket = Ticket(slot, gate);
    return true;
  }
  // Steps 2 to 4, for one who was admitted at `gate`: takes an idle slot, or waits for whatever
  // comes first, a slot or a finished opening. Promises: on an error the admission is given back.
  // Ends with closed, timeout, canceled, overloaded, unavailable, rejected or would_deadlock.
  Found find(std::uint32_t gate, Search& search) noexcept;
  // The first look of find(): a slot from the queue or a dock, or closed. None: nothing was there
  // at a first look, and the admission stays.
  std::optional<Found> try_find(std::uint32_t gate) noexcept;
  // As find(), but never waits and asks for nothing: a slot that is idle or docked now, or none
  // (then the admission is given back).
  std::optional<Ticket> find_idle(std::uint32_t gate) noexcept;

  // Gives the slot back. Never blocks on more than the wait mutex (and that only when somebody
  // waits) or, on a closed pool, the drain mutex; never allocates; one read-modify-write on the
  // warm path, after which the core may be gone.
  void release(Ticket ticket) noexcept {
    if (!gates_[ticket.gate()].try_leave_and_dock(ticket.slot())) release_slowly(ticket);
  }
  // The resource is not fit for reuse: the slot goes to `retiring`.
  void discard(Ticket ticket) noexcept;
  // As discard, but the admission stays: the caller goes on to find().
  void replace(Ticket ticket) noexcept;
  // The resource needs a longer look: out -> checking, for maintenance to put back or retire. The
  // admission stays, as with replace(). want_check() comes next.
  void set_aside(Ticket ticket) noexcept {
    states_.move(ticket.slot(), SlotState::out, SlotState::checking);
  }
  // The resource needs a longer look before anybody may have it: as release(), but out -> checking,
  // for take_to_check(). The slot is retired at once when the pool is closed.
  void give_to_maintenance(Ticket ticket) noexcept;
  // After a check that may have taken a while, for a slot with which no lease has begun yet. False:
  // the pool has been closed meanwhile, and slot and admission are gone (I4).
  bool still_open(Ticket ticket) noexcept;
  // Only the admission ends: the slot has been moved on by replace() or set_aside().
  void give_up(std::uint32_t gate) noexcept { leave(gate); }
  // The resource is gone with its holder: the slot is `empty` at once.
  void forget(Ticket ticket) noexcept;

  // ---- openers -------------------------------------------------------------------------------

  // The next slot in `opening` that nobody works on yet. Whoever takes it ends it with opened() or
  // open_failed().
  std::optional<std::uint32_t> take_to_open() noexcept;
  // The resource is there: to the oldest waiter, or idle; retired when the pool is closed (I4).
  void opened(std::uint32_t slot) noexcept;
  // It is not: the slot is empty again, and another opening is asked for if somebody still waits.
  // `next_attempt`: when the other side is asked again. Until then acquires that need a new
  // resource are refused at once if it rejected us; if it was unavailable, a deadline that passes
  // is its fault. A rejection of something begun in an older generation is neither: nobody is told.
  void open_failed(std::uint32_t slot, OpenFailure why,
                   std::chrono::steady_clock::time_point next_attempt = {}) noexcept;
  // An empty slot to open on the calling thread, to be ended like one that was taken.
  std::optional<std::uint32_t> reserve_to_open() noexcept;
  // A standing order: openings are asked for, max_opening at once, until `floor` resources exist,
  // and whenever one of them has gone; each that ends asks for the next. One that fails does not:
  // call this again when the next attempt may begin.
  void grow_to(std::uint32_t floor) noexcept;
  // Asks for what is lacking now, for those who wait and up to the floor. To be called at each tick
  // while more wait than are being opened: what was about to come back may not have come.
  void grow() noexcept;
  // From here on openings are only for those who wait.
  void end_floor() noexcept;
  // Forgets a rejection (the configuration on the server's side may have changed); after
  // next_generation() also those that are on their way.
  void clear_rejection() noexcept;

  // ---- maintenance ---------------------------------------------------------------------------

  // idle -> checking; false when it is not idle.
  bool try_check(std::uint32_t slot) noexcept { return states_.claim(slot, SlotState::checking); }
  // Takes a docked slot out of `gate`, as checking.
  std::optional<std::uint32_t> try_check_docked(std::uint32_t gate) noexcept;
  // Puts back what is docked: a slot may be docked for hours, and its state does not say that it is
  // idle.
  void empty_docks() noexcept {
    for (std::uint32_t g = 0; g < gate_count(); ++g) {
      if (const auto slot = try_check_docked(g)) put_back(*slot);
    }
  }
  // Takes every idle slot in hand for a moment, one at a time: look(slot) puts it back or retires
  // it.
  template <class Look>
  void check_each_idle(Look&& look) noexcept {
    empty_docks();
    for (std::uint32_t slot = 0; slot < limits_.max_size; ++slot) {
      if (try_check(slot)) look(slot);
    }
  }
  // A slot in `checking` is to be looked at: it comes out of take_to_check(), in no order.
  void want_check(std::uint32_t slot) noexcept;
  // The next of them that nobody works on yet.
  std::optional<std::uint32_t> take_to_check() noexcept;
  // A slot in `checking` or `retiring` needs a hand that may block: it comes out of
  // take_hook_job().
  void want_hook_job(std::uint32_t slot) noexcept;
  std::optional<std::uint32_t> take_hook_job() noexcept;
  // How many have not been taken yet.
  std::uint32_t hook_jobs() const noexcept;
  // checking -> the oldest waiter, or idle.
  void put_back(std::uint32_t slot) noexcept;
  // checking -> retiring.
  void retire_checked(std::uint32_t slot) noexcept;
  // The next slot in `retiring` that nobody works on yet.
  std::optional<std::uint32_t> take_to_retire() noexcept;
  // The hook job of a slot in `retiring` is done: on to take_to_retire().
  void end_hooked(std::uint32_t slot) noexcept;
  // Its resource is destroyed: retiring -> empty, and on to whoever waits for capacity.
  void retired(std::uint32_t slot) noexcept;

  // ---- close ---------------------------------------------------------------------------------

  // The fence: from its return no lease begins (I4), every waiter has been told, and what was idle
  // stands in `retiring`. Idempotent; any thread.
  struct Fenced {
    std::uint32_t waiters = 0;  // told closed
    std::uint32_t idle = 0;     // now in `retiring`
  };
  Fenced close() noexcept;
  // The fence alone: no acquire succeeds from here on. Async-signal-safe; close() does the rest.
  void fence() noexcept;
  bool closed() const noexcept { return gate_word::closed(gates_[0].load()); }
  // Waits until no admission is left: spins briefly, yields, parks. False: the deadline came first.
  bool await_drained(Deadline deadline) noexcept {
    return await_drained([deadline] { return deadline; }, 0);
  }
  // The same with a deadline that others may move: `until` is asked again after poke_drain(), under
  // the drain mutex, and must not throw. Content with `allowed` admissions that stay.
  bool await_drained(const std::function<Deadline()>& until, std::uint32_t allowed) noexcept;
  void poke_drain() noexcept { drain_.poke(); }
  bool drained(std::uint32_t allowed = 0) const noexcept { return drain_.drained(allowed); }
  // Gives up on the leases that are still out: each of them keeps the core alive until it is back.
  // Returns how many admissions that were. Needs: closed; at most once.
  std::uint32_t orphan_leases() noexcept;
  // The owner lets go; the last reference calls free_core().
  void unref() noexcept { unref(1); }
  // Keeps the core alive for a thread that close leaves behind.
  void ref() noexcept { drain_.ref(); }

  // ---- looking -------------------------------------------------------------------------------

  const SlotPoolLimits& limits() const noexcept { return limits_; }
  std::uint32_t gate_count() const noexcept { return gate_mask_ + 1; }
  Slot& slot(std::uint32_t index) noexcept { return slots_[index]; }
  const Slot& slot(std::uint32_t index) const noexcept { return slots_[index]; }
  SlotState state(std::uint32_t index) const noexcept { return states_.get(index); }
  // Counts of this moment, exact when nobody moves: without a lock; and with the wait mutex also
  // for how long the oldest waiter waits.
  PoolCounts places() const noexcept;
  PoolCounts counts() const noexcept;
  // Gate words, slots, waiters and openings as text, a line each. Takes no lock: it can be had of a
  // pool that hangs. The parts are a moment apart.
  std::string describe() const;
  // For audits of I1: the slots that hold a resource (idle, out, checking), as their states say and
  // as the books of the wait mutex do. The same at any moment while the pool is open.
  struct Census {
    std::uint32_t by_state = 0;
    std::uint32_t by_books = 0;
  };
  Census census() const noexcept;
  // Slots in `retiring`.
  std::uint32_t retiring() const noexcept;
  // The other side has rejected us since there were `failures_before` failures, or so shortly
  // before that it is not asked again yet.
  bool rejected_since(std::uint64_t failures_before) const noexcept;
  std::uint64_t openings() const noexcept { return openings_.load(std::memory_order_relaxed); }
  std::uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  // Resources retired because the pool was closed.
  std::uint64_t shut_down() const noexcept { return shut_down_.load(std::memory_order_relaxed); }
  std::uint32_t peak_waiting() const noexcept {
    return peak_waiting_.load(std::memory_order_relaxed);
  }

  // The coarse clock. Written by maintenance, and by who finds that it has stood still; relaxed: it
  // is a time, and carries nothing.
  Tick tick() const noexcept { return tick_.load(std::memory_order_relaxed); }
  void set_tick(Tick now) noexcept { tick_.store(now, std::memory_order_relaxed); }
  // For whoever sees before maintenance does that it has stood still: `seen` is what it stood at.
  void set_tick_from(Tick seen, Tick now) noexcept {
    tick_.compare_exchange_strong(seen, now, std::memory_order_relaxed);
  }
  // Resources of an older generation are replaced as they come back (reset).
  std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_relaxed); }
  void next_generation() noexcept { generation_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Node = WaitNode<Sync>;

  // How many are in the list, and of which kind: two atomics, so no need of the mutex.
  std::uint32_t waiting() const noexcept TIDEGATE_UNCHECKED { return waiters_.size(); }
  std::uint32_t strict() const noexcept TIDEGATE_UNCHECKED { return waiters_.strict(); }

  bool look(std::uint32_t gate, std::uint32_t& slot) noexcept;
  bool scan(std::uint32_t& slot) noexcept;
  bool take_any_dock(std::uint32_t first_gate, std::uint32_t& slot) noexcept;
  Found settle(std::uint32_t gate, std::uint32_t slot, bool waited) noexcept;
  Found leave_with(std::uint32_t gate, Errc error, bool waited = false) noexcept;

  Found wait(std::uint32_t gate, Search& search) noexcept;
  std::optional<Errc> may_wait(Search& search) noexcept TIDEGATE_REQUIRES(mutex_);
  std::uint32_t sleep(std::uint32_t gate, Node& node, Search& search) noexcept
      TIDEGATE_RELEASES(mutex_);
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
  Node* grant(std::uint32_t slot) noexcept TIDEGATE_REQUIRES(mutex_);
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
  bool closed_ TIDEGATE_GUARDED_BY(mutex_) = false;  // close() has been here
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
