// Transaction: statements that take effect together or not at all.
#pragma once

#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/tx_options.hpp>

namespace tidegate {

namespace pq {
struct OpenTransaction;
}

// Made by begin(): begin() of a Connection or a Pool makes a transaction, begin() of a Transaction
// a savepoint in it. Move-only. For one thread at a time, the one that uses the connection.
//
// The destructor rolls back, unless the transaction is over; it never commits and never throws.
// Over means: committed, rolled back, moved from; the transaction around it is over; or the
// connection is out of reach because its lease has ended or it was closed. A Transaction never
// keeps a lease: the pool rolls back what is left open when the lease ends.
class TIDEGATE_API Transaction {
 public:
  Transaction() noexcept = default;  // over
  Transaction(Transaction&&) noexcept = default;
  Transaction& operator=(Transaction&& other) noexcept;
  ~Transaction() { abandon(); }

  bool open() const noexcept;
  // Its connection. What is run through this is inside the transaction, too.
  // Throws: UsageError when the transaction is over.
  Connection& connection() const { return connection({}); }

  // Connection's verbs. After a statement fails, the server refuses everything up to the rollback;
  // a savepoint confines that.
  template <Bindable... Args>
  Rows exec(Sql sql, const Args&... args) {
    return connection(sql.where()).exec(sql, args...);
  }
  template <Bindable... Args>
  Rows exec(const ExecOptions& options, Sql sql, const Args&... args) {
    return connection(sql.where()).exec(options, sql, args...);
  }
  template <OwningReadable... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(Sql sql, const Args&... args) {
    return connection(sql.where()).template query_row<Ts...>(sql, args...);
  }
  template <OwningReadable... Ts, Bindable... Args>
  std::tuple<Ts...> query_row(const ExecOptions& options, Sql sql, const Args&... args) {
    return connection(sql.where()).template query_row<Ts...>(options, sql, args...);
  }
  template <OwningReadable T, Bindable... Args>
  T query_value(Sql sql, const Args&... args) {
    return connection(sql.where()).template query_value<T>(sql, args...);
  }
  template <OwningReadable T, Bindable... Args>
  T query_value(const ExecOptions& options, Sql sql, const Args&... args) {
    return connection(sql.where()).template query_value<T>(options, sql, args...);
  }
  template <class... Args>
  void each(Sql sql, Args&&... args) {
    connection(sql.where()).each(sql, std::forward<Args>(args)...);
  }
  template <class... Args>
  void each(const ExecOptions& options, Sql sql, Args&&... args) {
    connection(sql.where()).each(options, sql, std::forward<Args>(args)...);
  }
  void exec_script(Sql sql) { connection(sql.where()).exec_script(sql); }
  void exec_script(const ExecOptions& options, Sql sql) {
    connection(sql.where()).exec_script(options, sql);
  }
  [[nodiscard]] BatchResults run(const Batch& batch, const ExecOptions& options = {},
                                 Location where = Location::current()) {
    return connection(where).run(batch, options, where);
  }
  template <class Range>
  std::uint64_t copy_in(const CopyTarget& target, Range&& rows, const ExecOptions& options = {},
                        Location where = Location::current()) {
    return connection(where).copy_in(target, std::forward<Range>(rows), options, where);
  }
  template <class F>
  void copy_out(Sql query, F&& per_row, const ExecOptions& options = {}) {
    connection(query.where()).copy_out(query, std::forward<F>(per_row), options);
  }

  // A savepoint: its commit() releases it, its rollback() undoes what came after it.
  // Throws: as exec(); UsageError when the transaction is over.
  Transaction begin(Location where = Location::current());

  // Throws: QueryError when the server refused (over: rolled back), or answered with ROLLBACK
  //         because a statement had failed; ConnectionLost when the answer was lost: nobody knows
  //         then whether it was committed; UsageError when it is over, or a statement inside has
  //         ended it. This sees only whether a transaction is open: after `rollback and chain`, or
  //         `rollback` and `begin`, it commits what came after that, without an error.
  void commit(Location where = Location::current());
  // Does nothing when a statement inside has ended the transaction already.
  // Throws: ConnectionLost (over: the server rolls back); UsageError when it is over.
  void rollback(Location where = Location::current());

 protected:
  // rollback(), unless it is over; never throws.
  void abandon() noexcept;

 private:
  friend class Connection;
  using Shared = std::shared_ptr<pq::OpenTransaction>;
  Transaction(Shared shared, std::uint64_t serial) noexcept
      : shared_(std::move(shared)), serial_(serial) {}
  Connection& connection(Location where) const;
  bool is_savepoint() const noexcept;
  void settle(Location where);
  void release_savepoint(Location where);
  void rollback_to_savepoint(Location where);
  void over() noexcept;

  Shared shared_{};
  std::uint64_t serial_ = 0;  // which of the open serials is its own
};

namespace pq {

// Whether and when to try again after an error.
class TIDEGATE_API Retries {
 public:
  // Throws: UsageError when `attempts` is less than 1.
  Retries(int attempts, Deadline by, Location where);
  // After a serialization failure (40001) or a deadlock (40P01) the server has rolled back, so
  // another attempt may succeed: waits a moment and returns true. False for other errors, after the
  // last attempt, and when the moment would not end before the deadline.
  bool another(const QueryError& error);

 private:
  int left_;
  int failed_ = 0;
  Deadline by_;
};

// Calls `attempt` until it returns, or throws an error that is not retried.
template <class Attempt>
auto with_retries(Attempt&& attempt, Deadline by, int attempts, Location where) {
  for (Retries retries(attempts, by, where);;) {
    try {
      return attempt();
    } catch (const QueryError& error) {
      if (!retries.another(error)) throw;
    }
  }
}

}  // namespace pq

template <class F>
auto Connection::transact(F&& f, const TxOptions& options, Location where) {
  Transaction transaction = begin(options, where);
  // f may have ended the transaction itself.
  const auto commit = [&] {
    if (transaction.open()) transaction.commit(where);
  };
  if constexpr (std::is_void_v<std::invoke_result_t<F&, Transaction&>>) {
    f(transaction);
    commit();
  } else {
    auto result = f(transaction);
    commit();
    return result;
  }
}

template <class F>
auto Connection::transact_retry(F&& f, const TxOptions& options, int attempts, Location where) {
  return pq::with_retries([&] { return transact(f, options, where); }, options.by, attempts, where);
}

}  // namespace tidegate
