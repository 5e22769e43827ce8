// What do coroutines get from the pool, beside libpq and Asio by hand? (A1, A3, A4)
//
// `coroutines`: so many of them on 8 connections and one loop, each asking again as soon as it has
// its answer; `by_hand` is a vector of connections, a queue of coroutines and no lock, on the same
// loop; `threads` are 32 that block, on the same pool. `coroutine_alone`: one after the other on
// one connection that it keeps, beside libpq that blocks. `coroutine_lease`: acquire and release of
// a warm connection from a loop: awaited, tried (`try_acquire`), and as a thread does it.
#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>

#include "e2e/ask.hpp"
#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "e2e/warm_pool.hpp"
#include "support/load.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

namespace asio = boost::asio;
namespace pg = tidegate::asio;
using asio::awaitable;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kConnections = 8;

// A connection of a loop, by hand: what is known to be necessary.
class HandConnection {
 public:
  explicit HandConnection(asio::io_context& loop)
      : connection_(raw_connect_and_prepare()), socket_(loop, PQsocket(connection_.get())) {
    PQsetnonblocking(connection_.get(), 1);
  }
  ~HandConnection() { socket_.release(); }
  HandConnection(const HandConnection&) = delete;
  HandConnection& operator=(const HandConnection&) = delete;

  awaitable<int> select(int value) {
    PGconn* const c = connection_.get();
    const std::string text = std::to_string(value);
    const char* values[] = {text.c_str()};
    if (PQsendQueryPrepared(c, "one", 1, values, nullptr, nullptr, 0) != 1)
      throw std::runtime_error("send");
    while (PQflush(c) == 1) co_await socket_.async_wait(socket_.wait_write, asio::use_awaitable);
    int result = 0;
    for (;;) {
      while (PQisBusy(c) != 0) {
        co_await socket_.async_wait(socket_.wait_read, asio::use_awaitable);
        if (PQconsumeInput(c) != 1) throw std::runtime_error(PQerrorMessage(c));
      }
      const RawResult one(PQgetResult(c));
      if (one == nullptr) co_return result;
      require(one.get(), PGRES_TUPLES_OK);
      result = static_cast<int>(std::strtol(PQgetvalue(one.get(), 0, 0), nullptr, 10));
    }
  }

 private:
  RawConnection connection_;
  asio::posix::stream_descriptor socket_;
};

// Connections and those who wait for one, on one thread.
class HandPool {
 public:
  HandPool(asio::io_context& loop, std::uint32_t connections) : loop_(loop) {
    for (std::uint32_t i = 0; i < connections; ++i) {
      idle_.push_back(std::make_unique<HandConnection>(loop));
    }
  }
  awaitable<int> select(int value) {
    std::unique_ptr<HandConnection> mine;
    if (idle_.empty()) {
      asio::steady_timer turn(loop_, asio::steady_timer::time_point::max());
      Waiter waiter{turn, mine};
      waiters_.push_back(&waiter);
      boost::system::error_code canceled;
      co_await turn.async_wait(asio::redirect_error(asio::use_awaitable, canceled));
    } else {
      mine = std::move(idle_.back());
      idle_.pop_back();
    }
    const int result = co_await mine->select(value);
    if (waiters_.empty()) {
      idle_.push_back(std::move(mine));
    } else {
      Waiter* const next = waiters_.front();
      waiters_.pop_front();
      next->mine = std::move(mine);
      next->turn.cancel();
    }
    co_return result;
  }

 private:
  struct Waiter {
    asio::steady_timer& turn;
    std::unique_ptr<HandConnection>& mine;
  };
  asio::io_context& loop_;
  std::vector<std::unique_ptr<HandConnection>> idle_;
  std::deque<Waiter*> waiters_;
};

// Closed loop of so many coroutines, for that long.
template <class Ask>
Load run_coroutines(asio::io_context& loop, int count, std::chrono::duration<double> length,
                    Ask ask) {
  Load load;
  const auto began = Clock::now();
  const auto end = began + length;
  for (int i = 0; i < count; ++i) {
    asio::co_spawn(
        loop,
        [&load, &ask, end, i]() -> awaitable<void> {
          for (auto asked = Clock::now(); asked < end;) {
            benchmark::DoNotOptimize(co_await ask(i));
            const auto answered = Clock::now();
            load.took.add(static_cast<std::uint64_t>((answered - asked).count()));
            asked = answered;
          }
        },
        [](std::exception_ptr error) {
          if (error) std::rethrow_exception(error);
        });
  }
  loop.restart();
  loop.run();
  const std::chrono::duration<double> took = Clock::now() - began;
  load.per_second = static_cast<double>(load.took.count()) / took.count();
  return load;
}

using Run = std::function<Load(benchmark::State&)>;

Load by_pool(benchmark::State& state) {
  asio::io_context loop(1);
  const auto pool = warm_pool(kConnections);
  const auto ask = [&](int value) { return pg::query_value<int>(*pool, "select $1::int4", value); };
  const int count = static_cast<int>(state.range(0));
  run_coroutines(loop, count, options.fixed_time / 4, ask);
  return run_coroutines(loop, count, options.fixed_time, ask);
}
Load by_hand(benchmark::State& state) {
  asio::io_context loop(1);
  HandPool pool(loop, kConnections);
  const auto ask = [&](int value) { return pool.select(value); };
  const int count = static_cast<int>(state.range(0));
  run_coroutines(loop, count, options.fixed_time / 4, ask);
  return run_coroutines(loop, count, options.fixed_time, ask);
}
Load by_threads(benchmark::State& state) {
  const auto ask = ask_pool(kConnections, kConnections, "");
  const auto request = [&ask](int client) { benchmark::DoNotOptimize(ask(client)); };
  closed_loop(static_cast<int>(state.range(0)), options.fixed_time / 4, request);
  return closed_loop(static_cast<int>(state.range(0)), options.fixed_time, request);
}

Load alone(benchmark::State&) {
  asio::io_context loop(1);
  const auto pool = warm_pool(1);
  pg::Lease lease = pg::try_acquire(*pool);
  const auto ask = [&](int value) { return lease.query_value<int>("select $1::int4", value); };
  run_coroutines(loop, 1, options.fixed_time / 4, ask);
  return run_coroutines(loop, 1, options.fixed_time, ask);
}
Load alone_by_hand(benchmark::State&) {
  asio::io_context loop(1);
  HandConnection connection(loop);
  const auto ask = [&](int value) { return connection.select(value); };
  run_coroutines(loop, 1, options.fixed_time / 4, ask);
  return run_coroutines(loop, 1, options.fixed_time, ask);
}
Load alone_blocking(benchmark::State&) {
  const RawConnection raw = raw_connect_and_prepare();
  return closed_loop(1, options.fixed_time,
                     [&](int client) { benchmark::DoNotOptimize(raw_select(raw.get(), client)); });
}

void lease_awaited(benchmark::State& state) {
  asio::io_context loop(1);
  const auto pool = warm_pool(1);
  asio::co_spawn(
      loop,
      [&]() -> awaitable<void> {
        for (auto _ : state) {
          const pg::Lease lease = co_await pg::acquire(*pool);
          benchmark::DoNotOptimize(&lease);
        }
      },
      asio::detached);
  loop.run();
}
void lease_tried(benchmark::State& state) {
  const auto pool = warm_pool(1);
  for (auto _ : state) {
    const pg::Lease lease = pg::try_acquire(*pool);
    benchmark::DoNotOptimize(&lease);
  }
}
void lease_blocking(benchmark::State& state) {
  const auto pool = warm_pool(1);
  for (auto _ : state) {
    const tidegate::Lease lease = pool->acquire();
    benchmark::DoNotOptimize(&lease);
  }
}

void add(const std::string& name, const Run& run, std::vector<std::int64_t> counts) {
  auto* const row = benchmark::RegisterBenchmark(name.c_str(), [run](benchmark::State& state) {
    for (auto _ : state) report(state, run(state));
  });
  row->ArgName("clients")->Iterations(1)->UseRealTime();
  for (const std::int64_t count : counts) row->Arg(count);
}

}  // namespace

void add_coroutine_rows() {
  add("coroutines/pool", &by_pool, {32, 1000, 10'000});
  add("coroutines/by_hand", &by_hand, {32, 1000, 10'000});
  add("coroutines/threads", &by_threads, {32});
  add("coroutine_alone/pool", &alone, {1});
  add("coroutine_alone/by_hand", &alone_by_hand, {1});
  add("coroutine_alone/blocking", &alone_blocking, {1});
  benchmark::RegisterBenchmark("coroutine_lease/awaited", &lease_awaited);
  benchmark::RegisterBenchmark("coroutine_lease/tried", &lease_tried);
  benchmark::RegisterBenchmark("coroutine_lease/blocking", &lease_blocking);
}

}  // namespace bench
