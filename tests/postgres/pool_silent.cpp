// Idle connections that the network has forgotten: what is sent on them arrives nowhere, and nobody
// says so. A NAT, a firewall, a load balancer that dropped its table.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <support/proxy.hpp>

#include "pool_support.hpp"
#include "pq_support.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// The connections of the beginning go by a way that forgets them; later ones go by another.
class SilentNetwork : public testing::Test {
 protected:
  PoolConfig config(std::uint32_t max_size, std::chrono::milliseconds ping_timeout) {
    PoolConfig config{.conninfo = "host=127.0.0.1",
                      .max_size = max_size,
                      .health_period = 1h,
                      .ping_after = 1ms,
                      .ping_timeout = ping_timeout};
    config.hooks.before_connect = [this](ConnectParams& params) {
      params.set("port", forgets_ ? new_way_.port() : old_way_.port());
    };
    return config;
  }
  // `count` of them are open and idle, and dead.
  void forget_all(Pool& pool, std::uint32_t count) {
    std::vector<Lease> leases;
    for (std::uint32_t i = 0; i < count; ++i) leases.push_back(pool.acquire());
    leases.clear();
    forgets_ = true;
    old_way_.set({.black_hole = true});
    await_idle_long_enough();
  }
  static std::chrono::nanoseconds time_of_select(Pool& pool) {
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(pool.query_value<int>("select 1"), 1);
    return std::chrono::steady_clock::now() - began;
  }

  stress::Proxy old_way_{pq_test::environment("PGHOST"), pq_test::environment("PGPORT")};
  stress::Proxy new_way_{pq_test::environment("PGHOST"), pq_test::environment("PGPORT")};
  std::atomic<bool> forgets_{false};
};

// Seen failing: an acquirer that waits for one answer after the other, 8 and 16 times the
// ping_timeout; and one that waits for the server to end its side, one second more.
TEST_F(SilentNetwork, TheFirstAnswerTakesLittleMoreThanOnePingTimeoutWhateverTheirNumber) {
  for (const std::uint32_t count : {1u, 8u, 16u}) {
    old_way_.heal();
    forgets_ = false;
    Pool pool(config(count, 2s));
    forget_all(pool, count);
    EXPECT_LE(time_of_select(pool), 2400ms) << count << " dead";
    EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.ping == count; }));
  }
}

// Where there is room, a new connection is not kept waiting for the verdict on the old ones. Seen
// failing: an acquirer who waits for the answer and for nothing else.
TEST_F(SilentNetwork, AFreshConnectBeginsBesideASlowPing) {
  Pool pool(config(5, 60s));
  forget_all(pool, 4);
  EXPECT_LT(time_of_select(pool), 30s);
  EXPECT_EQ(pool.stats().destroyed.ping, 0u) << "their time is not over";
  EXPECT_EQ(pool.stats().checking, 4u);
  EXPECT_EQ(pool.stats().pinging, 4u);
  EXPECT_LE(old_way_.live() + new_way_.live(), 5u);
}

// What has not answered soon is not dead. Seen failing: an acquirer that takes the silence of one
// for that of all.
TEST_F(SilentNetwork, ASlowServerLosesNoConnection) {
  Pool pool(config(4, 10s));
  lease_all(pool).clear();
  old_way_.set({.latency = 750ms});  // there and back: longer than a tenth of the time
  await_idle_long_enough();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 4; }));
  EXPECT_EQ(pool.stats().destroyed.ping, 0u);
  EXPECT_EQ(pool.stats().created, 4u);
}

// A hook that wants a ping each time gets one, but not for what maintenance has just pinged. Seen
// failing: a slow server whose connections go from the acquirer to maintenance and back for ever.
TEST_F(SilentNetwork, WhatMaintenanceHasPingedIsNotPingedOnceMore) {
  PoolConfig asking = config(2, 5s);
  asking.hooks.should_ping = [](const Connection&, std::chrono::nanoseconds) { return true; };
  Pool pool(asking);
  lease_all(pool).clear();
  old_way_.set({.latency = 400ms});
  EXPECT_EQ(pool.query_value<int>(ExecOptions{.by = 20s}, "select 1"), 1);
}

TEST_F(SilentNetwork, WhoGivesUpIsToldWhatTheTimeWentBy) {
  Pool pool(config(8, 60s));
  forget_all(pool, 8);
  for (const bool with_deadline : {true, false}) {
    const auto none = with_deadline ? pool.try_acquire(Deadline(300ms)) : pool.try_acquire();
    ASSERT_FALSE(none.has_value());
    const auto* timeout = none.error().as<AcquireTimeout>();
    ASSERT_NE(timeout, nullptr);
    EXPECT_EQ(timeout->cause(), AcquireTimeout::Cause::checking);
    const std::string text = timeout->what();
    if (!with_deadline) {
      EXPECT_THAT(text, HasSubstr("no connection without waiting"));
      continue;
    }
    EXPECT_GE(timeout->waited(), 300ms);
    EXPECT_THAT(text, HasSubstr("no connection within 300 ms (waited "));
    EXPECT_THAT(text, HasSubstr("8 idle connections did not answer a ping"));
    EXPECT_THAT(text, Not(HasSubstr("without waiting")));
    EXPECT_THAT(text, Not(HasSubstr("let this acquire wait")));
  }
}

// So short a time that it was over before another connection could be looked at.
TEST_F(SilentNetwork, WhoGivesUpDuringAPingHasWaitedForIt) {
  Pool pool(config(1, 60s));
  forget_all(pool, 1);
  const auto none = pool.try_acquire(Deadline(100ms));
  ASSERT_FALSE(none.has_value());
  EXPECT_GE(none.error().as<AcquireTimeout>()->waited(), 100ms);
  EXPECT_THAT(none.error().what(), HasSubstr("no connection within 100 ms (waited "));
}

}  // namespace
}  // namespace tidegate::test
