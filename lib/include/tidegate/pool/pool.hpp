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
#include <tidegate/pool/lease.hpp>
#include <tidegate/pool/pooled_transaction.hpp>
#include <tidegate/pool/user_token.hpp>
#include <tidegate/watch/lease_info.hpp>
#include <tidegate/watch/stats.hpp>

namespace tidegate {

namespace detail {
class PoolImpl;
}

// Every member may be called from any thread at any time, also while the pool closes.
//
// After fork() the child may have a pool of its own, but not this one: every member throws Forked
// there, except config(), closed(), which is true, and the destructor, which forgets the pool. The
// parent's connections stay its own: the child sends nothing on them, whatever it does or destroys.
//
// The acquiring verbs throw
//   PoolClosed       the pool is closed: by whom, where, when and why
//   AcquireTimeout   the deadline passed while every connection was in use, opening, checked, or
//                    being closed
//   AcquireCanceled  the stop_token was triggered
//   Overloaded       max_waiters acquires wait already
//   ConnectError     the server cannot be reached (known at the deadline), or refuses us (at once)
//   HookError        prepare said fail, or threw
//   WouldDeadlock    it would have to wait, and only this thread could end the wait: every
//   connection
//                    is in a call of this pool that it is in (with, transact, copy_in, copy_out),
//                    or it is in a hook of this pool; or nested_acquire forbids it
// A Lease may be given back by any thread that can reach it, so a thread that waits while it seems
// to have every lease itself is not refused: it waits, and Observer::self_deadlock_suspected and
// AcquireTimeout say what it looks like.
class TIDEGATE_API Pool {
 public:
  // Lazy: connects when the first connection is wanted; starts one thread.
  // Throws: ConfigError, std::system_error when there is no thread to be had.
  explicit Pool(PoolConfig config, Location where = Location::current());
  explicit Pool(std::string_view conninfo, Location where = Location::current())
      : Pool(PoolConfig::parse(conninfo, where), where) {}
  explicit Pool(const char* conninfo, Location where = Location::current())
      : Pool(std::string_view(conninfo), where) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  // close() as configured. Leases that are out after that may be used, and end, later. Those that
  // the calling thread has acquired or used last are waited for while drain lasts, as somebody else
  // may have them by now, and left as they are after that; one in a call of the pool that this
  // thread is in is not waited for. In a hook, or an observer on a thread of the pool: sets the
  // fence and leaves the rest to a thread of its own.
  ~Pool();

  // Takes an idle connection, or waits for whatever comes first: one that is released, or one that
  // is opened. Promises: everything the previous holder did happens before this returns.
  // Without a deadline: config().acquire_timeout. A passed deadline: only if it needs no waiting.
  Lease acquire(Location where = Location::current());
  Lease acquire(std::stop_token stop, Location where = Location::current());
  Lease acquire(Deadline deadline, std::stop_token stop = {}, Location where = Location::current());
  // The same, with the error as a value; without a deadline it never waits, but what it lacked is
  // opened in the background.
  Expected<Lease> try_acquire(Location where = Location::current());
  Expected<Lease> try_acquire(Deadline deadline, std::stop_token stop = {},
                              Location where = Location::current());

  // Every connection that is idle now and needs no ping; any verdict of prepare but `use` discards
  // it. Throws: PoolClosed.
  std::vector<Lease> acquire_all_idle(Location where = Location::current());

  // Acquire, run, release. Throw also what Connection's verbs of the same name throw. The deadline
  // and the stop of ExecOptions bound both together, the acquire also its acquire_timeout.
  template <Bindable... Args>
  Rows exec(Sql sql, const Args&... args) {
    Lease lease = acquire(sql.where());
    return lease->exec(sql, args...);
  }
  template <class... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(Sql sql, const Args&... args) {
    Lease lease = acquire(sql.where());
    return lease->template query_row<Ts...>(sql, args...);
  }
  template <class T, Bindable... Args>
  T query_value(Sql sql, const Args&... args) {
    Lease lease = acquire(sql.where());
    return lease->template query_value<T>(sql, args...);
  }
  void exec_script(Sql sql) {
    Lease lease = acquire(sql.where());
    lease->exec_script(sql);
  }
  template <Bindable... Args>
  Rows exec(const ExecOptions& options, Sql sql, const Args&... args) {
    return acquire_within(options.by, options.stop, sql.where())->exec(options, sql, args...);
  }
  template <class... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(const ExecOptions& options, Sql sql, const Args&... args) {
    return acquire_within(options.by, options.stop, sql.where())
        ->template query_row<Ts...>(options, sql, args...);
  }
  template <class T, Bindable... Args>
  T query_value(const ExecOptions& options, Sql sql, const Args&... args) {
    return acquire_within(options.by, options.stop, sql.where())
        ->template query_value<T>(options, sql, args...);
  }
  void exec_script(const ExecOptions& options, Sql sql) {
    acquire_within(options.by, options.stop, sql.where())->exec_script(options, sql);
  }
  // Transactions: options.by bounds BEGIN to COMMIT, and the acquire with it; a Deadline of its own
  // is for the acquire only. What f is called with is on one connection, each attempt on the next.
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
  // Batch and COPY: options.by and options.stop bound the acquire, too.
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
  // f(Connection&), and what it returns.
  template <std::invocable<Connection&> F>
  auto with(F&& f, std::optional<Deadline> deadline = {}, Location where = Location::current()) {
    const Lease lease = deadline ? acquire(*deadline, {}, where) : acquire(where);
    return std::forward<F>(f)(lease.use_in_call());
  }

  // Returns when the server has answered on a connection of the pool. Without a deadline:
  // config().acquire_timeout. Throws also ConnectionLost, or an Error with the code timeout.
  void ping(Location where = Location::current());
  void ping(Deadline deadline, Location where = Location::current());
  // Waits until min_size and min_idle are reached; false when the deadline passed first, the server
  // rejects us (at once), or the pool is closed. The other form says which, as an error whose
  // value() throws it: so a service that cannot reach its database fails at its start, with the
  // reason. Codes: rejected, unavailable (both ConnectError), timeout, closed.
  bool warm_up(Deadline deadline, Location where = Location::current());
  Expected<void> try_warm_up(Deadline deadline, Location where = Location::current());

  // Every connection is replaced as it comes back: idle ones now, leased ones when they are
  // released. Forgets what went wrong with connects so far.
  void reset();

  // Lame duck: everything is served as before, but nothing is opened ahead of need, and the
  // stop_token of every lease fires, on this thread. The report of the close says who announced it
  // and why. Does nothing a second time, nor on a closed pool.
  void announce_shutdown(std::string_view reason, Location where = Location::current());
  // Fences off new acquires, tells every waiter, closes what is idle, waits for the leases, then
  // cancels their statements, then shuts their sockets down (CloseOptions). Takes as long as the
  // phases at most, whatever server, hooks and leases do. Fires the leases' stop_tokens, on this
  // thread: their callbacks must not block.
  // Idempotent; concurrent callers may shorten phases, wait, and get the same report.
  // Throws: WouldDeadlock in a call of this pool on the same thread (with, transact, copy_in,
  // copy_out), and in a hook or on a thread of the pool; UsageError for a negative phase. Nothing
  // is changed then. On a thread that has a Lease which does not come back, the phases take their
  // time: Observer::self_deadlock_suspected and the report say so.
  CloseReport close(const CloseOptions& options = {}, Location where = Location::current());
  // For signal handlers: sets the fence and leaves the rest of close() to a thread of the pool; a
  // later close() joins that. Async-signal-safe; `reason` is a literal. Does nothing on a pool that
  // is closed already.
  void request_close(const char* reason = "requested",
                     Location where = Location::current()) noexcept;
  bool closed() const noexcept;
  // "This component uses the pool", until the token ends: who is still attached when the pool is
  // closed is named in the report and in PoolClosed. Throws: PoolClosed, UsageError for no name.
  [[nodiscard]] UserToken attach(std::string_view user_name, Location where = Location::current());

  Stats stats() const;
  // Every lease that is out, the oldest first.
  std::vector<LeaseInfo> leases() const;
  const PoolConfig& config() const noexcept;

 private:
  // acquire(), ended also by what bounds the statement it is for.
  Lease acquire_within(Deadline by, const std::stop_token& stop, Location where);
  PooledTransaction begin_on(Lease lease, const TxOptions& options, Location where);
  bool may_be_warm() const noexcept;
  [[gnu::noinline]] Lease acquire_slowly(Location where);
  [[gnu::cold, gnu::noinline]] Lease acquire_slowly(core::Entered entered, Location where);

  // Fixed after construction. The core by itself, to spare the warm path a look into impl_; null in
  // warm_core_ when there is something to do at every acquire that the warm path does not know.
  std::shared_ptr<detail::PoolImpl> impl_;
  detail::PoolCore* core_;
  detail::PoolCore* warm_core_;
};

}  // namespace tidegate
