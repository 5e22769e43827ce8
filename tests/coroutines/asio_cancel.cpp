// Cancellation of single operations: from Asio 1.19 on (Boost 1.77).
#include "coroutines/asio_support.hpp"

#if defined(TIDEGATE_ASIO_CANCELS)

#if defined(TIDEGATE_STANDALONE_ASIO)
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#else
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#endif

#include <set>

namespace tidegate::test {
namespace {

using testing::HasSubstr;
using namespace net::experimental::awaitable_operators;

constexpr auto kAll = net::cancellation_type::all;

// Runs `coroutine` on the loop, and cancels it when `when` says so.
template <class E, class F>
void expect_canceled(net::io_context& loop, F coroutine, std::function<bool()> when,
                     net::cancellation_type type = kAll) {
  net::cancellation_signal signal;
  bool ended = false;
  net::co_spawn(loop, std::move(coroutine),
                net::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error) {
                  ended = true;
                  ASSERT_TRUE(error);
                  EXPECT_THROW(std::rethrow_exception(error), E);
                }));
  net::co_spawn(
      loop,
      [&]() -> Task {
        co_await until(when);
        signal.emit(type);
      },
      net::detached);
  loop.restart();
  loop.run();
  EXPECT_TRUE(ended);
}

TEST(AsioCancel, EndsAWaitForAConnection) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease held = pool.acquire();
  net::io_context loop(1);
  expect_canceled<AcquireCanceled>(
      loop, [&]() -> Task { (void)co_await ta::acquire(pool); },
      [&] { return waiting(pool) == 1; });
  EXPECT_EQ(waiting(pool), 0u);
  EXPECT_EQ(pool.stats().outcomes.canceled, 1u);
}

TEST(AsioCancel, EndsAStatementOnTheServerAndTheConnectionGoesOn) {
  Pool pool(PoolConfig{.max_size = 1});
  const int pid = pid_of(pool);
  Observer other;
  const auto sleeps = [&] {
    return other.value<bool>(
        "select exists (select from pg_stat_activity where pid = $1 and state = 'active' and query "
        "like '%pg_sleep%')",
        pid);
  };
  for (const auto type : {net::cancellation_type::terminal, net::cancellation_type::partial,
                          net::cancellation_type::total}) {
    net::io_context loop(1);
    expect_canceled<QueryCanceled>(
        loop,
        [&]() -> Task {
          co_await net::this_coro::reset_cancellation_state(net::enable_total_cancellation());
          co_await ta::exec(pool, "select pg_sleep(60)");
        },
        sleeps, type);
    EXPECT_FALSE(sleeps());
    EXPECT_EQ(pid_of(pool), pid);
  }
}

// A token that is canceled before it starts: Asio says so, and nothing is begun.
TEST(AsioCancel, OfACoroutineThatHasNotBegunBeginsNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  net::cancellation_signal signal;
  bool ended = false;
  net::co_spawn(
      loop,
      [&]() -> Task {
        co_await turn();
        (void)co_await ta::acquire(pool);
      },
      net::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error) {
        ended = true;
        EXPECT_TRUE(error);
      }));
  loop.run_one();
  signal.emit(kAll);
  loop.run();
  EXPECT_TRUE(ended);
  EXPECT_EQ(pool.stats().attempts(), 0u);
}

TEST(AsioCancel, AStatementAgainstATimer) {
  Pool pool(PoolConfig{.max_size = 1});
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    net::steady_timer timer(co_await net::this_coro::executor, 20ms);
    const auto first =
        co_await (lease.exec("select pg_sleep(60)") || timer.async_wait(net::use_awaitable));
    EXPECT_EQ(first.index(), 1u);
    EXPECT_EQ(co_await lease.query_value<int>("select 1"), 1);
    timer.expires_after(20s);
    const auto second =
        co_await (lease.query_value<int>("select 2") || timer.async_wait(net::use_awaitable));
    EXPECT_EQ(std::get<0>(second), 2);
  });
}

// Statements of every kind, canceled after any number of turns of the loop: at every point where
// the operation waits, and between them. Whatever the outcome, the pool has its connection
// afterwards, and the next statement its own answer.
TEST(AsioCancel, AtAnyPointLeavesThePoolInOrder) {
  const auto statements = std::make_shared<Statements>();
  Pool pool(PoolConfig{.max_size = 1, .queries = statements});
  const auto one_of = [&](int kind) -> Task {
    switch (kind) {
      case 0: (void)co_await ta::acquire(pool); break;
      case 1: co_await ta::exec(pool, "select 1"); break;
      case 2: co_await ta::exec(pool, "select pg_sleep(0.002)"); break;
      case 3: {
        const ExecOptions options{.prepared = false};
        co_await ta::exec(pool, options, "select generate_series(1, 20000)");
        break;
      }
      case 4:
        co_await ta::transact(pool, [](ta::Transaction& tx) -> Task {
          co_await tx.exec("select 1");
          co_await tx.exec("select 2");
        });
        break;
      default:
        co_await ta::call(pool, [](Connection& c) {
          c.each("select generate_series(1, 1000)", [](const Row&) {});
          c.exec("select 3");
        });
    }
  };
  std::set<std::string> outcomes;
  for (int kind = 0; kind < 6; ++kind) {
    for (int turns = 0; turns < 40; ++turns) {
      net::io_context loop(1);
      net::cancellation_signal signal;
      bool ended = false;
      net::co_spawn(
          loop, one_of(kind),
          net::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error) {
            ended = true;
            try {
              if (error) std::rethrow_exception(error);
              outcomes.insert("done");
            } catch (const QueryCanceled&) {
              outcomes.insert("canceled");
            } catch (const AcquireCanceled&) {
              outcomes.insert("acquire canceled");
            } catch (const std::runtime_error&) {  // Asio's own, Boost's or the standard's
              outcomes.insert("not begun");
            }
          }));
      for (int i = 0; i < turns && !ended; ++i) loop.run_one();
      signal.emit(kAll);
      loop.run();
      ASSERT_TRUE(ended);
      const int value = 100 * kind + turns;
      ASSERT_EQ(pool.query_value<int>("select $1::int4", value), value);
      ASSERT_EQ(statements->started, statements->ended) << "kind " << kind << ", " << turns;
    }
  }
  EXPECT_TRUE(outcomes.contains("done"));
  EXPECT_TRUE(outcomes.contains("canceled"));
  EXPECT_LE(pool.stats().created, 3u) << "cancels cost connections";
  EXPECT_EQ(pool.stats().leased, 0u);
}

}  // namespace
}  // namespace tidegate::test

#endif
