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

// A share of one core: what this process uses in a second in which the calling thread does nothing.
double share_in_one_second() {
  const auto used = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  };
  const auto began = std::chrono::steady_clock::now();
  const auto used_before = used();
  ::poll(nullptr, 0, 1000);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return std::chrono::duration<double>(used() - used_before) / took;
}

// The least of three: what a busy machine adds to it (cold caches, slow wake-ups) is not the
// pool's.
double share_of_a_core_in_use() {
  double least = 1;
  for (int i = 0; i < 3 && least >= 0.01; ++i) least = std::min(least, share_in_one_second());
  return least;
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

}  // namespace
}  // namespace tidegate::test
