// Pool: PostgreSQL connections shared by many threads.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/errors.hpp>
#include <tidegate/pool/health.hpp>
#include <tidegate/pool/lane_call.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pool/pooled_transaction.hpp>
#include <tidegate/pool/user_token.hpp>
#include <tidegate/watch/lease_info.hpp>
#include <tidegate/watch/slot_info.hpp>
#include <tidegate/watch/stats.hpp>

namespace tidegate {

namespace detail {
struct AcquireWish;
class PoolImpl;
}  // namespace detail
namespace async {
class Acquire;
std::optional<Lease> try_acquire(Pool& pool, Location where) noexcept;
}  // namespace async

// Every member may be called from any thread at any time, also while the pool closes.
//
// After fork() the child may have a pool of its own, but may not use this one: every member throws
// Forked there, except config(), closed(), which is true, and the destructor, which forgets the
// pool. The connections stay the parent's: the child sends nothing on them, whatever it does or
// destroys.
//
// The acquiring verbs throw
//   PoolClosed       the pool is closed: by whom, where, when and why
//   AcquireTimeout   the deadline passed while every connection was in use, opening, checked, or
//                    being closed
//   AcquireCanceled  the stop_token was triggered
//   Overloaded       max_waiters acquires wait already
//   ConnectError     the server cannot be reached (known at the deadline), or refuses us (at once)
//   HookError        prepare said fail, or threw
//   WouldDeadlock    the acquire would have to wait, and only this thread could end the wait: the
//                    thread is inside calls of this pool (with, transact, copy_in, copy_out) that
//                    have every connection, or in a hook of this pool; or nested_acquire forbids it
// Any thread that can reach a Lease may give it back. So the pool does not refuse a thread that
// waits while it seems to have every lease itself: the thread waits, and
// Observer::self_deadlock_suspected and AcquireTimeout say what this looks like.
class TIDEGATE_API Pool {
 public:
  // Lazy: connects when the first connection is wanted. Starts one thread.
  // Throws: ConfigError, std::system_error when the system gives no thread.
  explicit Pool(PoolConfig config, Location where = Location::current());
  explicit Pool(std::string_view conninfo, Location where = Location::current())
      : Pool(PoolConfig::parse(conninfo, where), where) {}
  explicit Pool(const char* conninfo, Location where = Location::current())
      : Pool(std::string_view(conninfo), where) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  // close() as configured. Leases that are still out afterwards may be used, and end, later. For
  // leases that the calling thread acquired or used last, the destructor waits during drain,
  // because another thread may have them by now, and then leaves them as they are. It does not wait
  // for a lease in a call of the pool that this thread is in. In a hook, or in an observer on a
  // thread of the pool, it sets the fence and leaves the rest to a thread of its own.
  ~Pool();

  // Takes an idle connection, or waits for whatever comes first: a released connection, or a newly
  // opened one. Promises: everything the previous holder did happens before this returns. Without a
  // deadline: config().acquire_timeout. With a passed deadline: it never waits.
  Lease acquire(Location where = Location::current());
  Lease acquire(std::stop_token stop, Location where = Location::current());
  Lease acquire(Deadline deadline, std::stop_token stop = {}, Location where = Location::current());
  // The same, with the error as a value. Without a deadline it never waits, but the pool opens the
  // missing connection in the background.
  Expected<Lease> try_acquire(Location where = Location::current());
  Expected<Lease> try_acquire(Deadline deadline, std::stop_token stop = {},
                              Location where = Location::current());

  // Takes every connection that is idle now and needs no ping. Unless prepare says `use`, the
  // connection is discarded. Throws: PoolClosed.
  std::vector<Lease> acquire_all_idle(Location where = Location::current());

  // Acquire, run, release. They also throw what Connection's verbs of the same name throw. The
  // deadline and the stop of ExecOptions bound both together; acquire_timeout also bounds the
  // acquire.
  // With PoolConfig::lanes the statement may share its connection with others when none is idle.
  template <Bindable... Args>
  Rows exec(Sql sql, const Args&... args) {
    if (has_lanes_) return exec_or_share({}, sql, args...);
    Lease lease = acquire(sql.where());
    return lease->exec(sql, args...);
  }
  template <class... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(Sql sql, const Args&... args) {
    if (has_lanes_) return exec_or_share({}, sql, args...).only().template as<Ts...>();
    Lease lease = acquire(sql.where());
    return lease->template query_row<Ts...>(sql, args...);
  }
  template <class T, Bindable... Args>
  T query_value(Sql sql, const Args&... args) {
    if (has_lanes_) return std::get<0>(query_row<T>(sql, args...));
    Lease lease = acquire(sql.where());
    return lease->template query_value<T>(sql, args...);
  }
  void exec_script(Sql sql) {
    Lease lease = acquire(sql.where());
    lease->exec_script(sql);
  }
  template <Bindable... Args>
  Rows exec(const ExecOptions& options, Sql sql, const Args&... args) {
    if (has_lanes_) return exec_or_share(options, sql, args...);
    return acquire_within(options.by, options.stop, sql.where())->exec(options, sql, args...);
  }
  template <class... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(const ExecOptions& options, Sql sql, const Args&... args) {
    if (has_lanes_) return exec_or_share(options, sql, args...).only().template as<Ts...>();
    return acquire_within(options.by, options.stop, sql.where())
        ->template query_row<Ts...>(options, sql, args...);
  }
  template <class T, Bindable... Args>
  T query_value(const ExecOptions& options, Sql sql, const Args&... args) {
    if (has_lanes_) return std::get<0>(query_row<T>(options, sql, args...));
    return acquire_within(options.by, options.stop, sql.where())
        ->template query_value<T>(options, sql, args...);
  }
  void exec_script(const ExecOptions& options, Sql sql) {
    acquire_within(options.by, options.stop, sql.where())->exec_script(options, sql);
  }
  // Transactions: options.by bounds everything from the acquire to COMMIT; a separate Deadline
  // bounds the acquire only. Each call of f runs on one connection; each attempt acquires again.
  PooledTransaction begin(const TxOptions& options = {}, Location where = Location::current());
  PooledTransaction begin(Deadline deadline, const TxOptions& options = {},
                          Location where = Location::current());
  template <std::invocable<Transaction&> F>
  auto transact(F&& f, const TxOptions& options = {}, Location where = Location::current()) {
    const Lease lease = acquire_within(options.by, {}, where);
    return lease.use_in_call().transact(std::forward<F>(f), options, where);
  }
  template <std::invocable<Transaction&> F>
  auto transact(F&& f, Deadline deadline, const TxOptions& options = {},
                Location where = Location::current()) {
    const Lease lease = acquire(deadline, {}, where);
    return lease.use_in_call().transact(std::forward<F>(f), options, where);
  }
  template <std::invocable<Transaction&> F>
  auto transact_retry(F&& f, const TxOptions& options = {}, int attempts = 5,
                      Location where = Location::current()) {
    return pq::with_retries([&] { return transact(f, options, where); }, options.by, attempts,
                            where);
  }
  template <std::invocable<Transaction&> F>
  auto transact_retry(F&& f, Deadline deadline, const TxOptions& options = {}, int attempts = 5,
                      Location where = Location::current()) {
    return pq::with_retries([&] { return transact(f, deadline, options, where); }, options.by,
                            attempts, where);
  }
  // Batch and COPY: options.by and options.stop also bound the acquire.
  [[nodiscard]] BatchResults run(const Batch& batch, const ExecOptions& options = {},
                                 Location where = Location::current());
  template <class Range>
  std::uint64_t copy_in(const CopyTarget& target, Range&& rows, const ExecOptions& options = {},
                        Location where = Location::current()) {
    const Lease lease = acquire_within(options.by, options.stop, where);
    return lease.use_in_call().copy_in(target, std::forward<Range>(rows), options, where);
  }
  template <class F>
  void copy_out(Sql query, F&& per_row, const ExecOptions& options = {}) {
    const Lease lease = acquire_within(options.by, options.stop, query.where());
    lease.use_in_call().copy_out(query, std::forward<F>(per_row), options);
  }
  // Calls f(Connection&), and returns what f returns.
  template <std::invocable<Connection&> F>
  auto with(F&& f, std::optional<Deadline> deadline = {}, Location where = Location::current()) {
    const Lease lease = deadline ? acquire(*deadline, {}, where) : acquire(where);
    return std::forward<F>(f)(lease.use_in_call());
  }

  // Returns when the server has answered on a connection of the pool. Without a deadline:
  // config().acquire_timeout. Also throws ConnectionLost, or an Error with the code timeout.
  void ping(Location where = Location::current());
  void ping(Deadline deadline, Location where = Location::current());
  // Waits until min_size and min_idle are reached; false when the deadline passed first, the server
  // rejects us (at once), or the pool is closed. try_warm_up says which, as an error that value()
  // throws: a service that cannot reach its database fails at its start, with the reason. Codes:
  // rejected, unavailable (both ConnectError), timeout, closed.
  bool warm_up(Deadline deadline, Location where = Location::current());
  Expected<void> try_warm_up(Deadline deadline, Location where = Location::current());

  // Replaces every connection: idle ones now, leased ones when they are released. Forgets the
  // connect failures so far.
  void reset();

  // Lame duck: the pool serves everything as before, but opens nothing ahead of need, and the
  // stop_token of every lease fires, on this thread. The report of the close says who announced it
  // and why. A second call does nothing, nor does a call on a closed pool.
  void announce_shutdown(std::string_view reason, Location where = Location::current());
  // Fences off new acquires, tells every waiter, closes what is idle, waits for the leases, then
  // cancels their statements, then shuts their sockets down (CloseOptions). Takes at most as long
  // as the phases, whatever server, hooks and leases do. Fires the leases' stop_tokens on this
  // thread, so their callbacks must not block.
  // Idempotent; concurrent callers may shorten phases, wait, and get the same report.
  // Throws: WouldDeadlock in a call of this pool on the same thread (with, transact, copy_in,
  // copy_out), and in a hook or on a thread of the pool; UsageError for a negative phase. Then
  // nothing is changed. If this thread has a Lease that does not come back, the phases take their
  // full time: Observer::self_deadlock_suspected and the report say so.
  CloseReport close(const CloseOptions& options = {}, Location where = Location::current());
  // For signal handlers: sets the fence and leaves the rest of close() to a thread of the pool; a
  // later close() joins that thread's close. Async-signal-safe; `reason` is a literal. Does nothing
  // on a closed pool.
  void request_close(const char* reason = "requested",
                     Location where = Location::current()) noexcept;
  bool closed() const noexcept;
  // "This component uses the pool", until the token ends. The report of a close, and PoolClosed,
  // name the components that are still attached. Throws: PoolClosed, UsageError for no name.
  [[nodiscard]] UserToken attach(std::string_view user_name, Location where = Location::current());

  Stats stats() const;
  // Whether the pool can serve, with the evidence. Never waits for a connection, and takes none.
  Health health() const;
  // The health, the configuration without its secrets, the counters, and a row for each slot with
  // its lease: several lines, for a person. Costs a look at every slot.
  std::string debug_dump() const;
  // What is in each slot, for a page or a table. The looks at two slots are a moment apart.
  std::vector<SlotInfo> slots() const;
  // Every lease that is out, the oldest first.
  std::vector<LeaseInfo> leases() const;
  const PoolConfig& config() const noexcept;

 private:
  friend class async::Acquire;
  friend std::optional<Lease> async::try_acquire(Pool& pool, Location where) noexcept;

  // An acquire() that the deadline and the stop of its statement also bound.
  Lease acquire_within(Deadline by, const std::stop_token& stop, Location where);
  // Gives the call a connection that is idle now; else a place on a lane, if it `may_share`; else
  // waits for a connection.
  void begin_call(detail::LaneCall& call, bool may_share);
  // The rest of an acquire that has entered; the warm way where it can be.
  Expected<Lease> finish_acquire(core::Entered entered, const detail::AcquireWish& wish);
  template <Bindable... Args>
  Rows exec_or_share(const ExecOptions& options, Sql sql, const Args&... args) {
    constexpr int kMostTries = 3;  // on lanes that turn out to be slow
    bool may_share = options.shared;
    for (int tries = 0;; ++tries) {
      detail::LaneCall call(impl_, options, sql);
      begin_call(call, may_share && tries < kMostTries);
      if (call.has_lease()) return call.lease()->exec(options, sql, args...);
      (call.params().bind(args), ...);
      if (auto rows = call.run()) return *std::move(rows);
      may_share = may_share && call.fits();
    }
  }
  PooledTransaction begin_on(Lease lease, const TxOptions& options, Location where);
  bool may_be_warm() const noexcept;
  [[gnu::noinline]] Lease acquire_slowly(Location where);
  [[gnu::cold, gnu::noinline]] Lease acquire_slowly(core::Entered entered, Location where);

  // Fixed after construction. core_ spares the warm path a look into impl_; warm_core_ is null when
  // every acquire has something to do that the warm path does not know.
  std::shared_ptr<detail::PoolImpl> impl_;
  detail::PoolCore* core_;
  detail::PoolCore* warm_core_;
  bool has_lanes_;
};

}  // namespace tidegate
