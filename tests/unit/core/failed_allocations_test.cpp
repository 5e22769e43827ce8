// What becomes of a pool when memory runs out: each allocation in its life fails once, and once all
// from there on. An acquire ends with a lease or an Errc, a constructor with std::bad_alloc or no
// thread; nothing is leaked, no slot is lost, close() returns.
#include <tidegate/core/resource_pool.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <support/call_counter.hpp>
#include <support/failed_allocations.hpp>
#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

#if !defined(TIDEGATE_TEST_SANITIZED)

using namespace std::chrono_literals;
using test::FailedAllocation;

// A resource that is made of memory.
using Thing = std::unique_ptr<int>;
using Pool = ResourcePool<Thing>;

ResourcePoolConfig<Thing> of_size(std::uint32_t max_size) {
  return {.create = [](const std::stop_token&, Deadline) -> Expected<Thing> {
            return std::make_unique<int>(1);
          },
          .max_size = max_size,
          .backoff_min = 1ms,
          .backoff_max = 2ms};
}

// Every slot can be leased, the books agree (I1, I7), and it closes.
void check_whole(Pool& pool) {
  {
    std::vector<Pool::Lease> leases;
    for (std::uint32_t i = 0; i < pool.counts().max; ++i) {
      leases.push_back(std::move(pool.acquire(test::patience()).lease));
      ASSERT_TRUE(leases.back()) << "slot " << i << " is lost";
    }
    EXPECT_FALSE(pool.try_acquire());
  }
  const ResourceStats stats = pool.stats();
  EXPECT_EQ(stats.acquired, stats.ended);
  EXPECT_EQ(stats.counts.idle, stats.counts.max);
  EXPECT_EQ(stats.counts.leased + stats.counts.waiting + stats.counts.connecting, 0u);
  EXPECT_TRUE(pool.close(test::patience()));
}

// Planted: Openers::want() that catches std::system_error alone: the program ends, because it is
// noexcept and the memory for a thread throws std::bad_alloc.
// Found: an idle queue that got no memory for its producers was taken for a whole one.
TEST(FailedAllocations, OneFromConstructionToCloseCostsNothingButTheCallThatNeededIt) {
  test::sweep([](FailedAllocation& failure) {
    try {
      Pool pool(of_size(2));
      {
        // One failed opening, or thread, is made up for while somebody waits (I3).
        const auto first = pool.acquire(test::patience());
        EXPECT_TRUE(first);
        auto second = pool.acquire(test::patience());
        EXPECT_TRUE(second);
        if (second) second.lease.discard();
        pool.reset();
      }
      pool.create_resource(test::patience());
      failure.end();
      check_whole(pool);
    } catch (const std::bad_alloc&) {  // of the constructor
    } catch (const std::system_error&) {
    }
  });
}

TEST(FailedAllocations, AllOfThemFromSomePointOnLeaveAPoolThatWorksAgainAfterwards) {
  test::sweep(
      [](FailedAllocation& failure) {
        try {
          Pool pool(of_size(2));
          const auto first = pool.acquire(20ms);
          if (first.error) {
            EXPECT_TRUE(first.error == Errc::unavailable || first.error == Errc::timeout);
          }
          failure.end();
          const_cast<Pool::Lease&>(first.lease).release();
          check_whole(pool);
        } catch (const std::bad_alloc&) {
        } catch (const std::system_error&) {
        }
      },
      FailedAllocation::Then::all_fail);
}

// Of the close and of the end there is nobody to tell.
TEST(FailedAllocations, NoneIsNeededToCloseAPool) {
  Pool pool(of_size(2));
  auto held = std::move(pool.acquire(test::patience()).lease);
  ASSERT_TRUE(held);
  FailedAllocation failure(1, FailedAllocation::Then::all_fail);
  EXPECT_FALSE(pool.close(Deadline::now()));
  held.release();
  EXPECT_TRUE(pool.close());
  EXPECT_FALSE(failure.happened());
}

#endif

}  // namespace
}  // namespace tidegate::core
