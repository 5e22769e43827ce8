// What becomes of a close when memory runs out: each allocation fails once, in the close itself, in
// the canceller and in the statements that it ends. It ends with its report or std::bad_alloc;
// whoever closes the pool next ends what is left to be done, and nothing is leaked.
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "close_support.hpp"
#include "failed_allocations_support.hpp"

namespace tidegate::test {
namespace {

#if !defined(TIDEGATE_TEST_SANITIZED)

using Outcome = CloseReport::Outcome;
using Then = FailedAllocation::Then;

// Planted: Closing::run() that stays `running_` when it throws: the pool's destructor waits for
// ever.
TEST(FailedAllocations, OfACloseAreThrownAndTheNextOneEndsIt) {
  sweep([](FailedAllocation& failure) {
    failure.end();
    Pool pool(of_size(1));
    pool.query_value<int>("select 7");
    failure.begin();
    may_fail([&] { pool.close(); });
    failure.end();
    EXPECT_NE(pool.close().outcome, Outcome::orphaned);
    EXPECT_EQ(pool.stats().idle, 0u);
  });
}

// With a lease out: it keeps working, and its end ends its connection.
TEST(FailedAllocations, OfADestructorAreNobodysConcern) {
  sweep(
      [](FailedAllocation& failure) {
        failure.end();
        std::optional<Pool> pool(
            PoolConfig{.max_size = 1, .close_drain = 0ms, .close_cancel = 0ms, .close_force = 0ms});
        Lease lease = pool->acquire();
        failure.begin();
        pool.reset();
        failure.end();
        EXPECT_EQ(lease->query_value<int>("select 7"), 7);
      },
      Then::all_fail);
}

// ---- with a lease out ------------------------------------------------------------------------

// Found: where the memory for the caller's copy of the report was not to be had, the observer was
// not told of it, and never would be.
class FailedAllocationsOfAClose : public testing::Test {
 protected:
  // `hold(pool)` gives what holds one lease. It comes back, or is orphaned, as `expected` says,
  // at the latest in a second close, which has memory.
  template <class Hold>
  void sweep_over(const CloseOptions& options, Outcome expected, Hold&& hold) {
    sweep([&](FailedAllocation& failure) {
      failure.end();
      const auto told = std::make_shared<Listener>();
      PoolConfig config = of_size(2);
      config.observer = told;
      Pool pool(std::move(config));
      pool.acquire();
      auto holder = hold(pool);
      std::optional<CloseReport> report;
      failure.begin();
      may_fail([&] { report = pool.close(options); });
      failure.end();
      const bool at_once = report.has_value();
      if (!at_once) report = pool.close(options);
      if (at_once || expected == Outcome::orphaned) {
        EXPECT_EQ(report->outcome, expected) << to_string(*report);
      } else {
        EXPECT_NE(report->outcome, Outcome::orphaned) << to_string(*report);
      }
      EXPECT_EQ(told->closes, 1);
      EXPECT_EQ(told->outcome, report->outcome);
      const Stats stats = pool.stats();
      EXPECT_EQ(stats.leased, report->leases_orphaned);
      EXPECT_EQ(stats.idle + stats.connecting + stats.checking + stats.retiring, 0u);
      check_told(*told, stats);
    });
  }

  // In a statement that does not end by itself. Not prepared: see
  // OfAQueryAreItsErrorOrItsDeadlineIs.
  static std::unique_ptr<BusyLease> hold_busy(Pool& pool) {
    auto busy = std::make_unique<BusyLease>(pool, [](Connection& connection) {
      may_fail([&] { connection.exec({.prepared = false}, "select pg_sleep(3600)"); });
    });
    pq_test::wait_until_asleep(busy->pid());
    return busy;
  }
};

TEST_F(FailedAllocationsOfAClose, ThatDrains) {
  sweep_over({.drain = kLong, .cancel = 0ms, .force = 0ms}, Outcome::drained, [](Pool& pool) {
    const auto held = std::make_shared<std::atomic<bool>>(false);
    std::jthread holder([&pool, held] {
      const Lease lease = pool.acquire();
      *held = true;
      await("the fence", [&] { return pool.closed(); });
    });
    await("the lease", [&] { return held->load(); });
    return holder;
  });
}

TEST_F(FailedAllocationsOfAClose, ThatCancels) {
  sweep_over({.drain = 0ms, .cancel = kLong, .force = 0ms}, Outcome::drained_after_cancel,
             &hold_busy);
}

TEST_F(FailedAllocationsOfAClose, ThatForces) {
  sweep_over({.drain = 0ms, .cancel = 0ms, .force = kLong}, Outcome::drained_after_force,
             &hold_busy);
}

// Of a thread that is gone, so that this one may close the pool.
TEST_F(FailedAllocationsOfAClose, ThatOrphans) {
  sweep_over({.drain = 1ms, .cancel = 1ms, .force = 1ms}, Outcome::orphaned, [](Pool& pool) {
    Lease lease;
    std::jthread([&] { lease = pool.acquire(); }).join();
    return lease;
  });
}

#endif

}  // namespace
}  // namespace tidegate::test
