// pool_min_conns and pool_min_idle_conns: when the floor is reached, and after what. Nothing here
// happens by the clock: the health period is an hour.
#include <atomic>
#include <latch>
#include <semaphore>
#include <set>
#include <vector>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

PoolConfig with_floor(std::uint32_t max_size, std::uint32_t min_size) {
  return {.max_size = max_size,
          .min_size = min_size,
          .max_idle_time = 0ms,
          .health_period = 1h,
          .ping_after = 0ms};
}

bool await_idle(Pool& pool, std::uint32_t count) {
  return eventually([&] { return pool.stats().idle == count; });
}

// Four connections were opened, as many as may be at once, and then nothing for a health period.
TEST(Floor, OfTwelveIsReachedByAPoolThatNobodyAsks) {
  Pool pool(with_floor(12, 12));
  EXPECT_TRUE(await_idle(pool, 12));
  EXPECT_EQ(pool.stats().created, 12);
}

// Each connect that ends is followed by the next at once, so that max_connecting are on their way
// until the last ones are.
TEST(Floor, IsReachedMaxConnectingAtATime) {
  std::counting_semaphore<> may_end(0);
  PoolConfig config = with_floor(8, 7);
  config.max_connecting = 3;
  config.hooks.after_connect = [&](Connection&) { may_end.acquire(); };
  Pool pool(config);
  for (std::uint32_t open = 0; open < 7; ++open) {
    EXPECT_TRUE(eventually([&] {
      const Stats stats = pool.stats();
      return stats.idle == open && stats.connecting == std::min(3U, 7 - open);
    })) << open
        << " are open";
    may_end.release();
  }
  EXPECT_TRUE(await_idle(pool, 7));
  EXPECT_EQ(pool.stats().created, 7);
}

TEST(Floor, IsReachedAgainAfterAReset) {
  Pool pool(with_floor(12, 12));
  ASSERT_TRUE(await_idle(pool, 12));
  pool.reset();
  EXPECT_TRUE(eventually([&] { return pool.stats().created == 24 && pool.stats().idle == 12; }));
  EXPECT_EQ(pool.stats().destroyed.generation, 12);
}

// All server processes end, and one query notices. A look at the sockets finds the others.
TEST(Floor, IsReachedAgainAfterTheServerHasEndedEverything) {
  Pool pool(with_floor(12, 12));
  ASSERT_TRUE(await_idle(pool, 12));
  Observer observer;
  for (Lease& lease : pool.acquire_all_idle()) observer.terminate(lease->backend_pid());
  await_idle_long_enough();
  pool.exec("select 1");
  EXPECT_TRUE(eventually([&] { return pool.stats().created == 24 && pool.stats().idle == 12; }));
}

// In a full pool there is room for the next one only when the last one has gone.
TEST(Floor, IsReachedAgainAfterADiscardAndAHijack) {
  Pool pool(with_floor(2, 2));
  ASSERT_TRUE(await_idle(pool, 2));
  pool.acquire().discard();
  EXPECT_TRUE(eventually([&] { return pool.stats().created == 3 && pool.stats().idle == 2; }));
  const Connection mine = pool.acquire().hijack();
  EXPECT_TRUE(eventually([&] { return pool.stats().created == 4 && pool.stats().idle == 2; }));
}

// Where there is room the end of the old one is not waited for.
TEST(Floor, DoesNotWaitForAServerProcessThatIsSlowToGo) {
  Pool pool(with_floor(2, 1));
  Lease lease = pool.acquire();
  const Frozen frozen(lease->backend_pid());
  lease.discard();
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
  EXPECT_EQ(pool.stats().retiring, 1) << "it has a second to go";
}

TEST(Floor, OfSpareConnectionsIsOnTopOfThoseThatAreLeased) {
  PoolConfig config = with_floor(6, 0);
  config.min_idle = 2;
  Pool pool(config);
  ASSERT_TRUE(await_idle(pool, 2));
  const Lease one = pool.acquire();
  const Lease two = pool.acquire();
  EXPECT_TRUE(await_idle(pool, 2));
  EXPECT_EQ(pool.stats().created, 4);
  const Lease three = pool.acquire();
  const Lease four = pool.acquire();
  EXPECT_TRUE(await_idle(pool, 2));
  EXPECT_EQ(pool.stats().created, 6);
}

// I13. Planted: a maintenance that asks at every tick; an opening that fails and asks for the next.
TEST(Floor, IsNotInsistedOnWhileTheServerIsDown) {
  PoolConfig config = with_floor(12, 12);
  config.conninfo = "host=127.0.0.1 port=1";
  config.min_idle = 3;
  config.max_connecting = 4;
  config.connect_backoff_min = config.connect_backoff_max = 1h;
  Pool pool(config);
  ASSERT_TRUE(eventually([&] { return pool.stats().create_errors >= 1; }));
  EXPECT_FALSE(pool.try_acquire(100ms));  // as many ticks as it has
  EXPECT_LE(pool.stats().create_errors, 4) << "those that began before the first had failed";
}

// The password was wrong, or a proxy was slow: no step passes between the success and the rest.
TEST(Floor, IsReachedWithoutAPauseOnceTheServerIsBack) {
  std::atomic<bool> down{true};
  PoolConfig config = with_floor(12, 12);
  config.connect_backoff_min = 20ms;
  config.connect_backoff_max = 1h;
  config.hooks.before_connect = [&](ConnectParams& params) {
    if (down) params.set("host", "/no/such/folder");
  };
  Pool pool(config);
  ASSERT_TRUE(eventually([&] { return pool.stats().create_errors >= 1; }));
  down = false;
  EXPECT_TRUE(await_idle(pool, 12));
}

// pgxpool's TestPoolBackgroundChecksMinConns.
TEST(Floor, PgxpoolsOwnTestOfMinConns) {
  PoolConfig config{.max_size = 4, .min_size = 2, .health_period = 100ms};
  Pool pool(config);
  ASSERT_TRUE(eventually([&] { return pool.stats().idle == 2 && pool.stats().created == 2; }));
  EXPECT_EQ(pool.stats().destroyed.lifetime, 0);
  Lease lease = pool.acquire();
  EXPECT_EQ(pool.stats().idle, 1);
  EXPECT_EQ(pool.stats().destroyed.lifetime, 0);
  EXPECT_EQ(pool.stats().created, 2);
  lease.discard();
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2 && pool.stats().created == 3; }));
  EXPECT_EQ(pool.stats().destroyed.idle, 0);
}

// The same of MinIdleConns: what is leased does not count.
TEST(Floor, PgxpoolsOwnTestOfMinIdleConns) {
  PoolConfig config{.max_size = 4, .min_idle = 2, .health_period = 100ms};
  Pool pool(config);
  ASSERT_TRUE(await_idle(pool, 2));
  std::vector<Lease> leases;
  for (int i = 0; i < 2; ++i) leases.push_back(pool.acquire());
  EXPECT_TRUE(await_idle(pool, 2));
  EXPECT_EQ(pool.stats().created, 4);
  leases.clear();
  EXPECT_TRUE(await_idle(pool, 4)) << "idle ones above the floor go by their age only";
}

}  // namespace
}  // namespace tidegate::test
