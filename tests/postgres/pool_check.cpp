// The check before hand-out: what is stale, what must be pinged first, what prepare does to it.
#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <thread>

#include <gmock/gmock.h>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// Far longer than any test.
constexpr const char* kTenMinutes = "select pg_sleep(600)";

// ---- stale ones ------------------------------------------------------------------------------

// One connection that maintenance leaves alone.
PoolConfig short_lived() {
  return {.max_size = 1, .max_lifetime = 50ms, .max_lifetime_jitter = 0ms, .health_period = 1h};
}

// Seen failing: a check that does not look at the lifetime.
TEST(Check, AConnectionPastItsLifetimeIsNotHandedOut) {
  Pool pool(short_lived());
  const int pid = pid_of(pool);
  await_idle_long_enough();
  EXPECT_NE(pool.acquire()->backend_pid(), pid);
  EXPECT_GE(pool.stats().destroyed.lifetime, 1u);
}

// Seen failing: a release that does not look at it.
TEST(Check, AConnectionPastItsLifetimeDoesNotComeBack) {
  Pool pool(short_lived());
  Lease lease = pool.acquire();
  await_idle_long_enough();
  lease.release();
  EXPECT_EQ(pool.stats().destroyed.lifetime, 1u);
}

// However fast the next acquire comes, and by whichever path: one with a stop never takes the warm
// one. Several times, since maintenance replaces what is idle, too, and may be there first. Seen
// failing: each of the two paths without its look at the generation.
TEST(Check, AConnectionFromBeforeAResetIsNotHandedOut) {
  Pool pool(PoolConfig{.max_size = 1, .health_period = 1h});
  const std::stop_source stop;
  for (int round = 0; round < 20; ++round) {
    const int pid = pid_of(pool);
    pool.reset();
    const Lease next = round % 2 == 0 ? pool.acquire() : pool.acquire(stop.get_token());
    EXPECT_NE(next->backend_pid(), pid);
  }
}

// ---- for one who may not wait ----------------------------------------------------------------

// Seen failing: a check that pings whoever it is for, for as long as a ping may take.
TEST(Check, TryAcquireLeavesThePingToMaintenance) {
  Pool pool(PoolConfig{.max_size = 1, .ping_after = 1ms, .ping_timeout = 12s});
  const int pid = pid_of(pool);
  await_idle_long_enough();
  {
    const Frozen frozen(pid);
    const auto began = std::chrono::steady_clock::now();
    const auto none = pool.try_acquire();
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
    ASSERT_FALSE(none.has_value());
    const auto* timeout = none.error().as<AcquireTimeout>();
    ASSERT_NE(timeout, nullptr);
    EXPECT_EQ(timeout->waited(), 0ns);
    EXPECT_EQ(timeout->cause(), AcquireTimeout::Cause::checking);
    EXPECT_EQ(pool.stats().checking, 1u);
  }
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
  EXPECT_EQ(pool.stats().destroyed.ping, 0u);
  // What maintenance has heard counts: each try took the connection out for one more ping.
  EXPECT_TRUE(pool.try_acquire().has_value());
}

// The first is stopped meanwhile: what maintenance has pinged might be taken, too. Seen failing: a
// check that ends the search of one who may not wait.
TEST(Check, TryAcquireGoesOnToTheNextConnection) {
  std::atomic<bool> asks{false};
  std::optional<int> pinged;
  std::optional<Frozen> frozen;
  PoolConfig config{.max_size = 2, .health_period = 1h, .ping_timeout = 60s};
  config.hooks.should_ping = [&](const Connection& connection, std::chrono::nanoseconds) {
    if (!asks) return false;
    if (!pinged) {
      pinged = connection.backend_pid();
      frozen.emplace(*pinged);
    }
    return *pinged == connection.backend_pid();
  };
  Pool pool(config);
  lease_all(pool).clear();
  asks = true;
  const auto lease = pool.try_acquire();
  ASSERT_TRUE(lease.has_value());
  EXPECT_NE((*lease)->backend_pid(), pinged);
  frozen.reset();
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
  EXPECT_EQ(pool.stats().pings, 1u);
}

// Its deadline has passed before it began. Seen failing: prepare with the deadline of the acquire.
TEST(Check, PrepareForTryAcquireHasThePingTimeout) {
  PoolConfig config{.max_size = 1, .ping_timeout = 60s};
  config.hooks.prepare = [](Connection& connection) {
    connection.exec("select 1");
    return Verdict::use();
  };
  Pool pool(config);
  pid_of(pool);
  EXPECT_TRUE(pool.try_acquire().has_value());
}

// Seen failing: prepare without a bound.
TEST(Check, PrepareForTryAcquireHasNotMoreThanThePingTimeout) {
  std::atomic<bool> hangs{false};
  PoolConfig config{.max_size = 1, .ping_timeout = 50ms};
  config.hooks.prepare = [&](Connection& connection) {
    if (hangs) connection.exec({.by = 10s}, kTenMinutes);
    return Verdict::use();
  };
  Pool pool(config);
  pid_of(pool);
  hangs = true;
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(pool.try_acquire().error().code(), Errc::hook);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);
}

// Seen failing: prepare that has the stop of its acquire only; and an acquire that blames the hook.
TEST(Check, PrepareEndsAtClose) {
  std::atomic<bool> begun{false};
  PoolConfig config{.max_size = 1, .acquire_timeout = 600s};
  config.hooks.prepare = [&](Connection& connection) {
    begun = true;
    connection.exec({.by = 15s}, kTenMinutes);
    return Verdict::use();
  };
  Pool pool(config);
  std::jthread acquirer([&] { EXPECT_THROW(pool.acquire(), PoolClosed); });
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  EXPECT_EQ(pool.close({.drain = 10s}).outcome, CloseReport::Outcome::drained);
  acquirer.join();
  EXPECT_EQ(pool.stats().outcomes.closed, 1u);
  EXPECT_EQ(pool.stats().outcomes.hook, 0u);
}

}  // namespace
}  // namespace tidegate::test
