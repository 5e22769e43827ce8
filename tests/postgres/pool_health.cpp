// What is handed out works: release checks, checks before hand-out, lifetime, reaping.
#include <atomic>
#include <string_view>
#include <thread>
#include <vector>

#include <tidegate/base/test_point.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

TEST(Release, AnOpenTransactionNeverReachesTheNextUser) {
  Pool pool(PoolConfig{.max_size = 1});
  {
    Lease lease = pool.acquire();
    lease->exec("begin");
  }
  Lease next = pool.acquire();
  EXPECT_EQ(next->transaction_status(), TransactionStatus::idle);
  EXPECT_EQ(next->query_value<int>("select 1"), 1);
}

TEST(Release, AFailedTransactionNeverReachesTheNextUser) {
  Pool pool(PoolConfig{.max_size = 1});
  {
    Lease lease = pool.acquire();
    lease->exec("begin");
    EXPECT_THROW(lease->exec("select 1/0"), QueryError);
  }
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

TEST(Release, AnSqlErrorDoesNotCostTheConnection) {
  Pool pool(PoolConfig{.max_size = 1});
  const int pid = pid_of(pool);
  EXPECT_THROW(pool.exec("select nonsense"), QueryError);
  EXPECT_EQ(pid_of(pool), pid);
}

TEST(Check, TerminatedIdleBackendsCostNoUserAnError) {
  Pool pool(PoolConfig{.name = "idle-kill", .max_size = 4});
  std::vector<int> pids;
  for (Lease& lease : lease_all(pool)) pids.push_back(lease->backend_pid());
  Observer observer;
  for (const int pid : pids) observer.terminate(pid);
  await_idle_long_enough();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i);
  EXPECT_GE(pool.stats().destroyed.broken, 1);
}

TEST(Check, ABackendTerminatedUnderALeaseIsReportedAndReplaced) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  Observer().terminate(lease->backend_pid());
  EXPECT_THROW(lease->exec("select 1"), ConnectionLost);
  lease.release();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().destroyed.broken, 1);
}

TEST(Check, AConnectionIdleForLongIsPingedBeforeItIsHandedOut) {
  Pool pool(PoolConfig{.max_size = 1, .ping_after = 1ms});
  const int pid = pid_of(pool);
  await_idle_long_enough();
  EXPECT_EQ(pid_of(pool), pid);
  EXPECT_GE(pool.stats().pings, 1);
}

// A ping that ends with its pool once made an eventfd for that, which the connection kept. The
// stress runs found one descriptor more than there had been.
TEST(Check, APingCostsItsConnectionNoDescriptor) {
  Pool pool(PoolConfig{.max_size = 1, .ping_after = 1ms});
  pid_of(pool);
  const std::size_t before = open_files();
  await_idle_long_enough();
  pid_of(pool);
  EXPECT_EQ(pool.stats().pings, 1);
  EXPECT_EQ(open_files(), before);
}

// A server process that does not answer: its socket looks well, so only the ping finds out.
TEST(Check, AFrozenBackendIsReplacedWhenThePingTimesOut) {
  Pool pool(PoolConfig{.max_size = 1, .ping_after = 1ms, .ping_timeout = 50ms});
  const int pid = pid_of(pool);
  await_idle_long_enough();
  const Frozen frozen(pid);
  EXPECT_NE(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().destroyed.ping, 1);
}

TEST(Maintenance, AConnectionPastItsLifetimeIsReplaced) {
  Pool pool(PoolConfig{
      .max_size = 1, .max_lifetime = 30ms, .max_lifetime_jitter = 0ms, .health_period = 10ms});
  const int pid = pid_of(pool);
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.lifetime >= 1; }));
  EXPECT_NE(pid_of(pool), pid);
}

// Seen failing with a reaper that does not know min_size: refill makes up for it.
TEST(Maintenance, ReapsWhatIsIdleForTooLongDownToTheFloor) {
  Pool pool(PoolConfig{.max_size = 4, .min_size = 1, .max_idle_time = 30ms, .health_period = 10ms});
  lease_all(pool).clear();
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.idle >= 3; }));
  await_idle_long_enough();
  EXPECT_EQ(pool.stats().idle, 1);
  EXPECT_EQ(pool.stats().destroyed.idle, 3);
  EXPECT_EQ(pool.stats().created, 4);
}

TEST(Maintenance, KeepsTheMinimumOpenWithoutBeingAsked) {
  Pool pool(PoolConfig{.max_size = 4, .min_size = 3, .health_period = 20ms});
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 3; }));
  Observer observer;
  observer.terminate(pid_of(pool));
  await_idle_long_enough();
  EXPECT_TRUE(eventually([&] {
    pool.exec("select 1");  // finds the dead one sooner or later
    return pool.stats().destroyed.broken == 1 && pool.stats().idle == 3;
  }));
}

TEST(Maintenance, KeepsSpareConnectionsOnTopOfTheLeasedOnes) {
  Pool pool(PoolConfig{.max_size = 4, .min_idle = 2, .health_period = 10ms});
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
  const Lease one = pool.acquire();
  const Lease two = pool.acquire();
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
}

// Not at the next hand-out only. Seen failing with leases that end without a look at the
// generation.
TEST(Reset, ReplacesIdleConnectionsNowAndLeasedOnesWhenTheyComeBack) {
  Pool pool(PoolConfig{.max_size = 3});
  Lease unused = pool.acquire();
  Lease leased = pool.acquire();
  const int leased_pid = leased->query_value<int>("select pg_backend_pid()");
  const int idle_pid = pid_of(pool);
  pool.reset();
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.generation == 1; }));
  leased.release();
  EXPECT_EQ(pool.stats().destroyed.generation, 2);
  unused.release();
  EXPECT_EQ(pool.stats().destroyed.generation, 3);
  for (Lease& lease : lease_all(pool)) {
    EXPECT_NE(lease->backend_pid(), leased_pid);
    EXPECT_NE(lease->backend_pid(), idle_pid);
  }
}

TEST(Size, TheServerNeverSeesMoreThanMaxSizeConnections) {
  Pool pool(PoolConfig{.name = "bounded",
                       .max_size = 3,
                       .max_lifetime = 1ms,
                       .max_lifetime_jitter = 0ms,
                       .health_period = 5ms});
  Observer observer;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) pool.exec("select 1");
      });
    }
    EXPECT_TRUE(eventually([&] {  // until each slot has had several connections
      EXPECT_LE(observer.backends("bounded"), 3);
      return pool.stats().created > 12;
    }));
  }
  EXPECT_EQ(pool.stats().backends_abandoned, 0);
}

// A snapshot takes two looks. Between them a lease ended and its connection began to retire; it was
// counted in both places, and the gauges added up to more than there is.
TEST(Size, GaugesNeverAddUpToMoreThanMax) {
  Pool pool(PoolConfig{.max_size = 1});
  static Lease lease;
  lease = pool.acquire();
  detail::test_point_hook = [](const char* name) noexcept {
    if (std::string_view(name) == "stats.before_retiring") lease.discard();
  };
  const Stats stats = pool.stats();
  detail::test_point_hook = nullptr;
  EXPECT_FALSE(lease) << "the hook was called";
  EXPECT_LE(stats.idle + stats.leased + stats.connecting + stats.checking + stats.retiring, 1u);
}

TEST(Size, AServerProcessThatOutlivesItsConnectionIsCountedAsAbandoned) {
  Pool pool("pool_max_conns=1");
  const int pid = pool.acquire()->backend_pid();
  const Frozen frozen(pid);
  pool.acquire().discard();
  EXPECT_TRUE(eventually([&] { return pool.stats().backends_abandoned == 1; }));
  EXPECT_EQ(pool.query_value<int>("select 1"), 1) << "its slot is free again";
}

// None of them is ever old: each is used again and again. Seen failing: a reaper that looks at ages
// only. It has also found, once in many runs on a busy machine, a reaper that sorted by ages which
// changed meanwhile, and so wrote beside its list.
TEST(Maintenance, ReapsWhatRotationKeepsYoungAndNobodyNeeds) {
  // What is cleaned after its lease comes to the end of the queue: each is used in its turn.
  Pool pool(PoolConfig{.max_size = 4,
                       .max_idle_time = 200ms,
                       .health_period = 10ms,
                       .reset = ResetPolicy::discard_all,
                       .gates = 1});
  lease_all(pool).clear();
  EXPECT_TRUE(eventually(
      [&] {
        const Lease one = pool.acquire();
        const Lease two = pool.acquire();
        return pool.stats().destroyed.idle >= 2;
      },
      10s));
}

// A draw from a day: the chance that it is over now is one in a million. Seen failing: a lifetime
// without the draw.
TEST(Maintenance, JitterIsAddedToTheLifetime) {
  Pool pool(PoolConfig{
      .max_size = 1, .max_lifetime = 1ms, .max_lifetime_jitter = 24h, .health_period = 1ms});
  const int pid = pid_of(pool);
  await_idle_long_enough();
  EXPECT_EQ(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().destroyed.lifetime, 0u);
}

// Seen failing: a pool that opens as many at once as it may have.
TEST(Size, NoMoreThanMaxConnectingConnectAtOnce) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<bool> go{false};
  PoolConfig config{.max_size = 8, .max_connecting = 2};
  config.hooks.before_connect = [&](ConnectParams&) {
    const int now = ++inside;
    int seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
    EXPECT_TRUE(eventually([&] { return go.load(); }));
    --inside;
  };
  Pool pool(config);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
    }
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 8 && inside >= 2; }));
    EXPECT_EQ(pool.stats().connecting, 2u);
    go = true;
  }
  EXPECT_EQ(most, 2);
}

}  // namespace
}  // namespace tidegate::test
