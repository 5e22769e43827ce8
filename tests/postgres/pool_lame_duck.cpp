// Lame duck: between announce_shutdown() and close().
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include <tidegate/core/sync.hpp>

#include "pool_support.hpp"
#include "pq_support.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;

TEST(LameDuck, ServesAsBeforeAndTellsTheLeases) {
  Pool pool(PoolConfig{.max_size = 2});
  const Lease before = pool.acquire();
  EXPECT_FALSE(before.stop_token().stop_requested());
  pool.announce_shutdown("deploy");
  EXPECT_TRUE(before.stop_token().stop_requested());
  EXPECT_FALSE(pool.closed());
  const Lease after = pool.acquire();
  EXPECT_TRUE(after.stop_token().stop_requested()) << "set from the beginning";
  EXPECT_EQ(after->query_value<int>("select 1"), 1) << "nothing is canceled by it";
  EXPECT_FALSE(Lease().stop_token().stop_possible());
}

TEST(LameDuck, IsToldByTheCloseWhereNobodyAnnouncedIt) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease lease = pool.acquire();
  std::jthread([&] { pool.close({.drain = 0ms, .cancel = 0ms, .force = 0ms}); }).join();
  EXPECT_TRUE(lease.stop_token().stop_requested());
}

// Seen failing with a warm_up() that waits for what nobody opens any more.
TEST(LameDuck, LeavesAWarmUpNoChanceToWaitFor) {
  Pool pool(PoolConfig{.max_size = 2, .min_size = 1});
  ASSERT_TRUE(pool.warm_up(30s));
  pool.announce_shutdown("deploy");
  pool.acquire().discard();
  const Deadline too_late(20s);
  EXPECT_FALSE(pool.warm_up(too_late));
  EXPECT_FALSE(too_late.passed());
}

TEST(LameDuck, OpensNothingAheadOfNeed) {
  Pool pool(PoolConfig{.max_size = 4, .min_size = 2, .health_period = 1ms});
  ASSERT_TRUE(pool.warm_up(30s));
  pool.announce_shutdown("deploy");
  pool.acquire().discard();
  const std::uint64_t created = pool.stats().created;
  await_idle_long_enough();  // many times the health_period
  EXPECT_EQ(pool.stats().created, created);
  auto leases = lease_all(pool);
  EXPECT_EQ(leases.size(), 4u) << "what somebody waits for is opened";
}

TEST(LameDuck, IsAnnouncedOnceAndNotAfterTheClose) {
  struct Listener : tidegate::Observer {
    void close_phase(std::string_view phase) override { announced += phase == "lame duck"; }
    std::atomic<int> announced{0};
  };
  const auto listener = std::make_shared<Listener>();
  Pool pool(PoolConfig{.max_size = 1, .observer = listener});
  pool.announce_shutdown("one");
  pool.announce_shutdown("two");
  pool.close();
  pool.announce_shutdown("three");
  EXPECT_EQ(listener->announced, 1);
}

// ---- waiters, and statements under way ---------------------------------------------------------

// Seen failing with waiters that are rejected by the announcement, and with an acquire that may not
// wait after it.
TEST(LameDuck, ServesWhoWaitsAndWhoComesToWait) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  const auto one_more = [&pool] {
    return std::async(std::launch::async, [&pool] {
      auto served = pool.try_acquire(Deadline(30s));
      return served ? (*served)->query_value<std::string>("select 'served'")
                    : std::string(served.error().what());
    });
  };
  auto before = one_more();
  ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  pool.announce_shutdown("deploy");
  auto after = one_more();
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 2; }));
  lease.release();
  EXPECT_EQ(before.get(), "served");
  EXPECT_EQ(after.get(), "served");
}

// Seen failing with an announcement that cancels what runs.
TEST(LameDuck, AStatementThatIsUnderWayGoesOn) {
  Pool pool(PoolConfig{.max_size = 1});
  std::future<std::string> statement;  // ends after the gate, which it waits for
  Connection gate = pq_test::connect_to_server();
  gate.exec("select pg_advisory_lock(4712)");
  statement = std::async(std::launch::async, [&] {
    return pool.query_value<std::string>("select 'done' from pg_advisory_lock(4712)");
  });
  ASSERT_TRUE(eventually([&] {
    return gate.query_value<bool>(
        "select exists (select from pg_locks where locktype = 'advisory' and objid = 4712 and not "
        "granted)");
  }));
  pool.announce_shutdown("deploy");
  await_idle_long_enough();  // a cancel would be there by now
  gate.exec("select pg_advisory_unlock(4712)");
  EXPECT_EQ(statement.get(), "done");
  EXPECT_EQ(pool.stats().cancels.sent, 0u);
}

// ---- what is said of it ------------------------------------------------------------------------

// Seen failing with an announcement whose record nobody reads.
TEST(LameDuck, TheReportOfTheCloseSaysWhoAnnouncedItWhyAndWhen) {
  Pool pool(PoolConfig{.max_size = 1});
  std::jthread([&] { pool.announce_shutdown("deploy"); }).join();
  const unsigned announced = __LINE__ - 1;
  pool.announce_shutdown("again");  // the first one counts
  const CloseReport report = pool.close({.reason = "SIGTERM"});
  ASSERT_TRUE(report.announced.has_value());
  EXPECT_EQ(report.announced->reason, "deploy");
  EXPECT_EQ(report.announced->where.file(), "postgres/pool_lame_duck.cpp");
  EXPECT_EQ(report.announced->where.line(), announced);
  EXPECT_NE(report.announced->thread_id, core::current_thread_id());
  EXPECT_GT(report.announced->thread_id, 0);
  EXPECT_LE(report.announced->when, report.closer.when);
  EXPECT_THAT(to_string(report), HasSubstr("announced by "));
  EXPECT_EQ(report.closer.reason, "SIGTERM") << "who closes is another";
}

TEST(LameDuck, TheReportOfACloseThatNobodyAnnouncedSaysNothingOfIt) {
  Pool pool(PoolConfig{.max_size = 1});
  const CloseReport report = pool.close();
  EXPECT_FALSE(report.announced.has_value());
  EXPECT_THAT(to_string(report), testing::Not(HasSubstr("announced")));
}

}  // namespace
}  // namespace tidegate::test
