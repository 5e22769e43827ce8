// What becomes of a pool when memory runs out, in the library or in libpq: each allocation of its
// construction, a connect, a query and an acquire that waits fails once. Each call ends with its
// result, std::bad_alloc or an Error; nothing is leaked, no slot is lost, close() returns.
#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "failed_allocations_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::test {
namespace {

#if !defined(TIDEGATE_TEST_SANITIZED)

// A configuration that needs no server. The conninfo is parsed by libpq several times. Found: the
// books of the canceller were noexcept, and hold a std::deque, which allocates when it is made.
TEST(FailedAllocations, OfTheConstructorAreThrown) {
  sweep([](FailedAllocation&) { may_fail([] { const Pool pool(of_size(2)); }); });
}

// Planted: Openers::want() that catches std::system_error alone.
TEST(FailedAllocations, OfAConnectAreMadeUpForWhileSomebodyWaits) {
  sweep([](FailedAllocation& failure) {
    failure.end();
    Pool pool(of_size(1));
    failure.begin();
    may_fail([&] { pool.acquire(Deadline(patience())); });
    failure.end();
    check_whole(pool);
  });
}

// A statement that is prepared needs a deadline here: libpq 15 loses the end of a pipeline when
// there is no memory for its marker (pqParseInput3(), 'Z'), and then waits for ever.
TEST(FailedAllocations, OfAQueryAreItsErrorOrItsDeadlineIs) {
  std::optional<Pool> pool(of_size(1));
  sweep([&pool](FailedAllocation& failure) {
    failure.end();
    {
      Lease lease = pool->acquire();
      pq::PoolAccess(*lease).bound(Deadline(200ms), {});
      failure.begin();
      may_fail([&] { lease->exec("select $1::int4, $2::text", 42, "forty-two"); });
      may_fail([&] { lease->exec("select broken"); });
      may_fail([&] { lease->query_value<std::string>("select $1::text", std::string(2000, 'x')); });
      may_fail([&] {
        Transaction transaction = lease->begin();
        lease->exec("select 1");
        transaction.commit();
      });
      failure.end();
      pq::PoolAccess(*lease).bound({}, {});
    }
    failure.end();
    EXPECT_EQ(pool->query_value<int>("select 7"), 7);
    const Stats stats = pool->stats();
    EXPECT_EQ(stats.leased, 0u);
  });
}

// The leader of a lane works for others, too: what it has no memory for costs itself, or those
// whose statements were sent, and the lane goes on. A deadline, because of libpq 15 (above).
TEST(FailedAllocations, OnALaneAreNobodyElsesForLong) {
  PoolConfig config = of_size(1);
  config.lanes = 1;
  config.lane_limit = 60'000ms;
  sweep([&config](FailedAllocation& failure) {
    failure.end();
    // A pool for each: what a connection has prepared, and whether one was lost, depends on who
    // led, and would be counted from one failure to the next.
    std::optional<Pool> pool(config);
    {
      Lease held = pool->acquire(30s);
      std::atomic<bool> go{false};
      std::vector<std::jthread> calls;
      for (int i = 0; i < 2; ++i) {
        calls.emplace_back([&pool, &go, i] {
          while (!go) std::this_thread::yield();
          may_fail([&] {
            EXPECT_EQ(pool->query_value<int>({.by = 300ms}, "select $1::int4 -- on a lane", i), i);
          });
        });
      }
      failure.begin();
      go = true;
      const Deadline enough(patience());
      while (pool->stats().lanes.callers < 1 && !enough.passed()) std::this_thread::yield();
      held.release();
      calls.clear();
      failure.end();
    }
    EXPECT_EQ(pool->query_value<int>("select 7"), 7);
    const Stats stats = pool->stats();
    EXPECT_EQ(stats.leased, 0u);
    EXPECT_EQ(stats.lanes.callers, 0u);
    EXPECT_EQ(stats.lanes.open, 0u);
  });
}

// Who waits is in a list on its own stack; but prepare, the stop and the words of a failure want
// memory.
class FailedAllocationsWhileItWaits : public testing::Test {
 protected:
  // With `nested`, the thread that acquires holds a lease, and that is looked for and told.
  explicit FailedAllocationsWhileItWaits(bool nested = false) : nested_(nested) {}

  // An acquire that waits for the last connection, on a thread that is there already.
  // `meanwhile(waits)`, on the calling thread; waits() is false once the acquire has ended.
  template <class Acquire, class Meanwhile>
  void sweep_over(Acquire&& acquire, Meanwhile&& meanwhile) {
    sweep([&](FailedAllocation& failure) {
      failure.end();
      const auto told = std::make_shared<Listener>();
      PoolConfig config = of_size(nested_ ? 2 : 1);
      if (nested_) config.nested_acquire = NestedAcquire::warn;
      config.observer = told;
      config.hooks.prepare = [](Connection&) { return Verdict::use(); };
      Pool pool(std::move(config));
      Lease held = pool.acquire();
      std::atomic<bool> ready{false};
      std::atomic<bool> go{false};
      std::atomic<bool> over{false};
      std::jthread other([&] {
        const Lease own = nested_ ? pool.acquire() : Lease();
        ready = true;
        await("the start", [&] { return go.load(); });
        may_fail([&] { acquire(pool); });
        over = true;
      });
      await("the other thread", [&] { return ready.load(); });
      const std::uint64_t waited_before = told->waited_for;
      failure.begin();
      go = true;
      meanwhile(pool, held, over);
      other.join();
      failure.end();
      held.release();
      check_told(*told, pool.stats());
      // A nested one may end before that, where what its thread holds cannot be told.
      EXPECT_GE(told->waited_for, waited_before + (nested_ ? 0 : 1));
      check_whole(pool);
      check_told(*told, pool.stats());
      EXPECT_EQ(told->connects, 0);
    });
  }

 private:
  const bool nested_;
};

TEST_F(FailedAllocationsWhileItWaits, AndIsServedAreItsError) {
  const std::stop_source stop;
  sweep_over([&](Pool& pool) { pool.acquire(Deadline(patience()), stop.get_token()); },
             [](Pool& pool, Lease& held, const std::atomic<bool>& over) {
               await("who waits", [&] { return over || pool.stats().waiting == 1; });
               held.release();
             });
}

// Found: no end of it was told to the observer when its words could not be had.
TEST_F(FailedAllocationsWhileItWaits, InVainAreItsError) {
  sweep_over([](Pool& pool) { pool.acquire(Deadline(2ms)); },
             [](Pool&, Lease&, const std::atomic<bool>& over) {
               await("its end", [&] { return over.load(); });
             });
}

class FailedAllocationsOfANestedAcquire : public FailedAllocationsWhileItWaits {
 protected:
  FailedAllocationsOfANestedAcquire() : FailedAllocationsWhileItWaits(true) {}
};

// Seen failing with an acquire that ends by an exception and tells nobody.
TEST_F(FailedAllocationsOfANestedAcquire, ThatIsServedAreItsError) {
  sweep_over([](Pool& pool) { pool.acquire(Deadline(patience())); },
             [](Pool& pool, Lease& held, const std::atomic<bool>& over) {
               await("who waits", [&] { return over || pool.stats().waiting == 1; });
               held.release();
             });
}

#endif

}  // namespace
}  // namespace tidegate::test
