// ResourceCore: slots with resources of type T in them, and the openers that make them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>

#include <tidegate/base/expected.hpp>
#include <tidegate/base/histogram.hpp>
#include <tidegate/base/live_histogram.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/mutex.hpp>
#include <tidegate/core/openers.hpp>
#include <tidegate/core/resource_maker.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

// Lives on the heap and deletes itself when the owner and the last late lease have given their
// references back (unref). The owner of a slot (I2) owns the resource in it.
template <class T, class Sync = StdSync>
class ResourceCore final : private SlotOwner, private OpenerClient {
 public:
  static ResourceCore* make(const SlotPoolLimits& limits, const OpenersConfig& openers,
                            ResourceMaker<T> maker) {
    return new ResourceCore(limits, openers, std::move(maker));
  }
  ResourceCore(const ResourceCore&) = delete;
  ResourceCore& operator=(const ResourceCore&) = delete;

  SlotPool<Sync>& slots() noexcept { return slots_; }
  // Gives the owner's reference back; the core lives until the last late lease is back.
  void unref() noexcept { slots_.unref(); }
  const SlotPool<Sync>& slots() const noexcept { return slots_; }
  Openers& openers() noexcept { return openers_; }
  // Needs: the caller owns the slot, and it is not empty.
  T& resource(std::uint32_t slot) noexcept { return *resources_[slot]; }
  // The slot of the resource that has `part` in it; nothing where none has. Only compares
  // addresses.
  std::optional<std::uint32_t> slot_at(const void* part) const noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(part);
    const auto first = reinterpret_cast<std::uintptr_t>(resources_.get());
    const auto slot = (at - first) / sizeof(std::optional<T>);  // huge where `at` is before `first`
    if (at < first || slot >= slots_.limits().max_size) return std::nullopt;
    return static_cast<std::uint32_t>(slot);
  }

  // What the warm path reads of the pool itself, each field once.
  struct Glance {
    Slot* slots;
    Tick now;
    std::uint32_t generation;
  };
  Glance glance() noexcept { return {&slots_.slot(0), slots_.tick(), slots_.generation()}; }

  // The core's part of tier 1 of the check before hand-out: right generation, not expired.
  bool fresh(const Slot& slot, const Glance& seen) const noexcept {
    return slot.generation() == seen.generation && slot.expires() > seen.now;
  }
  bool fresh(std::uint32_t index) noexcept { return fresh(slots_.slot(index), glance()); }
  // Why a slot that is not fresh is to be retired.
  Retired stale_reason(std::uint32_t index) const noexcept {
    return slots_.slot(index).generation() != slots_.generation() ? Retired::generation
                                                                  : Retired::lifetime;
  }

  // The rest of an acquire, after enter(): searches until `check` (takes a Found, gives a Checked)
  // says use or fail, or the search fails. Counts how the acquire ended.
  template <class Check>
  Found acquire(Entered entered, Search& search, Check&& check) {
    const auto find = [&](std::uint32_t gate) { return std::optional(slots_.find(gate, search)); };
    return *begin_search(entered, search, find, check);  // find() always finds, or fails
  }
  // The same in steps, for a caller that does not block. None: the search waits, and the waiter's
  // callback comes (SlotPool::begin_find). Until then the caller touches neither; then it ends the
  // wait with slots().end_find(), and goes on with what that gave.
  struct Waiter {
    std::optional<WaitNode<Sync>> node{};
    void (*called_back)(WaitNode<Sync>&) noexcept = nullptr;
    void* owner = nullptr;
  };
  template <class Check>
  std::optional<Found> begin_acquire(Entered entered, Search& search, Waiter& waiter,
                                     Check&& check) {
    return begin_search(entered, search, finder(search, waiter), check);
  }
  template <class Check>
  std::optional<Found> go_on_acquiring(const Found& found, Search& search, Waiter& waiter,
                                       Check&& check) {
    if (found.error) return count_failed(found, search.since);
    return search_on(found, check(found), search, finder(search, waiter), check);
  }
  // For `check`: the resource is not fit; another will take its place. The admission stays.
  void replace(Ticket ticket, Retired reason) noexcept {
    count_retired(ticket.slot(), reason);
    slots_.replace(ticket);
  }
  // For `check`, too: like a release or a discard, for a slot whose lease has not begun.
  void give_back_unleased(Ticket ticket) noexcept {
    slots_.slot(ticket.slot()).end_lease(slots_.tick());
    slots_.release(ticket);
  }
  void discard_unleased(Ticket ticket, Retired reason) noexcept {
    count_retired(ticket.slot(), reason);
    slots_.discard(ticket);
  }

  // Fires when the owner announces its end, at the latest when it closes; lease holders use it.
  std::stop_source& announced() noexcept { return announced_; }
  // Fires when the owner closes, for whatever the owner runs on the threads of acquirers.
  std::stop_source& closing() noexcept { return closing_; }

  // Records the calling thread as the last user of the lease.
  void adopt(Ticket ticket) noexcept { slots_.slot(ticket.slot()).adopt(current_thread_id()); }
  // Begins the lease (I6): the record is there before the caller sees the resource.
  void begin_lease(Ticket ticket, Location site) noexcept {
    slots_.slot(ticket.slot()).begin_lease(current_thread_id(), site, slots_.tick());
  }

  // Moves the lease's start from the last tick to now, for a user who is told the lease's duration.
  void begin_now(Ticket ticket) noexcept {
    slots_.slot(ticket.slot()).begin_at(Sync::now().time_since_epoch().count());
  }

  // The ways to end a lease. Each erases the record before it gives the slot away (I6).
  void release(Ticket ticket) noexcept {
    if (maker_.unfit) {
      if (const std::optional<Retired> reason = maker_.unfit(resource(ticket.slot()))) {
        return discard(ticket, *reason);
      }
    }
    give_back(ticket);
  }
  // Like release, for a resource that is known to be fit.
  void give_back(Ticket ticket) noexcept {
    slots_.expect_release(ticket);
    const Glance seen = glance();
    Slot& slot = seen.slots[ticket.slot()];
    if (!fresh(slot, seen)) [[unlikely]] {
      return discard_stale(ticket);
    }
    slot.end_lease(seen.now);
    slots_.release(ticket);
  }
  [[gnu::cold, gnu::noinline]] void discard_stale(Ticket ticket) noexcept {
    discard(ticket, stale_reason(ticket.slot()));
  }
  [[gnu::noinline]] void discard(Ticket ticket, Retired reason) noexcept {
    count_retired(ticket.slot(), reason);
    discarded_.fetch_add(1, std::memory_order_relaxed);
    slots_.slot(ticket.slot()).end_lease(slots_.tick());
    slots_.discard(ticket);
  }
  // Like give_back, but maintenance checks the resource before it is idle (take_to_check()).
  void give_to_maintenance(Ticket ticket, Errand errand) noexcept {
    slots_.slot(ticket.slot()).end_lease(slots_.tick());
    slots_.slot(ticket.slot()).set_errand(errand);
    slots_.give_to_maintenance(ticket);
  }
  // The resource moves out for good; the slot is free at once.
  T hijack(Ticket ticket) noexcept {
    T resource = take_out(ticket.slot());
    count_retired(ticket.slot(), Retired::hijacked);
    slots_.slot(ticket.slot()).end_lease(slots_.tick());
    slots_.forget(ticket);
    return resource;
  }

  // Ends the resource of a slot that take_to_retire() gave out, and frees the slot.
  void finish(std::uint32_t slot) noexcept {
    end_resource(slot);
    slots_.retired(slot);
  }
  // Makes the pool replace every resource that exists or is being made now as it comes back, and
  // forgets the failures so far, because they say nothing about the new generation.
  void begin_generation() noexcept {
    slots_.next_generation();
    slots_.clear_rejection();
    openers_.forget_failures();
  }
  // Gives the caller's slot, in `checking` or `retiring`, to ResourceMaker::hook_job on an opener.
  void want_hook_job(std::uint32_t slot) noexcept {
    slots_.want_hook_job(slot);
    openers_.want_hook_job();
  }
  // Asks openers to take the hook jobs that retire() has listed (ResourceMaker::ends_with_hook).
  void start_hook_jobs() noexcept {
    for (std::uint32_t count = slots_.hook_jobs(); count > 0; --count) openers_.want_hook_job();
  }
  // Calls f(const T&, const Slot&) if the slot holds a resource, whoever owns the slot; the
  // resource stays there until f returns. f uses only what any thread may use of T, and neither
  // waits nor calls back: it holds up openings, ends and hijacks. Any thread. Returns: f was
  // called.
  template <class F>
  bool visit(std::uint32_t slot, F&& f) const {
    const Lock lock(visit_mutex_);
    const std::optional<T>& resource = resources_[slot];
    if (!resource) return false;
    std::forward<F>(f)(*resource, slots_.slot(slot));
    return true;
  }
  // In a child after fork(), on its only thread: closes the gates and calls f(T&) for each
  // resource, whoever owned it. Takes no lock; nothing else of the core may be used there.
  template <class F>
  void close_in_child(F&& f) noexcept {
    slots_.fence();
    for (std::uint32_t i = 0; i < slots_.limits().max_size; ++i) {
      if (resources_[i]) f(*resources_[i]);
    }
  }
  // Makes a resource on the calling thread and adds it; false when it fails, or no slot is empty.
  bool create_here(const std::stop_token& stop, Deadline deadline) noexcept {
    const auto slot = slots_.reserve_to_open();
    // A resource made after the fence is retired at once, so a closed pool means failure here, too.
    return slot && openers_.open_here(*slot, stop, deadline) && !slots_.closed();
  }

  // Needs: the caller owns the slot.
  void count_retired(std::uint32_t slot, Retired reason) noexcept {
    why_[slot] = reason;
    retired_[static_cast<std::size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
  // Why a slot stands in `retiring`. Needs: the caller owns the slot.
  Retired why_retired(std::uint32_t slot) const noexcept { return why_[slot]; }
  // Leases that ended without giving their resource back.
  std::uint64_t discarded() const noexcept { return discarded_.load(std::memory_order_relaxed); }
  std::uint64_t retired(Retired reason) const noexcept {
    return retired_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }
  // Acquires that ended with `code` (I7: attempts = leases begun + the sum over all codes), and
  // those that got their lease after a wait.
  std::uint64_t failed(Errc code) const noexcept {
    return failed_[static_cast<std::size_t>(code)].load(std::memory_order_relaxed);
  }
  std::uint64_t waited() const noexcept { return waited_.load(std::memory_order_relaxed); }
  // How long the acquires that waited() counts have waited, in total.
  std::chrono::nanoseconds waited_for() const noexcept {
    return std::chrono::steady_clock::duration(waited_for_.load(std::memory_order_relaxed));
  }
  // All waits, those of failed acquires included.
  Histogram waits() const { return waits_.snapshot(); }
  // `since`: when it began to wait, if it did.
  Found count_failed(const Found& found,
                     std::chrono::steady_clock::time_point since = {}) noexcept {
    failed_[static_cast<std::size_t>(*found.error)].fetch_add(1, std::memory_order_relaxed);
    if (since != decltype(since){}) waits_.add(Sync::now() - since);
    return found;
  }
  // Waits that looked as if nobody but the waiting thread itself could end them (Search::suspect).
  void count_suspicion() noexcept { suspicions_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t suspicions() const noexcept { return suspicions_.load(std::memory_order_relaxed); }
  // The last failed creation, if none has succeeded since.
  std::optional<ErrorValue> last_failure() const {
    const Lock lock(failure_mutex_);
    return last_failure_;
  }

 private:
  // find(gate) of a search that does not block. Each turn has a node of its own.
  auto finder(Search& search, Waiter& waiter) noexcept {
    return [this, &search, &waiter](std::uint32_t gate) {
      WaitNode<Sync>& node = waiter.node.emplace();
      node.called_back = waiter.called_back;
      node.owner = waiter.owner;
      return slots_.begin_find(gate, search, node);
    };
  }
  template <class Find, class Check>
  std::optional<Found> begin_search(Entered entered, Search& search, Find&& find, Check&& check) {
    if (entered.entry == Entry::closed) return count_failed({Errc::closed, {}, false});
    const Found found{std::nullopt, entered.ticket, false};
    const Checked checked = entered.entry == Entry::docked ? check(found) : Checked::next;
    return search_on(found, checked, search, find, check);
  }
  // None: `find` has found nothing yet, and the search goes on later.
  template <class Find, class Check>
  std::optional<Found> search_on(Found found, Checked checked, const Search& search, Find&& find,
                                 Check&& check) {
    const std::uint32_t gate = found.ticket.gate();
    while (checked == Checked::next) {
      const bool waited = found.waited;
      const std::optional<Found> next = find(gate);
      if (!next) return std::nullopt;
      found = *next;
      found.waited |= waited;
      if (found.error) return count_failed(found, search.since);
      checked = check(found);
    }
    return end_acquire(found, checked, search);
  }
  Found end_acquire(const Found& found, Checked checked, const Search& search) noexcept {
    const auto failed = [&](Errc code) noexcept {
      return count_failed({code, {}, found.waited}, search.since);
    };
    if (checked == Checked::fail) return failed(Errc::hook);
    if (!slots_.still_open(found.ticket)) return failed(Errc::closed);
    if (found.waited) {
      const auto took = Sync::now() - search.since;
      waited_.fetch_add(1, std::memory_order_relaxed);
      waited_for_.fetch_add(took.count(), std::memory_order_relaxed);
      waits_.add(took);
      TIDEGATE_TEST_POINT("acquire.counted_as_waited");
    }
    return found;
  }

  ResourceCore(const SlotPoolLimits& limits, const OpenersConfig& openers, ResourceMaker<T> maker)
      : maker_(std::move(maker)),
        resources_(new std::optional<T>[limits.max_size]),
        why_(new Retired[limits.max_size]),
        slots_(limits, *this),
        openers_(openers, *this) {}
  ~ResourceCore() = default;

  void end_resource(std::uint32_t slot) noexcept {
    T ended = take_out(slot);
    if (maker_.destroy) maker_.destroy(std::move(ended));
  }
  // The only way out of a slot. The caller destroys the resource afterwards, which may block.
  T take_out(std::uint32_t slot) noexcept {
    const Lock lock(visit_mutex_);
    T resource = std::move(*resources_[slot]);
    resources_[slot].reset();
    return resource;
  }

  // ---- SlotOwner
  void on_open_wanted(std::uint32_t count) noexcept override { openers_.want(count); }
  void on_retire_wanted() noexcept override {
    if (maker_.retire_wanted) maker_.retire_wanted();
  }
  bool ends_with_hook(std::uint32_t slot) noexcept override {
    return maker_.ends_with_hook && maker_.ends_with_hook(*resources_[slot]);
  }
  void finish_orphan(std::uint32_t slot) noexcept override { end_resource(slot); }
  void free_core() noexcept override {
    const auto gone = std::move(maker_.gone);
    delete this;
    if (gone) gone();
  }

  // ---- OpenerClient
  std::optional<std::uint32_t> take_to_open() noexcept override { return slots_.take_to_open(); }
  OpenFailure open(std::uint32_t slot, const std::stop_token& stop,
                   Deadline deadline) noexcept override {
    // Comes before the creation, so that a reset during the creation also applies to the resource
    // made, or to the failure.
    slots_.slot(slot).begin_making(slots_.generation());
    std::optional<ErrorValue> failure;
    try {
      Expected<T> made = maker_.create(stop, deadline);
      if (made.has_value() && !Openers::settle()) {
        if (maker_.destroy) maker_.destroy(std::move(*made));
        return OpenFailure::aborted;
      }
      if (made.has_value()) {
        // Reads a clock, because the tick stands still while nothing is open: a new resource must
        // not look as if it had been idle for long.
        const Tick now = Sync::now().time_since_epoch().count();
        const Tick expires = maker_.expires ? maker_.expires(now) : kNeverExpires;
        why_[slot] = Retired::shutdown;  // unless somebody gives another reason
        const Lock lock(visit_mutex_);
        resources_[slot].emplace(std::move(*made));  // from here on nothing throws
        slots_.slot(slot).born(now, expires);
      } else {
        failure = made.error();
      }
    } catch (...) {
      failure = failure_at_hand();
    }
    if (!Openers::settle()) return OpenFailure::aborted;
    // Aborted only if we asked for it: the pool repeats an aborted opening without a backoff while
    // somebody waits.
    const bool aborted = failure && failure->code() == Errc::canceled && stop.stop_requested();
    const OpenFailure how = !failure                            ? OpenFailure::none
                            : aborted                           ? OpenFailure::aborted
                            : failure->code() == Errc::rejected ? OpenFailure::rejected
                                                                : OpenFailure::unavailable;
    const Lock lock(failure_mutex_);
    last_failure_ = std::move(failure);
    return how;
  }
  // Turns the exception that is being handled into an opening's failure.
  ErrorValue failure_at_hand() const noexcept {
    try {
      try {
        throw;
      } catch (const std::bad_alloc&) {
        return out_of_memory_;
      } catch (...) {
        return ErrorValue::of(Error(Errc::unavailable, tidegate::detail::what_is_handled()));
      }
    } catch (const std::bad_alloc&) {
      return out_of_memory_;
    }
  }
  void overdue(std::uint32_t, const Overdue& how) noexcept override {
    std::optional<ErrorValue> failure;
    try {
      failure = maker_.overdue
                    ? maker_.overdue(how)
                    : ErrorValue::of(Error(Errc::unavailable,
                                           how.begun ? "the creation has not returned in time"
                                                     : "too many creations have not returned"));
    } catch (...) {
      failure = failure_at_hand();
    }
    const Lock lock(failure_mutex_);
    last_failure_ = std::move(failure);
  }
  void opened(std::uint32_t slot) noexcept override { slots_.opened(slot); }
  void open_failed(std::uint32_t slot, OpenFailure why,
                   std::chrono::steady_clock::time_point next_attempt) noexcept override {
    slots_.open_failed(slot, why, next_attempt);
    if (why == OpenFailure::no_thread && maker_.no_thread) maker_.no_thread();
    const bool failed = why == OpenFailure::unavailable || why == OpenFailure::rejected;
    if (failed && maker_.backing_off) maker_.backing_off(next_attempt);
  }
  std::optional<std::uint32_t> take_hook_job() noexcept override { return slots_.take_hook_job(); }
  void run_hook_job(std::uint32_t slot, const std::stop_token& stop) noexcept override {
    maker_.hook_job(slot, stop);
  }

  // Fixed after construction.
  const ErrorValue out_of_memory_ = ErrorValue::of(Error(Errc::unavailable, "out of memory"));
  ResourceMaker<T> maker_;
  // Each resource belongs to its slot's owner (I2, I5), and comes and goes under the visit mutex.
  std::unique_ptr<std::optional<T>[]> resources_;
  std::unique_ptr<Retired[]> why_;  // each belongs to its slot's owner, too
  SlotPool<Sync> slots_;
  Openers openers_;
  std::stop_source announced_;
  std::stop_source closing_;

  // Relaxed: each is a number of its own.
  std::array<std::atomic<std::uint64_t>, kRetiredReasons> retired_{};
  std::array<std::atomic<std::uint64_t>, kErrcCount> failed_{};
  std::atomic<std::uint64_t> waited_{0};
  std::atomic<std::chrono::steady_clock::rep> waited_for_{0};
  tidegate::detail::LiveHistogram waits_;
  std::atomic<std::uint64_t> discarded_{0};
  std::atomic<std::uint64_t> suspicions_{0};

  // Held by visit(), and while a resource comes or goes (opening, end, hijack); never for a lease.
  mutable Mutex<> visit_mutex_;
  mutable Mutex<> failure_mutex_;
  std::optional<ErrorValue> last_failure_ TIDEGATE_GUARDED_BY(failure_mutex_);
};

}  // namespace tidegate::core
