// PoolImpl: what a Pool is made of, except the core that leases refer to.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/base/fork.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/errors.hpp>
#include <tidegate/pool/health.hpp>
#include <tidegate/pool/observer.hpp>
#include <tidegate/pq/cancel_group.hpp>
#include <tidegate/watch/slot_info.hpp>
#include <tidegate/watch/stats.hpp>

#include "pool/close/attached_users.hpp"
#include "pool/close/closing.hpp"
#include "pool/pooled_connection.hpp"
#include "pool/upkeep/maintenance.hpp"

namespace tidegate::detail {

class Connector;
class Lanes;

// The pool looks at the socket of a connection that was idle for longer than this before it hands
// the connection out. The warm path uses the coarse tick, so it looks up to 10 ms later.
inline constexpr std::chrono::nanoseconds kLookAfter = std::chrono::milliseconds(20);

// What an acquire asks for. Without a deadline: the configured one, from the start of the wait.
struct AcquireWish {
  std::optional<Deadline> deadline{};
  std::stop_token stop{};
  Location where{};
  // The deadline is PoolConfig's acquire_timeout all the same.
  bool configured = false;
  // When the wait began; unset: it begins now.
  std::chrono::steady_clock::time_point began{};
};

class PoolImpl : public std::enable_shared_from_this<PoolImpl> {
 public:
  // Throws like Pool's constructor. In a shared_ptr: threads that a close leaves behind hold it.
  PoolImpl(PoolConfig config, Location where);
  ~PoolImpl();

  PoolCore& core() const noexcept { return *core_; }
  // What the connections are observed by; null: by nobody.
  const std::shared_ptr<QueryObserver>& queries() const noexcept { return queries_; }
  // The configuration asks for some work at every acquire, so no acquire may take the warm path.
  bool every_acquire_is_slow() const noexcept {
    return config_.hooks.prepare || config_.hooks.should_ping || config_.capture_stack ||
           config_.nested_acquire != NestedAcquire::off;
  }
  // An observer is told of every acquire. tell_started() tells the beginning of each; acquire()
  // tells the end, tell_served() the end of an acquire from the warm path.
  bool tells_leases() const noexcept { return tells_leases_; }
  bool is_warm_but_tells() const noexcept { return tells_leases_ && !every_acquire_is_slow(); }
  void tell_started(Location where) const noexcept;
  void tell_served(core::Ticket ticket, Location where) const noexcept;
  // Counts connects that were given up when the server may already have had a process for them.
  void count_given_up(std::uint32_t connects) const noexcept {
    given_up_.fetch_add(connects, std::memory_order_relaxed);  // relaxed: a number of its own
  }
  const PoolConfig& config() const noexcept { return config_; }
  // This process is a child, after fork(), of the one that made the pool. The child may use only
  // config() and the next two; locks may be held for ever.
  bool inherited() const noexcept { return forks_ != ForkHook::forks(); }
  ErrorValue inherited_error(Location where) const;
  // Throws: Forked.
  void refuse_if_inherited(Location where) const {
    if (inherited()) inherited_error(where).raise();
  }

  // The part of an acquire that the warm path does not cover: the ticket of a connection that has
  // passed its check, or the error.
  using Entered = core::Entered;
  Expected<core::Ticket> acquire(Entered entered, const AcquireWish& wish);
  // When acquire_timeout is over for an acquire that began then.
  Deadline timeout_from(std::chrono::steady_clock::time_point began) const noexcept {
    const auto timeout = config_.acquire_timeout;
    return timeout.count() > 0 ? Deadline(began) + timeout : Deadline::never();
  }
  // Begins the lease; keeps its stack with capture_stack, and its time with an observer of leases.
  void begin_lease(core::Ticket ticket, Location where) noexcept;
  // Call before the first take_idle(). Throws: WouldDeadlock for a nested acquire.
  void begin_taking_idle(Location where);
  // A connection that is idle now, in good order without a ping, and wanted by prepare; or none.
  std::optional<core::Ticket> take_idle();
  // See Pool.
  Expected<void> warm_up(Deadline deadline, Location where);
  // The error for a stop that was requested before anything was done.
  ErrorValue refuse_stopped(const AcquireWish& wish);

  // Lanes: null when statements do not travel (lanes/lanes.hpp).
  Lanes* lanes() const noexcept { return lanes_.get(); }
  // Acquires for the leader of a lane, and begins the lease.
  Expected<core::Ticket> acquire_for_lane(const AcquireWish& wish);
  // The error for a statement that a lane has not sent.
  ErrorValue refuse_on_lane(Errc error, const AcquireWish& wish);

  // See Pool.
  void announce_shutdown(std::string_view reason, Location where);
  CloseReport close(const CloseOptions& options, Location where);
  void request_close(const char* reason, Location where) noexcept;
  // The end of Pool: closes it, on any thread, whatever leases that thread has, and lets go of it.
  static void end(std::shared_ptr<PoolImpl> impl) noexcept;
  void begin_generation() noexcept;
  UserToken attach(std::string_view user_name, Location where);
  // The components that say they use the pool: "http-server (src/main.cpp:12)", in the order in
  // which they came.
  std::vector<std::string> attached() const { return users_->names(); }
  Stats stats() const;
  Health health() const;
  std::string debug_dump() const;
  std::vector<SlotInfo> slots() const;

 private:
  friend class PendingAcquire;  // an acquire in steps

  // One acquire under way.
  struct Search : core::Search {
    PoolImpl* pool = nullptr;  // for suspect()
    std::chrono::steady_clock::time_point began{};
    Location where{};
    bool only_idle = false;     // for acquire_all_idle
    bool leaves_pings = false;  // to maintenance, because it must not block
    std::uint32_t dead = 0;     // connections found unfit so far
    std::uint32_t silent = 0;   // connections left to maintenance without an answer to a ping
    std::optional<ErrorValue> failure{};  // the error of a hook
    // How the acquire has ended, for the observer.
    bool waited = false;
    std::optional<Errc> error{};
  };
  void tell_ended(const Search& search) const noexcept;
  Expected<core::Ticket> search_or_refuse(Entered entered, const AcquireWish& wish, Search& search);
  Expected<core::Ticket> search_and_explain(Entered entered, const AcquireWish& wish,
                                            Search& search);
  std::vector<LeaseInfo> leases_of_nested(Entered entered) const;
  void leave(Entered entered) const noexcept;
  void count_nested(const std::vector<LeaseInfo>& held, Location where) noexcept;
  ErrorValue nested_error(const std::vector<LeaseInfo>& held, Location where);
  Expected<core::Ticket> refuse_nested(Entered entered, const std::vector<LeaseInfo>& held,
                                       Location where);
  core::Checked check(const core::Found& found, Search& search);
  core::Checked check_state(const core::Found& found, Search& search);
  bool wants_ping(const Connection& connection, std::chrono::nanoseconds idle) const;
  bool ping(Connection& connection, const Search& search) const noexcept;
  void leave_ping_to_maintenance(core::Ticket ticket, Search& search,
                                 std::chrono::steady_clock::time_point since) noexcept;
  core::Checked check_by_ping(core::Ticket ticket, Search& search);
  void set_aside(core::Ticket ticket, core::Errand errand) noexcept;
  // hook_calls.cpp
  core::Checked prepare(core::Ticket ticket, Search& search);
  Verdict ask_prepare(Connection& connection, const Search& search) const;
  void give_back_unleased(core::Ticket ticket) noexcept;
  void start_closer() noexcept;
  void run_hook_job(std::uint32_t slot, const std::stop_token& stop) noexcept;
  bool after_release(Connection& connection, const std::stop_token& stop) noexcept;
  void before_close(Connection& connection, const std::stop_token& stop) noexcept;

  static void suspect(core::Search& search) noexcept;
  ErrorValue explain(Errc error, const AcquireWish& wish, const Search& search);
  ErrorValue explain_closed(Location where);
  ErrorValue short_of(std::uint32_t open, std::uint32_t wanted, bool lame, const Search& search,
                      Location where) const;
  ErrorValue explain_connect(Errc error, const AcquireReport& report, Location where);
  AcquireReport report_of(const AcquireWish& wish, const Search& search);
  std::vector<LeaseHolder> holders(std::size_t most) const;
  void gauges_into(Stats& stats) const;
  void count_into(Stats& stats) const;
  Stats::Destroyed destroyed() const;

  static void in_child(void* pool) noexcept;

  struct Unref {
    void operator()(PoolCore* core) const noexcept { core->unref(); }
  };

  // Fixed after construction.
  const PoolConfig config_;
  const std::string name_;
  const bool tells_leases_ = config_.observer && config_.observer->wants_leases();
  const std::uint32_t forks_ = ForkHook::forks();
  mutable std::atomic<std::uint64_t> given_up_{0};
  const std::shared_ptr<QueryObserver> queries_;
  const std::shared_ptr<pq::CancelGroup> cancels_;
  const std::shared_ptr<const Connector> connector_;
  const std::shared_ptr<AttachedUsers> users_ = std::make_shared<AttachedUsers>();
  const std::unique_ptr<PoolCore, Unref> core_;
  Maintenance maintenance_;
  std::atomic<std::uint64_t> nested_acquires_{0};
  Closing closing_;
  struct Shown {
    std::uint64_t immediate = 0;
    std::uint64_t released = 0;
    std::uint64_t unanswered = 0;
  };
  mutable Mutex<> shown_mutex_;
  mutable Shown shown_ TIDEGATE_GUARDED_BY(shown_mutex_){};
  std::thread closer_;  // after request_close(); started by maintenance
  const std::unique_ptr<Lanes> lanes_;

  const ForkHook at_fork_{&PoolImpl::in_child, this};
};

}  // namespace tidegate::detail
