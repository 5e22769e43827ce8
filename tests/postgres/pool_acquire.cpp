// Acquire and release, against a real server.
#include <atomic>
#include <stop_token>
#include <thread>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

TEST(Pool, RunsAQueryWithTenLines) {
  Pool pool("pool_max_conns=2");
  EXPECT_EQ(pool.query_value<int>("select $1::int4 + 1", 41), 42);
  const auto [number, text] = pool.query_row<int, std::string>("select 7, 'seven'");
  EXPECT_EQ(number, 7);
  EXPECT_EQ(text, "seven");
  EXPECT_EQ(pool.with([](Connection& c) { return c.exec("select 1").rows(); }), 1);
}

TEST(Pool, ConnectsOnlyWhenAConnectionIsWanted) {
  Pool pool(PoolConfig{.max_size = 4});
  EXPECT_EQ(pool.stats().created, 0);
  {
    const Lease lease = pool.acquire();
  }
  EXPECT_EQ(pool.stats().created, 1);
}

TEST(Pool, ReusesTheConnectionThatCameBack) {
  Pool pool(PoolConfig{.max_size = 4});
  const auto pid = [&] { return pool.with([](Connection& c) { return c.backend_pid(); }); };
  EXPECT_EQ(pid(), pid());
  EXPECT_EQ(pool.stats().created, 1);
}

TEST(Pool, SixteenThreadsShareFourConnectionsAndEachGetsItsOwnAnswers) {
  Pool pool(PoolConfig{.name = "sixteen", .max_size = 4});
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 16; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          if (pool.query_value<int>("select $1::int4", 1000 * t + i) != 1000 * t + i) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.acquired(), 3200);
  EXPECT_EQ(stats.released, 3200);
  EXPECT_LE(stats.created, 4);
  EXPECT_EQ(stats.idle, stats.created);
  EXPECT_EQ(stats.attempts(), stats.acquired());
}

TEST(Pool, ATimeoutNamesWhatItWaitedForAndWhoHoldsIt) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 2});
  const auto held = lease_all(pool);
  std::jthread([&] {
    const Deadline end(20ms);
    try {
      const Lease none = pool.acquire(end);
      FAIL() << "there was no connection to be had";
    } catch (const AcquireTimeout& error) {
      EXPECT_EQ(error.cause(), AcquireTimeout::Cause::exhausted);
      EXPECT_EQ(error.counts().leased, 2);
      EXPECT_TRUE(end.passed());
      EXPECT_GT(error.waited(), 0ns);
      const std::string text = error.what();
      // What is left of the 20 ms when the wait begins.
      EXPECT_THAT(text,
                  testing::ContainsRegex("^pool \"orders\": no connection within [0-9.]+ ms "));
      EXPECT_NE(text.find("pool_support.hpp"), std::string::npos) << text;  // the holder's line
      EXPECT_NE(text.find("pool_acquire.cpp"), std::string::npos) << text;  // this acquire's
    }
  }).join();
  EXPECT_EQ(pool.stats().outcomes.timeout, 1);
}

TEST(Pool, TryAcquireNeverWaitsButWhatItLackedIsOpened) {
  Pool pool(PoolConfig{.max_size = 1});
  auto first = pool.try_acquire();
  ASSERT_FALSE(first.has_value());
  EXPECT_EQ(first.error().code(), Errc::timeout);
  EXPECT_EQ(first.error().as<AcquireTimeout>()->waited(), 0ns);
  EXPECT_TRUE(eventually([&] { return pool.try_acquire().has_value(); }));
}

TEST(Pool, AStopWakesAWaitingAcquire) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease held = pool.acquire();
  std::stop_source stop;
  std::jthread waiter(
      [&] { EXPECT_THROW(pool.acquire(Deadline::never(), stop.get_token()), AcquireCanceled); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(pool.stats().outcomes.canceled, 1);
  EXPECT_THROW(pool.acquire(stop.get_token()), AcquireCanceled);  // before it does anything
}

TEST(Pool, CountsHowLongThoseWaitedWhoGotAConnection) {
  Pool pool{"pool_max_conns=1"};
  Lease held = pool.acquire();  // waits for the connect
  const Stats before = pool.stats();
  EXPECT_FALSE(pool.try_acquire(1ms)) << "a wait in vain does not count";
  EXPECT_EQ(pool.stats().waited_for, before.waited_for);
  std::jthread waiter([&] { pool.acquire(); });
  ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  const auto seen_waiting = std::chrono::steady_clock::now();
  const Deadline later(20ms);
  eventually([&] { return later.passed(); });
  const auto waited_at_least = std::chrono::steady_clock::now() - seen_waiting;
  held.release();
  waiter.join();
  EXPECT_EQ(pool.stats().outcomes.waited, before.outcomes.waited + 1);
  EXPECT_GE(pool.stats().waited_for - before.waited_for, waited_at_least);
}

TEST(Pool, ShedsAcquiresAboveMaxWaiters) {
  Pool pool(PoolConfig{.max_size = 1, .max_waiters = 1});
  Lease held = pool.acquire();
  std::jthread waiter([&] { const Lease lease = pool.acquire(); });
  ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  std::jthread([&] { EXPECT_THROW(pool.acquire(10s), Overloaded); }).join();
  held.release();
}

TEST(Pool, ALeaseMayBeReleasedByAnotherThread) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  std::jthread([&] {
    EXPECT_EQ(lease->query_value<int>("select 5"), 5);
    lease.release();
  }).join();
  EXPECT_EQ(pool.query_value<int>("select 6"), 6);
}

TEST(Lease, IsEmptyAfterItsEndAndSaysSoWhenUsed) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  Lease moved = std::move(lease);
  EXPECT_FALSE(lease);
  EXPECT_THROW(lease->exec("select 1"), UsageError);
  moved.release();
  moved.release();
  EXPECT_THROW(*moved, UsageError);
  EXPECT_THROW(std::move(moved).hijack(), UsageError);
  EXPECT_EQ(pool.stats().released, 1);
}

TEST(Lease, HijackFreesTheSlotAtOnceAndTheConnectionLivesOn) {
  Connection mine;
  {
    Pool pool(PoolConfig{.max_size = 1});
    mine = pool.acquire().hijack();
    EXPECT_EQ(pool.query_value<int>("select 1"), 1);  // in the freed slot
    EXPECT_EQ(pool.stats().hijacked, 1);
    EXPECT_EQ(pool.stats().created, 2);
  }
  EXPECT_EQ(mine.query_value<int>("select 2"), 2);
}

TEST(Lease, DiscardReplacesTheConnection) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  const int pid = lease->backend_pid();
  lease.discard();
  EXPECT_NE(pool.with([](Connection& c) { return c.backend_pid(); }), pid);
  EXPECT_EQ(pool.stats().discarded, 1);
}

}  // namespace
}  // namespace tidegate::test
