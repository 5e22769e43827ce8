// Connection: one session with a PostgreSQL server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/activity.hpp>
#include <tidegate/pq/convert.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/notice.hpp>
#include <tidegate/pq/rows.hpp>
#include <tidegate/pq/session_monitor.hpp>
#include <tidegate/pq/session_state.hpp>
#include <tidegate/pq/tx_options.hpp>
#include <tidegate/pq/verb.hpp>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {
class PoolAccess;
}

namespace tidegate {

class Batch;
class BatchResults;
class Transaction;
struct CopyTarget;

// Move-only; default-constructed and moved-from: closed. For one thread at a time.
//
// Code that a verb calls (the callbacks of each() and copy_out(), copy_in()'s range, your
// Convert<T>, a notice handler) must not use the connection: verbs refuse that with a UsageError,
// ping() returns false. If such code closes the connection or ends its lease, that takes place when
// the verb is over; the verb stops early and throws a UsageError. Only if a notice handler did so,
// the verb goes on to its end, or throws ConnectionLost if that closed the connection.
//
// Every throwing verb throws
//   UsageError      the connection is closed, another verb is under way, a command started through
//                   native_handle() is, or a parameter cannot be sent (nothing has been sent then)
//   QueryError      the server reported an error; the connection stays usable
//   QueryTimeout    the deadline of ExecOptions passed and the statement was canceled: the server
//                   has said so, or has said nothing for a second and the connection is given up.
//                   A statement that succeeded before the cancel arrived has succeeded. If the
//                   deadline had passed before the call, nothing was sent
//   QueryCanceled   the same for the stop_token of ExecOptions, and for cancel()
//   Forked          this process is a fork() child of the one that opened the connection. In the
//                   child is_open() is false, the verbs that do not throw do nothing, and the
//                   destructor sends nothing
//   ConnectionLost  the connection is broken; whether the statement took effect is not known. If
//                   the message says that it was already broken before the call, nothing was sent.
class TIDEGATE_API Connection {
 public:
  Connection() noexcept = default;
  explicit Connection(std::unique_ptr<pq::Session> session) noexcept;  // for pq::connect()
  Connection(Connection&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {
    if (state_ != nullptr) state_->belongs_to(this);
  }
  Connection& operator=(Connection&& other) noexcept;
  ~Connection() {
    if (state_ != nullptr) close();
  }

  // Runs one statement. Parameters are $1, $2, ... in the text. COPY is refused with a UsageError.
  template <Bindable... Args>
  Rows exec(Sql sql, const Args&... args) {
    return exec(ExecOptions{}, sql, args...);
  }
  template <Bindable... Args>
  Rows exec(const ExecOptions& options, Sql sql, const Args&... args) {
    const pq::Verb verb(free_session(sql.where()), QueryKind::exec);
    Params& params = start(verb, sql, options);
    (params.bind(args), ...);
    return run(verb);
  }
  // The only row of the result. Throws also NoRows, TooManyRows, and as Row::as().
  template <OwningReadable... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(Sql sql, const Args&... args) {
    return exec(sql, args...).only().template as<Ts...>();
  }
  template <OwningReadable... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(const ExecOptions& options, Sql sql, const Args&... args) {
    return exec(options, sql, args...).only().template as<Ts...>();
  }
  // The only value of the result. Throws as query_row.
  template <OwningReadable T, Bindable... Args>
  T query_value(Sql sql, const Args&... args) {
    return std::get<0>(query_row<T>(sql, args...));
  }
  template <OwningReadable T, Bindable... Args>
  T query_value(const ExecOptions& options, Sql sql, const Args&... args) {
    return std::get<0>(query_row<T>(options, sql, args...));
  }
  // each(sql, args..., per_row): calls per_row(Row) for every row as it comes, in bounded memory.
  // The Row is valid during the call, and per_row must not use the connection. Ends early when
  // per_row returns false, or throws (the exception is passed on): the rest is canceled, and the
  // connection stays usable.
  template <class... Args>
  void each(Sql sql, Args&&... args) {
    each(ExecOptions{}, sql, args...);
  }
  template <class... Args>
  void each(const ExecOptions& options, Sql sql, Args&&... args) {
    static_assert(sizeof...(Args) > 0,
                  "tidegate: the last argument of each() is called with a Row");
    constexpr std::size_t kParams = sizeof...(Args) - 1;
    const auto all = std::tie(args...);
    const pq::Verb verb(free_session(sql.where()), QueryKind::each);
    Params& params = start(verb, sql, options);
    bind_first(params, all, std::make_index_sequence<kParams>{});
    each_row(verb, std::get<kParams>(all));
  }
  // Runs several statements separated by semicolons, as one transaction unless they say otherwise.
  // Their rows are dropped. At the first error the rest is not run.
  void exec_script(Sql sql) { exec_script(ExecOptions{}, sql); }
  void exec_script(const ExecOptions& options, Sql sql);

  // Opens a transaction (transaction.hpp, which also has the templates). When the server refuses,
  // the connection stays usable. Throws: UsageError when a transaction is open already.
  Transaction begin(const TxOptions& options = {}, Location where = Location::current());
  // Calls f(Transaction&), commits, and returns what f returned. When f throws, rolls back and
  // passes the exception on. f may end the transaction itself.
  template <class F>
  auto transact(F&& f, const TxOptions& options = {}, Location where = Location::current());
  // The same, but after a serialization failure or a deadlock (40001, 40P01) f is called again in a
  // new transaction, up to `attempts` times in all and until options.by, with a pause in between. A
  // COMMIT whose answer was lost is not retried. Throws the last error.
  template <class F>
  auto transact_retry(F&& f, const TxOptions& options = {}, int attempts = 5,
                      Location where = Location::current());

  // Runs the statements in one round trip (batch.hpp). SQL errors are in the results.
  [[nodiscard]] BatchResults run(const Batch& batch, const ExecOptions& options = {},
                                 Location where = Location::current());

  // COPY, streaming in bounded memory (copy.hpp, where the templates are).
  // Writes the tuples of a range to a table; returns how many. All or none: when the range throws,
  // or a value cannot be sent, the COPY is aborted and the exception is passed on.
  template <class Range>
  std::uint64_t copy_in(const CopyTarget& target, Range&& rows, const ExecOptions& options = {},
                        Location where = Location::current());
  // Runs COPY (query) TO STDOUT and calls per_row(Row) for each row. The Row is valid until per_row
  // returns. Ends early when per_row throws, or returns false.
  template <class F>
  void copy_out(Sql query, F&& per_row, const ExecOptions& options = {});

  // Makes the statement one of the connection's prepared statements, as its first use would.
  void prepare(Sql sql);

  // Notifications of the channels that the session listens to (LISTEN): those that have come, or
  // else the first to come before the deadline and the stop; none when none comes. For a connection
  // that is held: the pool drops notifications of idle ones.
  // Behind a pooler that says that each transaction gets another session (PgBouncer from 1.26 on)
  // this throws a UsageError, as LISTEN does, since no notification would ever come. SET,
  // session-level advisory locks, temporary tables and PREPARE are lost with their transaction
  // there; a notice warns of each (set_notice_handler()).
  std::vector<Notification> notifications(Deadline deadline, const std::stop_token& stop = {},
                                          Location where = Location::current());

  // One empty round trip, or as much of it as fits before the deadline and the stop.
  // Promises: true when the server has answered. After false with is_open() the answer is still to
  //           come: the next ping() goes on waiting for it, every other verb waits for it first;
  //           code that uses native_handle() has to wait for it.
  bool ping(Deadline deadline, const std::stop_token& stop = {}) noexcept;

  // Asks the server to cancel the statement under way, which then throws QueryCanceled unless it
  // succeeds first. Any thread, also while another one waits for that statement; nobody may close
  // or move the connection meanwhile. Does not wait.
  // Returns: false when no statement is under way (nothing is sent then), or no thread could be
  // had.
  bool cancel() const noexcept;
  // What the connection is doing. Any thread; nobody may close or move the connection meanwhile.
  Activity activity() const;

  // Not closed, and not known to be broken.
  bool is_open() const noexcept { return state_ != nullptr && !state_->has(Flag::broken); }
  TransactionStatus transaction_status() const noexcept;
  int backend_pid() const noexcept;  // of the server process; 0 when closed
  // A pooler has answered the connect: the process number it gave out is one that no process has.
  // (One in a thousand of the numbers that poolers make up looks like a real one by chance.)
  bool through_pooler() const noexcept;
  // What the server reports of itself ("server_version", "TimeZone"); nullopt if it does not.
  std::optional<std::string> parameter_status(const std::string& name) const;
  // From here on notices go to `handler`; with an empty one they are dropped. A handler that is set
  // during a lease ends with the lease, and the one from before is back. Throws: UsageError in a
  // notice handler.
  void set_notice_handler(NoticeHandler handler);
  // libpq's handle, in blocking mode, for existing libpq code; null when closed. The connection
  // still owns it. The end of the lease checks what was done with it. Waits for cancel requests of
  // earlier statements that are on their way, so that they strike nothing that you do with it;
  // drain_bound at most.
  pg_conn* native_handle() noexcept;
  // Ends the session, without waiting for the server to end its side. Does I/O. Inside a verb: see
  // above.
  void close() noexcept;

 private:
  friend class pq::PoolAccess;
  using Flag = pq::SessionState::Flag;

  pq::Session& session() const noexcept;
  pq::Session& open_session(Location where) const;
  pq::Session& free_session(Location where) const;
  static Params& start(const pq::Verb& verb, Sql sql, const ExecOptions& options);
  static Rows run(const pq::Verb& verb);
  static void stream(const pq::Verb& verb, bool (*sink)(void*, const Row&), void* context);
  template <class Tuple, std::size_t... I>
  static void bind_first(Params& params, const Tuple& args, std::index_sequence<I...>) {
    static_assert((Bindable<std::remove_cvref_t<std::tuple_element_t<I, Tuple>>> && ...));
    (params.bind(std::get<I>(args)), ...);
  }
  template <class F>
  static void each_row(const pq::Verb& verb, F& per_row) {
    static_assert(std::is_invocable_v<F&, Row>,
                  "tidegate: the last argument of each() is called with a Row");
    const auto sink = [](void* f, const Row& row) {
      if constexpr (std::is_same_v<std::invoke_result_t<F&, Row>, bool>) {
        return (*static_cast<F*>(f))(row);
      } else {
        (*static_cast<F*>(f))(row);
        return true;
      }
    };
    stream(verb, sink, const_cast<void*>(static_cast<const void*>(std::addressof(per_row))));
  }

  pq::SessionState* state_ = nullptr;  // owned; a pq::Session
};

}  // namespace tidegate
