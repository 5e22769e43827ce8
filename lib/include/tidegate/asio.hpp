// Coroutines on the same pool, with Asio's conventions (docs/coroutines.md).
//
//   asio::awaitable<int> stock(tidegate::Pool& pool, int item) {
//     tidegate::asio::Lease lease = co_await tidegate::asio::acquire(pool, 250ms);
//     co_return co_await lease.query_value<int>("select stock from items where id = $1", item);
//   }
//
// Boost.Asio, or standalone Asio with TIDEGATE_STANDALONE_ASIO (tidegate/asio/net.hpp).
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include <tidegate/asio/close.hpp>
#include <tidegate/asio/operation.hpp>
#include <tidegate/asio/verbs.hpp>

namespace tidegate::asio {

// A connection in use, for one operation at a time; a second one meanwhile ends with a UsageError
// that names both. The destructor gives the connection back; if an operation is under way, when
// that is over.
class Lease : public Verbs<Lease> {
 public:
  Lease() noexcept = default;
  explicit Lease(tidegate::Lease lease) noexcept : lease_(std::move(lease)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(lease_); }
  // Throws: UsageError when the lease is empty.
  Connection& connection() const { return *lease_; }
  void release() noexcept { lease_.release(); }
  void discard() noexcept { lease_.discard(); }
  std::stop_token stop_token() const noexcept { return lease_.stop_token(); }
  LeaseInfo info() const { return lease_.info(); }
  // The lease for blocking verbs.
  tidegate::Lease& blocking() noexcept { return lease_; }

 private:
  tidegate::Lease lease_{};
};

// A transaction on a connection of its own; see begin(). Its destructor rolls back in the
// background unless it is over, and gives the connection back.
class Transaction : public Verbs<Transaction> {
 public:
  Transaction() noexcept = default;  // over
  Transaction(Lease lease, tidegate::Transaction transaction) noexcept
      : transaction_(std::move(transaction)), lease_(std::move(lease)) {}
  Transaction(Transaction&&) noexcept = default;
  Transaction& operator=(Transaction&& other) noexcept {
    if (this != &other) {
      abandon();
      transaction_ = std::move(other.transaction_);
      lease_ = std::move(other.lease_);
    }
    return *this;
  }
  ~Transaction() { abandon(); }

  bool open() const noexcept { return transaction_.open(); }
  // Throws: UsageError when the transaction is over.
  Connection& connection() const { return transaction_.connection(); }

  // As tidegate::Transaction's; they give the connection back.
  template <class Token = DefaultToken>
  auto commit(Token&& token = Token(), Location where = Location::current()) {
    return end([where](tidegate::Transaction& t) { t.commit(where); }, std::forward<Token>(token));
  }
  template <class Token = DefaultToken>
  auto rollback(Token&& token = Token(), Location where = Location::current()) {
    return end([where](tidegate::Transaction& t) { t.rollback(where); },
               std::forward<Token>(token));
  }

 private:
  template <class F, class Token>
  auto end(F f, Token&& token) {
    return this->call(
        [this, f](Connection&) mutable {
          f(transaction_);
          lease_.release();  // ends with the verb
        },
        std::forward<Token>(token));
  }
  // The lease goes first: the pool rolls back what is open then, and nobody waits for it here.
  void abandon() noexcept { lease_.release(); }

  tidegate::Transaction transaction_{};
  Lease lease_{};
};

// Takes a connection that is ready now, without a wait, a system call or an allocation; an empty
// lease: there is none, use acquire().
inline Lease try_acquire(Pool& pool, Location where = Location::current()) noexcept {
  if (auto lease = async::try_acquire(pool, where)) return Lease(*std::move(lease));
  return {};
}

// Completes with (std::exception_ptr, Lease), as Pool::acquire() returns or throws: in one queue
// with blocking acquires. Without a deadline: PoolConfig::acquire_timeout. Cancellation ends the
// wait at once (AcquireCanceled).
template <class Token = DefaultToken>
  requires(!std::is_convertible_v<Token, Deadline>)
auto acquire(Pool& pool, Token&& token = Token(), Location where = Location::current()) {
  return detail::call_with<Lease>(pool, std::nullopt, where, detail::Nothing{},
                                  std::forward<Token>(token));
}
template <class Token = DefaultToken>
auto acquire(Pool& pool, Deadline deadline, Token&& token = Token(),
             Location where = Location::current()) {
  return detail::call_with<Lease>(pool, deadline, where, detail::Nothing{},
                                  std::forward<Token>(token));
}

// Acquire, run, release, in one operation. ExecOptions::by bounds both together.
template <class... Args>
auto exec(Pool& pool, Sql sql, Args&&... args) {
  return detail::exec(detail::Pooled{pool}, ExecOptions{}, sql, std::forward<Args>(args)...);
}
template <class... Args>
auto exec(Pool& pool, const ExecOptions& options, Sql sql, Args&&... args) {
  return detail::exec(detail::Pooled{pool}, options, sql, std::forward<Args>(args)...);
}
template <class... Ts, class... Args>
auto query_row(Pool& pool, Sql sql, Args&&... args) {
  return detail::query_row<Ts...>(detail::Pooled{pool}, ExecOptions{}, sql,
                                  std::forward<Args>(args)...);
}
template <class... Ts, class... Args>
auto query_row(Pool& pool, const ExecOptions& options, Sql sql, Args&&... args) {
  return detail::query_row<Ts...>(detail::Pooled{pool}, options, sql, std::forward<Args>(args)...);
}
template <class T, class... Args>
auto query_value(Pool& pool, Sql sql, Args&&... args) {
  return detail::query_value<T>(detail::Pooled{pool}, ExecOptions{}, sql,
                                std::forward<Args>(args)...);
}
template <class T, class... Args>
auto query_value(Pool& pool, const ExecOptions& options, Sql sql, Args&&... args) {
  return detail::query_value<T>(detail::Pooled{pool}, options, sql, std::forward<Args>(args)...);
}
// f(Connection&) on a connection of the pool; see Verbs::call().
template <class F, class Token = DefaultToken>
auto call(Pool& pool, F f, Token&& token = Token(), Location where = Location::current()) {
  using R = std::invoke_result_t<F&, Connection&>;
  return detail::Pooled{pool}.template start<R>({}, where, std::move(f),
                                                std::forward<Token>(token));
}

// BEGIN on a connection of the pool; see Pool::begin().
inline net::awaitable<Transaction> begin(Pool& pool, TxOptions options,
                                         Location where = Location::current()) {
  // No conditional expression: g++ 12 ends the lease of a co_await in one twice.
  Lease lease;
  if (options.by.is_never()) {
    lease = co_await acquire(pool, DefaultToken(), where);
  } else {
    lease = co_await acquire(pool, options.by, DefaultToken(), where);
  }
  auto transaction = co_await lease.call(
      [options, where](Connection& connection) { return connection.begin(options, where); });
  co_return Transaction(std::move(lease), std::move(transaction));
}
inline net::awaitable<Transaction> begin(Pool& pool, Location where = Location::current()) {
  return begin(pool, TxOptions(), where);
}

// Calls f(Transaction&), a coroutine, commits, and gives what f gave. When f throws, rolls back and
// passes the exception on. f may end the transaction itself.
template <class F>
auto transact(Pool& pool, F f, TxOptions options, Location where = Location::current())
    -> std::invoke_result_t<F&, Transaction&> {
  Transaction transaction = co_await begin(pool, std::move(options), where);
  using R = typename std::invoke_result_t<F&, Transaction&>::value_type;
  std::exception_ptr error;
  try {
    if constexpr (std::is_void_v<R>) {
      co_await f(transaction);
      if (transaction.open()) co_await transaction.commit(DefaultToken(), where);
      co_return;
    } else {
      R result = co_await f(transaction);
      if (transaction.open()) co_await transaction.commit(DefaultToken(), where);
      co_return result;
    }
  } catch (...) {
    error = std::current_exception();
  }
  try {
    if (transaction.open()) co_await transaction.rollback(DefaultToken(), where);
  } catch (...) {
    // What f threw is the cause; the connection is not given to anybody as it is.
  }
  std::rethrow_exception(error);
}
template <class F>
auto transact(Pool& pool, F f, Location where = Location::current()) {
  return transact(pool, std::move(f), TxOptions(), where);
}

}  // namespace tidegate::asio
