// I12: a pool that nobody uses, or whose server is down, leaves the processor alone.
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"

namespace tidegate::test {
namespace {

// A share of one core: what this process uses while `f` runs.
template <class F>
double share_during(F&& f) {
  const auto used = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  };
  const auto began = std::chrono::steady_clock::now();
  const auto used_before = used();
  f();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return std::chrono::duration<double>(used() - used_before) / took;
}

void do_nothing_for_a_second() { ::poll(nullptr, 0, 1000); }

// The least of three: what a busy machine adds to it (cold caches, slow wake-ups) is not the
// pool's.
template <class Attempt>
double least_of_three(Attempt&& attempt) {
  double least = 1;
  for (int i = 0; i < 3 && least >= 0.01; ++i) least = std::min(least, attempt());
  return least;
}
double share_of_a_core_in_use() {
  return least_of_three([] { return share_during(do_nothing_for_a_second); });
}

TEST(Calm, AnIdlePoolUsesLessThanOnePercentOfACore) {
  Pool pool{"pool_max_conns=16"};
  {
    const auto leases = lease_all(pool);
  }
  ASSERT_EQ(pool.stats().idle, 16u);
  EXPECT_LT(share_of_a_core_in_use(), 0.01);
}

TEST(Calm, WaitingForALeaseUsesLessThanOnePercentOfACore) {
  Pool pool{"pool_max_conns=1"};
  Lease held = pool.acquire();
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_FALSE(pool.try_acquire(Deadline::never(), stop.get_token())); });
  ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  EXPECT_LT(share_of_a_core_in_use(), 0.01);
  stop.request_stop();
}

TEST(Calm, APoolWhoseServerIsDownUsesLessThanOnePercentOfACore) {
  Pool pool{"host=/nowhere pool_min_conns=2 pool_max_conns=4"};
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_FALSE(pool.try_acquire(Deadline::never(), stop.get_token())); });
  ASSERT_TRUE(eventually([&] { return pool.stats().create_errors > 0; }));
  EXPECT_LT(share_of_a_core_in_use(), 0.01);
  stop.request_stop();
}

TEST(Calm, ACloseThatWaitsForALeaseUsesLessThanOnePercentOfACore) {
  Pool pool{"pool_max_conns=2 pool_close_drain=60s"};
  std::jthread closer;
  {
    Lease held = pool.acquire();
    closer = std::jthread([&] { pool.close(); });
    ASSERT_TRUE(eventually([&] { return pool.closed(); }));
    EXPECT_LT(share_of_a_core_in_use(), 0.01);
  }
}

// It looks as often as maintenance takes a turn, and wakes it now and then. Seen failing with a
// warm_up() that does not wait between two looks.
TEST(Calm, AWarmUpInVainUsesLessThanFivePercentOfACore) {
  Pool pool{"host=/nowhere pool_min_conns=2 pool_max_conns=4"};
  EXPECT_LT(least_of_three([&] { return share_during([&] { EXPECT_FALSE(pool.warm_up(1s)); }); }),
            0.05);
}

// Seen failing with a maintenance that waits for housekeeping that is due and not done any more.
TEST(Calm, ACloseThatWaitsForAHookUsesLessThanOnePercentOfACore) {
  EXPECT_LT(least_of_three([] {
              PoolConfig config{.max_size = 2, .min_size = 2};
              config.hooks.before_close = [](Connection&) { do_nothing_for_a_second(); };
              Pool pool(config);
              EXPECT_TRUE(pool.warm_up(30s));
              return share_during([&] { pool.close(); });
            }),
            0.01);
}

}  // namespace
}  // namespace tidegate::test
