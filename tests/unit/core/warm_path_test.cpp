// What acquire and release cost on a warm pool (I14): no allocation, no lock, no system call.
#include <tidegate/core/resource_pool.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <fstream>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <support/call_counter.hpp>
#include <support/no_system_calls.hpp>
#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

using Pool = ResourcePool<int>;

ResourcePoolConfig<int> of_size(std::uint32_t max_size) {
  return {.create = [](const std::stop_token&, Deadline) -> Expected<int> { return 1; },
          .max_size = max_size};
}

// Every slot of the pool has been made, leased and released by the calling thread.
void warm_up(Pool& pool) {
  std::vector<Pool::Lease> leases;
  for (std::uint32_t i = 0; i < pool.counts().max; ++i) {
    leases.push_back(std::move(pool.acquire().lease));
    ASSERT_TRUE(leases.back());
  }
}

void cycle(Pool& pool, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto acquired = pool.acquire();
    if (!acquired) abort();
    ++*acquired.lease;
  }
}

TEST(WarmPath, AllocatesNothing) {
  Pool pool(of_size(4));
  warm_up(pool);
  const test::CallCounter counter;
  cycle(pool, 10'000);
  EXPECT_EQ(counter.allocations(), 0u);
}

// Through the queue as well: with more leases at once than there are docks.
TEST(WarmPath, AllocatesNothingWhereTheQueueIsUsedEither) {
  Pool pool(of_size(64));
  warm_up(pool);
  std::vector<Pool::Lease> leases;
  leases.reserve(64);
  const test::CallCounter counter;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 64; ++i) leases.push_back(std::move(pool.acquire().lease));
    leases.clear();
  }
  EXPECT_EQ(counter.allocations(), 0u);
}

// The releasing thread's cost, whatever becomes of the slot: a grant, a retirement, a dock.
TEST(WarmPath, ReleaseNeverAllocates) {
  Pool pool(of_size(1));
  warm_up(pool);
  for (int i = 0; i < 20; ++i) {
    auto lease = std::move(pool.acquire().lease);
    std::thread waiter([&] {
      auto acquired = pool.acquire();
      EXPECT_TRUE(acquired);
      const test::CallCounter counter;
      acquired.lease.discard();
      EXPECT_EQ(counter.allocations(), 0u);
    });
    test::await("the waiter", [&] { return pool.counts().waiting == 1; });
    {
      const test::CallCounter counter;
      lease.release();
      EXPECT_EQ(counter.allocations(), 0u);
    }
    waiter.join();
  }
}

TEST(WarmPath, ALeaseCanBeMovedForNothing) {
  Pool pool(of_size(1));
  auto lease = std::move(pool.acquire().lease);
  const test::CallCounter counter;
  for (int i = 0; i < 100; ++i) {
    Pool::Lease other(std::move(lease));
    lease = std::move(other);
  }
  EXPECT_EQ(counter.allocations(), 0u);
}

#if !defined(TIDEGATE_TEST_SANITIZED)

TEST(WarmPath, TheCounterSeesLocks) {
  std::mutex mutex;
  const test::CallCounter counter;
  for (int i = 0; i < 3; ++i) std::lock_guard lock(mutex);
  EXPECT_EQ(counter.locks(), 3u);
}

// Planted: a lock_guard in SlotPool::release().
TEST(WarmPath, LocksNothing) {
  Pool pool(of_size(4));
  warm_up(pool);
  const test::CallCounter counter;
  cycle(pool, 10'000);
  EXPECT_EQ(counter.locks(), 0u);
}

TEST(WarmPath, LocksNothingWhereTheQueueIsUsedEither) {
  Pool pool(of_size(64));
  warm_up(pool);
  std::vector<Pool::Lease> leases;
  leases.reserve(64);
  const test::CallCounter counter;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 64; ++i) leases.push_back(std::move(pool.acquire().lease));
    leases.clear();
  }
  EXPECT_EQ(counter.locks(), 0u);
}

TEST(WarmPathDeathTest, TheFilterSeesASystemCall) {
  EXPECT_EXIT(
      {
        test::forbid_system_calls();
        syscall(SYS_getppid);
        _exit(0);
      },
      testing::KilledBySignal(SIGSYS), "");
}

// Planted: a sched_yield() in SlotPool::release().
TEST(WarmPathDeathTest, CallsTheSystemForNothing) {
  EXPECT_EXIT(
      {
        Pool pool(of_size(4));
        warm_up(pool);
        test::forbid_system_calls();
        cycle(pool, 100'000);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(WarmPathDeathTest, CallsTheSystemForNothingWhereTheQueueIsUsedEither) {
  EXPECT_EXIT(
      {
        Pool pool(of_size(64));
        warm_up(pool);
        std::vector<Pool::Lease> leases;
        leases.reserve(64);
        test::forbid_system_calls();
        for (int round = 0; round < 200; ++round) {
          for (int i = 0; i < 64; ++i) leases.push_back(std::move(pool.acquire().lease));
          leases.clear();
        }
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

#endif

// ---- short-lived threads ---------------------------------------------------------------------

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Queues with a producer per thread grow with every thread that ever released something.
// Planted: enqueue() without a token in idle_queue.cpp: resident memory grows by megabytes.
TEST(WarmPath, AHundredThousandShortLivedReleasersLeaveNothingBehind) {
  constexpr int kThreads = test::kSanitized ? 2'000 : 100'000;
  Pool pool(of_size(4));
  warm_up(pool);
  std::size_t before = 0;
  for (int i = 0; i < kThreads; ++i) {
    auto first = std::move(pool.acquire().lease);
    auto second = std::move(pool.acquire().lease);
    auto third = std::move(pool.acquire().lease);  // more than there are docks, on two cores
    std::thread([a = std::move(first), b = std::move(second), c = std::move(third)]() mutable {
      a.release();
      b.release();
      c.release();
    }).join();
    if (i == kThreads / 10) before = resident_bytes();
  }
  const PoolCounts counts = pool.counts();
  EXPECT_EQ(counts.idle, 4u);
  if (!test::kSanitized) {
    EXPECT_LT(resident_bytes(), before + (std::size_t{1} << 20));
  }
}

// ---- no thread to be had ---------------------------------------------------------------------

#if !defined(TIDEGATE_TEST_SANITIZED)

TEST(NoThreads, AreRefusedByTheTestsOwnHand) {
  const test::NoThreads none;
  EXPECT_THROW(std::thread([] {}), std::system_error);
  EXPECT_EQ(none.refused(), 1);
}

TEST(NoThreads, TheConstructorThrows) {
  const test::NoThreads none;
  EXPECT_THROW(Pool pool(of_size(1)), std::system_error);
}

// Maintenance asks again, and once there is a thread the waiter is served (I3).
// Planted: ResourcePool that leaves out no_thread. Maintenance sleeps, and the waiter for ever.
TEST(NoThreads, AWaiterIsServedAsSoonAsThereIsOne) {
  Pool pool(of_size(1));
  std::atomic<bool> begin{false};
  std::thread waiter([&] {
    test::await("the moment without threads", [&] { return begin.load(); });
    EXPECT_TRUE(pool.acquire());
  });
  {
    const test::NoThreads none;
    begin = true;
    test::await("the second refusal", [&] { return none.refused() >= 2; });
    EXPECT_EQ(pool.counts().waiting, 1u);
  }
  waiter.join();
}

TEST(NoThreads, ADeadlineThatPassesMeanwhileIsUnavailableNotTimeout) {
  Pool pool(of_size(1));
  const test::NoThreads none;
  EXPECT_EQ(pool.acquire(std::chrono::milliseconds(30)).error, Errc::unavailable);
}

#endif

}  // namespace
}  // namespace tidegate::core
