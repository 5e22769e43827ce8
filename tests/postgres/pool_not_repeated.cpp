// Defects of other pools that are not repeated here, as far as no other file tells of them.
#include <atomic>
#include <set>
#include <string_view>

#include <tidegate/base/test_point.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// It waited for a lease that could not come back.
TEST(NotRepeated, AcquireOnAClosedSaturatedPoolDoesNotBlock) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  std::jthread closer([&] { pool.close({.drain = 30s}); });
  ASSERT_TRUE(eventually([&] { return pool.closed(); }));
  std::jthread([&] { EXPECT_THROW(pool.acquire(Deadline::never()), PoolClosed); }).join();
  held.release();
}

// It became idle in a closed pool, and close waited for it for ever.
TEST(NotRepeated, AConnectThatSucceedsAfterTheFenceIsClosed) {
  PoolConfig config{.name = "late-connect", .max_size = 1};
  std::atomic<bool> connected{false};
  Pool* self = nullptr;
  config.hooks.after_connect = [&](Connection&) {
    connected = true;
    eventually([&] { return self->closed(); });
  };
  Pool pool(config);
  self = &pool;
  std::jthread waiter([&] { EXPECT_THROW(pool.acquire(Deadline::never()), PoolClosed); });
  ASSERT_TRUE(eventually([&] { return connected.load(); }));
  EXPECT_EQ(pool.close({.drain = 30s}).outcome, CloseReport::Outcome::drained);
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.idle + stats.leased + stats.connecting + stats.retiring, 0);
  Observer observer;
  EXPECT_TRUE(eventually([&] { return observer.backends("late-connect") == 0; }));
}

TEST(NotRepeated, ConnectAttemptsAreNotCountedAsConnections) {
  Pool pool(PoolConfig{.conninfo = "host=127.0.0.1 port=1", .connect_backoff_min = 1ms});
  EXPECT_FALSE(pool.try_acquire(50ms));
  EXPECT_GE(pool.stats().create_errors, 1);
  EXPECT_EQ(pool.stats().created, 0);
}

TEST(NotRepeated, TheLargestPoolStillCountsItsDeadConnections) {
  PoolConfig config{.max_size = 65'535};
  int asked = 0;
  config.hooks.prepare = [&](Connection&) {
    return ++asked == 1 ? Verdict::retry() : Verdict::use();
  };
  Pool pool(config);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(asked, 2);
}

TEST(NotRepeated, ARowThatCannotBeConvertedLeaksNoLease) {
  Pool pool(PoolConfig{.max_size = 1});
  EXPECT_THROW(pool.query_value<int>("select 'no number'"), QueryError);
  EXPECT_THROW(pool.query_row<int>("select 1, 2"), Error);
  EXPECT_EQ(pool.stats().leased, 0);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

// A lease that ends before maintenance has first run: its connection looked as if it had been idle
// since the machine was started, and was reaped. Seen failing where the tick is left to
// maintenance.
TEST(NotRepeated, ANewConnectionIsNotTakenForOneThatWasIdleForLong) {
  static std::atomic<bool> go_on;
  go_on = false;
  detail::test_point_hook = [](const char* name) noexcept {
    if (std::string_view(name) != "maintenance.begin") return;
    while (!go_on) std::this_thread::yield();
  };
  {
    Pool pool(
        PoolConfig{.max_size = 1, .max_idle_time = 60s, .health_period = 1ms, .ping_after = 1ms});
    EXPECT_TRUE(pool.try_acquire(30s));
    EXPECT_EQ(pool.stats().pings, 0);
    go_on = true;
    // It reaps before it pings.
    EXPECT_TRUE(eventually([&] { return pool.stats().pings + pool.stats().destroyed.idle > 0; }));
    EXPECT_EQ(pool.stats().destroyed.idle, 0);
  }
  detail::test_point_hook = nullptr;
}

}  // namespace
}  // namespace tidegate::test
