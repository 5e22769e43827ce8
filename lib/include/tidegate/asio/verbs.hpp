// The verbs of a connection, as operations: what every lease and transaction of coroutines has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/asio/operation.hpp>
#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/transaction.hpp>

namespace tidegate::asio {

// What a verb is completed with when it is given no completion token: co_await gives the result, or
// throws.
using DefaultToken = std::remove_const_t<decltype(net::use_awaitable)>;

namespace detail {

// An argument of a verb, kept until the verb is over, whatever its caller had.
template <class T>
struct Kept {
  using type = std::decay_t<T>;
};
template <class T>
  requires std::is_same_v<std::decay_t<T>, const char*> || std::is_same_v<std::decay_t<T>, char*> ||
           std::is_same_v<std::decay_t<T>, std::string_view>
struct Kept<T> {
  using type = std::string;
};

// The text and the arguments of a statement. call(f) gives them back as a verb takes them.
template <class... Args>
class Statement {
 public:
  template <class... Given>
  Statement(ExecOptions options, Sql sql, Given&&... args)
      : options_(std::move(options)),
        text_(sql.text()),
        where_(sql.where()),
        args_(std::forward<Given>(args)...) {}
  template <class F>
  decltype(auto) call(F&& f) {
    return std::apply(
        [&](auto&... args) -> decltype(auto) {
          return f(options_, Sql(std::string_view(text_), where_), args...);
        },
        args_);
  }

 private:
  ExecOptions options_;
  std::string text_;
  Location where_;
  std::tuple<typename Kept<Args>::type...> args_;
};

// A verb on the connection that it is given before it is called.
template <class Call>
class OnConnection {
 public:
  explicit OnConnection(Call call) : call_(std::move(call)) {}
  void on(Connection& connection) noexcept { connection_ = &connection; }
  decltype(auto) operator()() { return call_(*connection_); }

 private:
  Call call_;
  Connection* connection_ = nullptr;
};

// Starts a verb on whatever it has.
struct Borrowed {
  Connection& connection;
  template <class R, class Call, class Token>
  auto start(const ExecOptions&, Location, Call call, Token&& token) const {
    return call_on<R>(connection, OnConnection<Call>(std::move(call)), std::forward<Token>(token));
  }
};
struct Pooled {
  Pool& pool;
  template <class R, class Call, class Token>
  auto start(const ExecOptions& options, Location where, Call call, Token&& token) const {
    std::optional<Deadline> by;
    if (!options.by.is_never()) {
      by = options.by;
      const auto timeout = pool.config().acquire_timeout;
      if (timeout.count() > 0) by = earlier(*by, Deadline(timeout));
    }
    return call_with<R>(pool, by, where, OnConnection<Call>(std::move(call)),
                        std::forward<Token>(token));
  }
};

// The last of `Args` is no parameter but a completion token.
template <class... Args>
consteval bool ends_with_token() {
  if constexpr (sizeof...(Args) == 0) {
    return false;
  } else {
    using Last =
        std::remove_cvref_t<std::tuple_element_t<sizeof...(Args) - 1, std::tuple<Args...>>>;
    return !pq::Encodable<Last> && !std::is_same_v<std::decay_t<Last>, const char*> &&
           !std::is_same_v<std::decay_t<Last>, char*>;
  }
}

// Calls f(token, args...), with the default token where the last argument is none.
template <class F, class... Args>
auto with_token(F&& f, Args&&... args) {
  if constexpr (ends_with_token<Args...>()) {
    auto all = std::forward_as_tuple(std::forward<Args>(args)...);
    constexpr std::size_t kLast = sizeof...(Args) - 1;
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return f(std::get<kLast>(std::move(all)), std::get<I>(std::move(all))...);
    }(std::make_index_sequence<kLast>());
  } else {
    return f(DefaultToken(), std::forward<Args>(args)...);
  }
}

template <class... Args>
auto keep(ExecOptions options, Sql sql, Args&&... args) {
  return Statement<Args...>(std::move(options), sql, std::forward<Args>(args)...);
}

// A verb of a Connection that takes options, text and parameters: verb(connection, options, sql,
// ...).
template <class R, class On, class Verb, class... Args>
auto start_statement(On on, const ExecOptions& options, Sql sql, Verb verb, Args&&... args) {
  return with_token(
      [&](auto&& token, auto&&... params) {
        return on.template start<R>(
            options, sql.where(),
            [verb, statement = keep(options, sql, std::forward<decltype(params)>(params)...)](
                Connection& connection) mutable {
              return statement.call([&](const auto&... all) { return verb(connection, all...); });
            },
            std::forward<decltype(token)>(token));
      },
      std::forward<Args>(args)...);
}

template <class On, class... Args>
auto exec(On on, const ExecOptions& options, Sql sql, Args&&... args) {
  const auto verb = [](Connection& connection, const auto&... all) {
    return connection.exec(all...);
  };
  return start_statement<Rows>(on, options, sql, verb, std::forward<Args>(args)...);
}
template <class... Ts, class On, class... Args>
auto query_row(On on, const ExecOptions& options, Sql sql, Args&&... args) {
  const auto verb = [](Connection& connection, const auto&... all) {
    return connection.template query_row<Ts...>(all...);
  };
  return start_statement<std::tuple<Ts...>>(on, options, sql, verb, std::forward<Args>(args)...);
}
template <class T, class On, class... Args>
auto query_value(On on, const ExecOptions& options, Sql sql, Args&&... args) {
  const auto verb = [](Connection& connection, const auto&... all) {
    return connection.template query_value<T>(all...);
  };
  return start_statement<T>(on, options, sql, verb, std::forward<Args>(args)...);
}

}  // namespace detail

// The verbs of tidegate::Connection, each with a completion token as its last argument, or none:
// then it is awaited. Statement and parameters are copied, so they need not outlive the call. The
// operation completes on the token's executor, never inside the initiating function, with
// (std::exception_ptr) and the result, where there is one; the errors are those of the blocking
// verb. Cancellation, of every type, cancels the statement on the server (QueryCanceled).
//
// `Self` has connection(), the connection to use.
template <class Self>
class Verbs {
 public:
  template <class... Args>
  auto exec(Sql sql, Args&&... args) {
    return detail::exec(on(), ExecOptions{}, sql, std::forward<Args>(args)...);
  }
  template <class... Args>
  auto exec(const ExecOptions& options, Sql sql, Args&&... args) {
    return detail::exec(on(), options, sql, std::forward<Args>(args)...);
  }
  template <class... Ts, class... Args>
  auto query_row(Sql sql, Args&&... args) {
    return detail::query_row<Ts...>(on(), ExecOptions{}, sql, std::forward<Args>(args)...);
  }
  template <class... Ts, class... Args>
  auto query_row(const ExecOptions& options, Sql sql, Args&&... args) {
    return detail::query_row<Ts...>(on(), options, sql, std::forward<Args>(args)...);
  }
  template <class T, class... Args>
  auto query_value(Sql sql, Args&&... args) {
    return detail::query_value<T>(on(), ExecOptions{}, sql, std::forward<Args>(args)...);
  }
  template <class T, class... Args>
  auto query_value(const ExecOptions& options, Sql sql, Args&&... args) {
    return detail::query_value<T>(on(), options, sql, std::forward<Args>(args)...);
  }
  template <class Token = DefaultToken>
    requires(!std::is_convertible_v<Token, Sql>)
  auto exec_script(Sql sql, Token&& token = Token()) {
    return exec_script(ExecOptions(), sql, std::forward<Token>(token));
  }
  template <class Token = DefaultToken>
  auto exec_script(const ExecOptions& options, Sql sql, Token&& token = Token()) {
    return call(
        [statement = detail::keep(options, sql)](Connection& connection) mutable {
          statement.call([&](const auto&... all) { connection.exec_script(all...); });
        },
        std::forward<Token>(token));
  }
  template <class Token = DefaultToken>
    requires(!std::is_convertible_v<Token, const ExecOptions&>)
  auto run(Batch batch, Token&& token = Token(), Location where = Location::current()) {
    return run(std::move(batch), ExecOptions(), std::forward<Token>(token), where);
  }
  template <class Token = DefaultToken>
  auto run(Batch batch, const ExecOptions& options, Token&& token = Token(),
           Location where = Location::current()) {
    return call(
        [batch = std::move(batch), options, where](Connection& connection) mutable {
          return connection.run(batch, options, where);
        },
        std::forward<Token>(token));
  }
  // See Connection::notifications(). Cancellation gives what has come, or nothing.
  template <class Token = DefaultToken>
  auto notifications(Deadline deadline, Token&& token = Token(),
                     Location where = Location::current()) {
    return call(
        [deadline, where](Connection& connection) {
          return connection.notifications(deadline, {}, where);
        },
        std::forward<Token>(token));
  }
  template <class Token = DefaultToken>
  auto ping(Deadline deadline, Token&& token = Token()) {
    return call([deadline](Connection& connection) { return connection.ping(deadline); },
                std::forward<Token>(token));
  }
  // Runs f(Connection&), which may use the blocking verbs as it likes: it runs on a stack of its
  // own, of 256 KiB, and wherever a verb would block, the loop goes on. Gives what f returns.
  // Whatever else blocks in f blocks the loop. No address of a thread_local variable may be kept
  // across a verb: the loop may have many threads.
  template <class F, class Token = DefaultToken>
  auto call(F f, Token&& token = Token()) {
    using R = std::invoke_result_t<F&, Connection&>;
    return on().template start<R>({}, {}, std::move(f), std::forward<Token>(token));
  }

 private:
  detail::Borrowed on() { return {static_cast<Self*>(this)->connection()}; }
};

}  // namespace tidegate::asio
