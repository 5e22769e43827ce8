// What acquire and release of a Pool cost on a warm pool (I14): no allocation, no lock, no system
// call, with everything on that is on by default.
#include <csignal>

#include <support/call_counter.hpp>
#include <support/no_system_calls.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

void cycle(Pool& pool, int rounds) {
  for (int i = 0; i < rounds; ++i) const Lease lease = pool.acquire();
}

// Each dock has a connection, and the calling thread has been here before.
void warm_up(Pool& pool) {
  lease_all(pool).clear();
  cycle(pool, 100);
}

TEST(PoolWarmPath, AllocatesAndLocksNothing) {
  Pool pool(PoolConfig{.max_size = 4});
  warm_up(pool);
  const CallCounter counter;
  cycle(pool, 10'000);
  EXPECT_EQ(counter.allocations(), 0u);
  EXPECT_EQ(counter.locks(), 0u);
}

TEST(PoolWarmPath, AllocatesAndLocksNothingForAnObserver) {
  Pool pool(PoolConfig{.max_size = 4, .observer = std::make_shared<tidegate::Observer>()});
  warm_up(pool);
  const CallCounter counter;
  cycle(pool, 10'000);
  EXPECT_EQ(counter.allocations(), 0u);
  EXPECT_EQ(counter.locks(), 0u);
}

TEST(PoolWarmPath, ReleaseAfterAQueryAllocatesAndLocksNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  warm_up(
      pool);  // the first acquire waits for the connect, and the release after it finds no waiter
  for (int i = 0; i < 10; ++i) {
    Lease lease = pool.acquire();
    lease->exec("select 1");
    const CallCounter counter;
    lease.release();
    EXPECT_EQ(counter.allocations(), 0u);
    EXPECT_EQ(counter.locks(), 0u);
  }
}

// Idle for 20 ms, a connection's socket is looked at, which is a system call. A loop of a tenth of
// a millisecond stays within that, unless others have the processor for so long in the middle of
// it: then it is tried again. (Ten times as long, it failed on a machine with 15 others at work.)
TEST(PoolWarmPathDeathTest, CallsTheSystemForNothing) {
  bool nothing = false;
  const auto has_ended_by_itself = [&](int status) {
    nothing = testing::ExitedWithCode(0)(status);
    return true;
  };
  for (int i = 0; i < 20 && !nothing; ++i) {
    EXPECT_EXIT(
        {
          Pool pool(PoolConfig{.max_size = 4});
          warm_up(pool);
          forbid_system_calls();
          cycle(pool, 1'000);
          _exit(0);
        },
        has_ended_by_itself, "");
  }
  EXPECT_TRUE(nothing);
}

TEST(PoolWarmPathDeathTest, ACleanReleaseAfterAQueryCallsTheSystemForNothing) {
  EXPECT_EXIT(
      {
        Pool pool(PoolConfig{.max_size = 1});
        warm_up(pool);
        Lease lease = pool.acquire();
        lease->exec("select 1");
        forbid_system_calls();
        lease.release();
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tidegate::test
