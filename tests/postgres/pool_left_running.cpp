// A lease that ends while the server is still at a statement that native_handle() was told to send.
#include <libpq-fe.h>

#include <string>

#include <gtest/gtest.h>

#include "pool_support.hpp"
#include "pq/pool_access.hpp"
#include "pq_support.hpp"

namespace tidegate::test {
namespace {

// Leaves the server asleep; its process.
int leave_asleep(Lease& lease) {
  const int pid = lease->backend_pid();
  PGconn* native = lease->native_handle();
  EXPECT_EQ(PQsendQuery(native, "select pg_sleep(3600)"), 1);
  EXPECT_EQ(PQflush(native), 0);
  pq_test::wait_until_asleep(pid);
  return pid;
}

// It was drained without a cancel: the next acquire waited for ping_timeout, 2 s, and got a second
// server process, while the first slept on.
TEST(LeftRunning, AStatementIsCanceledAndItsConnectionServesTheNext) {
  Pool pool(PoolConfig{.name = "left", .max_size = 1, .ping_timeout = 60s});
  Observer observer;
  for (int round = 1; round <= 3; ++round) {
    Lease lease = pool.acquire();
    const int pid = leave_asleep(lease);
    lease.release();
    Lease next = pool.acquire();
    EXPECT_EQ(next->backend_pid(), pid);
    EXPECT_EQ(next->query_value<int>("select 7"), 7);
    EXPECT_EQ(observer.backends("left"), 1);
    EXPECT_GE(pool.stats().cancels.sent, static_cast<std::uint64_t>(round));
  }
  EXPECT_EQ(pool.stats().created, 1u);
}

// Each of them would be a cancel's worth of work.
TEST(LeftRunning, APipelineWithManySyncsIsCanceledToItsEnd) {
  Pool pool(PoolConfig{.max_size = 1, .ping_timeout = 60s});
  Lease lease = pool.acquire();
  const int pid = lease->backend_pid();
  PGconn* native = lease->native_handle();
  ASSERT_EQ(PQenterPipelineMode(native), 1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(PQsendQueryParams(native, "select pg_sleep(3600)", 0, nullptr, nullptr, nullptr,
                                nullptr, 0),
              1);
    ASSERT_EQ(PQpipelineSync(native), 1);
  }
  pq_test::wait_until_asleep(pid);
  lease.release();
  EXPECT_EQ(pool.acquire()->backend_pid(), pid);
}

TEST(LeftRunning, AnOpenTransactionIsRolledBackAfterTheCancel) {
  Pool pool(PoolConfig{.max_size = 1, .ping_timeout = 60s});
  Lease lease = pool.acquire();
  lease->exec("begin");
  const int pid = leave_asleep(lease);
  lease.release();
  Lease next = pool.acquire();
  EXPECT_EQ(next->backend_pid(), pid);
  EXPECT_EQ(next->transaction_status(), TransactionStatus::idle);
}

// What is not reset is closed, and the process that would go on is told, too: else it would be one
// more than the pool may have.
TEST(LeftRunning, AStatementOfAConnectionThatIsNotKeptEndsToo) {
  for (const bool doomed : {true, false}) {
    Pool pool(PoolConfig{.name = "left",
                         .max_size = 1,
                         .reset = doomed ? ResetPolicy::rollback : ResetPolicy::destroy});
    Observer observer;
    Lease lease = pool.acquire();
    const int pid = leave_asleep(lease);
    if (doomed) pq::PoolAccess(*lease).doom();
    lease.release();
    Lease next = pool.acquire();
    EXPECT_NE(next->backend_pid(), pid);
    EXPECT_TRUE(eventually([&] { return !observer.alive(pid); }));
    EXPECT_EQ(pool.stats().backends_abandoned, 0u);
  }
}

}  // namespace
}  // namespace tidegate::test
