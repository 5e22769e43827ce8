// What the tests of coroutines share. Built twice: over Boost.Asio and over standalone Asio.
#pragma once

#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#if defined(TIDEGATE_STANDALONE_ASIO)
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/dispatch.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <asio/use_future.hpp>
#else
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#endif

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"

namespace tidegate::test {

namespace net = tidegate::asio::net;
namespace ta = tidegate::asio;
using Task = net::awaitable<void>;

// Runs the coroutines side by side on the loop, until it has nothing more to do; passes the first
// exception on.
template <class... F>
void run_on(net::io_context& loop, F... coroutines) {
  std::exception_ptr first;
  const auto ended = [&](std::exception_ptr error) {
    if (error && !first) first = error;
  };
  (net::co_spawn(loop, std::move(coroutines), ended), ...);
  loop.restart();
  loop.run();
  if (first) std::rethrow_exception(first);
}
template <class... F>
void run(F... coroutines) {
  net::io_context loop(1);
  run_on(loop, std::move(coroutines)...);
}

// co_await turn(): everything else that is ready on the loop comes first.
inline auto turn() { return net::post(net::use_awaitable); }

// Goes on when `done` says so; the loop runs on meanwhile.
inline Task until(std::function<bool()> done) {
  const Deadline patience(30s);
  while (!done()) {
    if (patience.passed()) throw std::runtime_error("waited in vain");
    net::steady_timer timer(co_await net::this_coro::executor, 1ms);
    co_await timer.async_wait(net::use_awaitable);
  }
}

inline std::uint32_t waiting(Pool& pool) { return pool.stats().waiting; }

// What `f` throws: the text, and whether it is an E.
template <class E>
net::awaitable<std::string> error_of(Task task) {
  try {
    co_await std::move(task);
  } catch (const E& error) {
    co_return error.what();
  }
  throw std::runtime_error("no error");
}

// Counts what statements it is told of.
struct Statements : QueryObserver {
  void* query_started(const QueryStarted&) override {
    ++started;
    return nullptr;
  }
  void query_ended(void*, const QueryStarted&, const QueryEnded& end) override {
    ++ended;
    if (end.failed) ++failed;
  }
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::atomic<int> failed{0};
};

}  // namespace tidegate::test
