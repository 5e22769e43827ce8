// ResourcePool<T>: the generic pool, for anything that is expensive to make.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/core/maintenance_loop.hpp>
#include <tidegate/core/resource_core.hpp>

namespace tidegate::core {

template <class T>
struct ResourcePoolConfig {
  // Makes a resource; runs on opener threads, must end soon after its stop fires.
  std::function<Expected<T>(std::stop_token, Deadline)> create{};
  // Ends a resource; runs on the pool's maintenance thread, or on a late releaser's. Unset: ~T.
  std::function<void(T&&)> destroy{};
  // Whether a returned resource may be handed out again. Runs on the releasing thread; must not
  // throw. Unset: yes.
  std::function<bool(T&)> is_reusable{};
  // The acquire at this source location has waited for 100 ms (kSuspicious), all resources are
  // leased, and its thread is the last user of each, so it may be waiting for itself. Runs on that
  // thread, which goes on waiting; must not throw.
  std::function<void(Location)> self_deadlock_suspected{};
  std::uint32_t max_size = 4;                      // 1..65535
  std::uint32_t max_waiters = 0;                   // 0 = unlimited
  std::uint32_t gates = 0;                         // a power of two <= 64; 0 = one per core
  std::uint32_t max_opening = 4;                   // creations at once
  std::chrono::microseconds barge_window{50};      // 0 = strict FIFO
  std::chrono::milliseconds open_timeout{10'000};  // the deadline that create gets
  std::chrono::milliseconds backoff_min{100};      // after a failed creation
  std::chrono::milliseconds backoff_max{10'000};
};

struct ResourceStats {
  PoolCounts counts{};
  std::uint64_t acquired = 0;  // leases begun, of which `waited` had to wait
  std::uint64_t waited = 0;
  std::chrono::nanoseconds waited_for{};  // how long they waited in total
  std::uint64_t ended = 0;      // leases that are over, `discarded` and `hijacked` included
  std::uint64_t discarded = 0;  // leases whose resource was not fit to return
  std::uint64_t hijacked = 0;
  std::uint64_t created = 0;
  std::uint64_t create_failed = 0;
  std::uint64_t self_deadlocks_suspected = 0;      // see ResourcePoolConfig
  std::array<std::uint64_t, kErrcCount> failed{};  // acquires without a lease, by Errc
};

// A pool of at most max_size resources of type T. It throws only what its constructor says: verbs
// return an Errc or a lease. Any thread may use all of it at any time, also while it closes.
template <class T, class Sync = StdSync>
class ResourcePool {
  using Core = ResourceCore<T, Sync>;

 public:
  // A resource in use. Move-only; empty when default-constructed, moved from or released. May
  // outlive the pool. One thread at a time may use it.
  class Lease {
   public:
    Lease() noexcept = default;
    Lease(Lease&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)), ticket_(other.ticket_) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        release();
        core_ = std::exchange(other.core_, nullptr);
        ticket_ = other.ticket_;
      }
      return *this;
    }
    ~Lease() { release(); }

    explicit operator bool() const noexcept { return core_ != nullptr; }
    // Needs: a lease that is not empty. The thread that uses the resource becomes its last user,
    // wherever the resource was acquired (self_deadlock_suspected).
    T& operator*() const noexcept {
      core_->adopt(ticket_);
      return core_->resource(ticket_.slot());
    }
    T* operator->() const noexcept { return &**this; }

    // Gives the resource back to the pool; does nothing on an empty lease.
    void release() noexcept {
      if (Core* core = std::exchange(core_, nullptr)) core->release(ticket_);
    }
    // The resource is not fit for reuse: the pool destroys it.
    void discard() noexcept {
      if (Core* core = std::exchange(core_, nullptr)) core->discard(ticket_, Retired::broken);
    }
    // Takes the resource out of the pool for good. Needs a lease that is not empty.
    T hijack() && noexcept { return std::exchange(core_, nullptr)->hijack(ticket_); }

   private:
    friend class ResourcePool;
    Lease(Core* core, Ticket ticket) noexcept : core_(core), ticket_(ticket) {}
    Core* core_ = nullptr;
    Ticket ticket_{};
  };

  // A lease, or why there is none.
  struct Acquired {
    std::optional<Errc> error{};
    Lease lease{};
    explicit operator bool() const noexcept { return !error; }
  };

  // Makes no resource yet; starts one thread. Throws UsageError for a configuration without create,
  // or with a number out of its range; std::system_error when no thread can be created.
  explicit ResourcePool(ResourcePoolConfig<T> config, Location where = Location::current())
      : suspected_((require_valid(config, where), std::move(config.self_deadlock_suspected))),
        core_(Core::make({.max_size = config.max_size,
                          .gates = config.gates,
                          .max_waiters = config.max_waiters,
                          .max_opening = std::min(config.max_opening, config.max_size),
                          .barge_window = config.barge_window},
                         {.max_threads = std::min(config.max_opening, config.max_size),
                          .open_timeout = config.open_timeout,
                          .backoff_min = config.backoff_min,
                          .backoff_max = config.backoff_max},
                         {.create =
                              [this, create = std::move(config.create)](std::stop_token stop,
                                                                        Deadline deadline) {
                                maintenance_.soon();  // the tick stands still while nothing is open
                                return create(std::move(stop), deadline);
                              },
                          .retire_wanted = [this] { maintenance_.wake(); },
                          .no_thread =
                              [this] {
                                // [no-thread] release; pairs with keep(). Carries: the slot that is
                                // empty again.
                                lacks_thread_.store(true, std::memory_order_release);
                                maintenance_.soon();
                              },
                          .destroy = std::move(config.destroy),
                          .unfit = unfit(std::move(config.is_reusable))})),
        maintenance_("tidegate-keep", kTickPeriod, [this] { return keep(); }) {}
  ResourcePool(const ResourcePool&) = delete;
  ResourcePool& operator=(const ResourcePool&) = delete;
  // close() without waiting for leases: they may outlive the pool.
  ~ResourcePool() { close(Deadline::now()); }

  // Takes an idle resource, or waits for the first one that is released or made. With a passed
  // deadline it never waits. Everything the last holder did happens before this returns. A thread
  // that seems to wait for itself is suspected, never refused: any thread may give a Lease back.
  Acquired acquire(Deadline deadline = Deadline::never(), const std::stop_token& stop = {},
                   Location where = Location::current()) {
    if (stop.stop_requested()) [[unlikely]] {
      return fail(core_->slots().closed() ? Errc::closed : Errc::canceled);
    }
    Core& core = *core_;
    const std::int32_t thread = known_thread_id();
    Entered entered{Entry::docked, {}};
    if (thread != 0 && core.slots().try_enter_docked(entered.ticket)) [[likely]] {
      const auto seen = core.glance();
      Slot& slot = seen.slots[entered.ticket.slot()];
      if (core.fresh(slot, seen)) [[likely]] {
        slot.begin_lease(thread, where, seen.now);
        return {std::nullopt, Lease(&core, entered.ticket)};
      }
    } else {
      entered = core.slots().enter();
    }
    // Gets a Found by value, because an Acquired made in there would have to live in memory.
    const Found found = acquire_slowly(entered, deadline, stop, where);
    if (found.error) return {found.error, {}};
    return begin(found.ticket, where);
  }
  // Like acquire with a passed deadline; the pool makes what was missing in the background.
  Acquired try_acquire(Location where = Location::current()) {
    return acquire(Deadline::now(), {}, where);
  }
  // Leases everything that is idle now.
  std::vector<Lease> acquire_all_idle(Location where = Location::current()) {
    std::vector<Lease> leases;
    leases.reserve(core_->slots().limits().max_size);
    while (leases.size() < core_->slots().limits().max_size) {
      const auto entered = core_->slots().enter();
      std::optional<Ticket> ticket;
      if (entered.entry == Entry::closed) break;
      if (entered.entry == Entry::docked) ticket = entered.ticket;
      if (!ticket) ticket = core_->slots().find_idle(entered.ticket.gate());
      if (!ticket) break;
      if (core_->fresh(ticket->slot())) {
        leases.push_back(begin(*ticket, where).lease);
      } else {
        core_->discard_unleased(*ticket, core_->stale_reason(ticket->slot()));
      }
    }
    return leases;
  }
  // Makes one resource on the calling thread and adds it to the idle ones. False: creation failed,
  // the pool is full, the deadline passed, or the pool is closed by the time it returns (what was
  // made is ended then).
  bool create_resource(Deadline deadline = Deadline::never(), const std::stop_token& stop = {}) {
    return core_->create_here(stop, deadline);
  }
  // Makes the pool replace every resource that exists or is being made now as it comes back.
  void reset() noexcept {
    core_->begin_generation();
    check_idle([](T&) { return true; });
  }
  // Checks each idle resource. If `is_fit(T&)` returns true, the resource goes to a waiter or is
  // idle again; otherwise the pool destroys it, as it does with those that a reset has called back.
  // `is_fit` runs on the calling thread and must not throw.
  template <class F>
  void check_idle(F&& is_fit) noexcept {
    auto& slots = core_->slots();
    const auto check = [&](std::uint32_t slot) {
      const bool fresh = core_->fresh(slot);
      if (fresh && is_fit(core_->resource(slot))) return slots.put_back(slot);
      core_->count_retired(slot, fresh ? Retired::broken : core_->stale_reason(slot));
      slots.retire_checked(slot);
    };
    slots.check_each_idle(check);
  }
  // Fences off new acquires, tells every waiter, ends what is idle, and waits for the leases until
  // `drain`. True: all leases came back. False: the leases that are still out keep working, and
  // their resources are ended when they come back. Idempotent.
  bool close(Deadline drain = Deadline::never()) {
    core_->slots().close();
    core_->openers().stop();
    const bool drained = core_->slots().await_drained(drain);
    std::call_once(closed_, [&] {
      // Also when drained: another closer, a reset or a create_resource may still have a slot in
      // hand.
      core_->slots().orphan_leases();
      maintenance_.stop();
      finish_retiring();
    });
    return drained;
  }

  PoolCounts counts() const noexcept { return core_->slots().counts(); }
  // The same without a lock and without oldest_wait, for watching a pool that may hang.
  PoolCounts places() const noexcept { return core_->slots().places(); }
  // For audits of I1: whether slot states and books agree. True at any moment while it is open.
  bool balances() const noexcept {
    const auto census = core_->slots().census();
    return census.by_state == census.by_books;
  }
  // What the pool looks like inside, gate by gate and slot by slot, for people. Takes no lock.
  std::string describe() const { return core_->slots().describe(); }
  std::optional<ErrorValue> last_failure() const { return core_->last_failure(); }
  ResourceStats stats() const noexcept {
    const auto& slots = core_->slots();
    ResourceStats stats{
        .counts = slots.counts(), .waited = core_->waited(), .waited_for = core_->waited_for()};
    for (std::uint32_t i = 0; i < slots.limits().max_size; ++i) {
      stats.acquired += slots.slot(i).acquired();
      stats.ended += slots.slot(i).ended();
    }
    stats.discarded = core_->discarded();
    stats.hijacked = core_->retired(Retired::hijacked);
    stats.created = slots.openings();
    stats.create_failed = slots.failures();
    stats.self_deadlocks_suspected = core_->suspicions();
    for (std::size_t i = 0; i < kErrcCount; ++i) {
      stats.failed[i] = core_->failed(static_cast<Errc>(i));
    }
    return stats;
  }

 private:
  static constexpr std::chrono::milliseconds kTickPeriod{10};

  static void require_valid(const ResourcePoolConfig<T>& config, Location where) {
    const auto require = [where](bool holds, const char* what) {
      if (!holds) throw UsageError(std::string("resource pool: ") + what, where);
    };
    const auto none = std::chrono::milliseconds::zero();
    require(config.create != nullptr, "there is no function that creates");
    require(config.max_size >= 1 && config.max_size <= kMostSlots, "max_size is not in 1..65535");
    require(config.gates == 0 || (std::has_single_bit(config.gates) && config.gates <= 64),
            "gates is neither 0 nor a power of two up to 64");
    require(config.max_opening >= 1, "max_opening is 0: nothing could ever be made");
    require(config.barge_window >= none, "barge_window is negative");
    require(config.open_timeout > none, "open_timeout is not positive");
    require(config.backoff_min >= none && config.backoff_max >= config.backoff_min,
            "backoff_min and backoff_max are not in order");
  }

  static std::function<std::optional<Retired>(T&)> unfit(std::function<bool(T&)> is_reusable) {
    if (!is_reusable) return {};
    return [is_reusable = std::move(is_reusable)](T& resource) -> std::optional<Retired> {
      if (is_reusable(resource)) return std::nullopt;
      return Retired::broken;
    };
  }

  Acquired begin(Ticket ticket, Location where) noexcept {
    core_->begin_lease(ticket, where);
    return {std::nullopt, Lease(core_.get(), ticket)};
  }
  Acquired fail(Errc error) noexcept {
    core_->count_failed({error, {}, false});
    return {error, {}};
  }
  // One acquire under way.
  struct Wait : Search {
    ResourcePool& pool;
    Location where{};
  };
  static void suspect(Search& search) noexcept {
    auto& wait = static_cast<Wait&>(search);
    wait.pool.core_->count_suspicion();
    if (wait.pool.suspected_) wait.pool.suspected_(wait.where);
  }
  [[gnu::cold, gnu::noinline]] Found acquire_slowly(Entered entered, Deadline deadline,
                                                    const std::stop_token& stop, Location where) {
    Wait search{{.deadline = deadline, .stop = stop, .suspect = &suspect}, *this, where};
    return core_->acquire(entered, search, [this](const Found& at) {
      const std::uint32_t slot = at.ticket.slot();
      if (core_->fresh(slot)) return Checked::use;
      core_->replace(at.ticket, core_->stale_reason(slot));
      return Checked::next;
    });
  }

  // One pass of maintenance; true: again after a tick.
  bool keep() noexcept {
    core_->slots().set_tick(Sync::now().time_since_epoch().count());
    finish_retiring();
    core_->openers().give_up_overdue(std::chrono::steady_clock::now());
    const PoolCounts counts = core_->slots().counts();
    const bool lacks_thread = lacks_thread_.exchange(false, std::memory_order_acquire);
    if (lacks_thread || counts.waiting > counts.connecting) core_->slots().grow();
    return counts.leased + counts.idle + counts.connecting + counts.checking + counts.waiting > 0;
  }
  void finish_retiring() noexcept {
    while (const auto slot = core_->slots().take_to_retire()) core_->finish(*slot);
  }

  struct Unref {
    void operator()(Core* core) const noexcept { core->unref(); }
  };

  const std::function<void(Location)> suspected_;
  std::unique_ptr<Core, Unref> core_;
  std::atomic<bool> lacks_thread_{false};  // keep() must ask for an opening again
  MaintenanceLoop maintenance_;
  std::once_flag closed_;
};

}  // namespace tidegate::core
