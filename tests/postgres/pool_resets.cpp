// Resets: what becomes of a connection whose lease left it dirty.
#include <libpq-fe.h>

#include <functional>
#include <memory>

#include <support/call_counter.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// One connection, and no ping or look at it that a test does not ask for.
PoolConfig one_with(ResetPolicy reset = ResetPolicy::rollback) {
  return {.max_size = 1, .ping_after = 0ms, .reset = reset};
}

void leave_a_transaction(Pool& pool) {
  Lease lease = pool.acquire();
  lease->exec("begin");
}

// What a lease can leave behind, each by a way that the library does not forbid.
struct Dirt {
  const char* name;
  std::function<void(Connection&)> leave;
};
const std::vector<Dirt>& dirts() {
  static const std::vector<Dirt> all{
      {"an open transaction", [](Connection& c) { c.exec("begin"); }},
      {"a failed transaction",
       [](Connection& c) {
         c.exec("begin");
         EXPECT_THROW(c.exec("select 1/0"), QueryError);
       }},
      {"a COPY to the server",
       [](Connection& c) {
         c.exec("create temp table if not exists t (a int)");
         PQclear(PQexec(c.native_handle(), "copy t from stdin"));
         EXPECT_EQ(PQputCopyData(c.native_handle(), "1\n", 2), 1);
       }},
      {"a COPY from the server",
       [](Connection& c) {
         PQclear(PQexec(c.native_handle(), "copy (select generate_series(1, 100000)) to stdout"));
       }},
      {"a COPY inside a transaction",
       [](Connection& c) {
         c.exec("begin");
         PQclear(PQexec(c.native_handle(), "copy (select generate_series(1, 1000)) to stdout"));
       }},
      {"unread rows",
       [](Connection& c) {
         EXPECT_EQ(PQsendQuery(c.native_handle(), "select generate_series(1, 100000)"), 1);
       }},
      {"rows read one by one",
       [](Connection& c) {
         EXPECT_EQ(PQsendQuery(c.native_handle(), "select generate_series(1, 1000)"), 1);
         EXPECT_EQ(PQsetSingleRowMode(c.native_handle()), 1);
         PQclear(PQgetResult(c.native_handle()));
       }},
      {"an empty pipeline",
       [](Connection& c) { EXPECT_EQ(PQenterPipelineMode(c.native_handle()), 1); }},
      {"a pipeline with statements, one of them wrong, and no sync",
       [](Connection& c) {
         PGconn* native = c.native_handle();
         EXPECT_EQ(PQenterPipelineMode(native), 1);
         for (const char* sql : {"select 1", "select 1/0", "select 2"}) {
           EXPECT_EQ(PQsendQueryParams(native, sql, 0, nullptr, nullptr, nullptr, nullptr, 0), 1);
         }
       }},
      {"a pipeline with several syncs",
       [](Connection& c) {
         PGconn* native = c.native_handle();
         EXPECT_EQ(PQenterPipelineMode(native), 1);
         for (const char* sql : {"select 1", "begin", "select 2"}) {
           EXPECT_EQ(PQsendQueryParams(native, sql, 0, nullptr, nullptr, nullptr, nullptr, 0), 1);
           EXPECT_EQ(PQpipelineSync(native), 1);
         }
       }},
  };
  return all;
}

TEST(Resets, CleanWhateverALeaseLeavesBehind) {
  for (const ResetPolicy policy :
       {ResetPolicy::none, ResetPolicy::rollback, ResetPolicy::discard_all}) {
    Pool pool(one_with(policy));
    const int pid = pid_of(pool);
    std::uint64_t reset = policy == ResetPolicy::discard_all ? 1 : 0;
    for (const Dirt& dirt : dirts()) {
      Lease lease = pool.acquire();
      dirt.leave(*lease);
      lease.release();
      Lease next = pool.acquire();
      EXPECT_EQ(next->backend_pid(), pid) << dirt.name;
      EXPECT_EQ(next->transaction_status(), TransactionStatus::idle) << dirt.name;
      EXPECT_EQ(next->query_value<int>("select 7"), 7) << dirt.name;
      reset += policy == ResetPolicy::discard_all ? 2 : 1;
      next.release();
    }
    ASSERT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(pool.stats().resets.clean, reset);
    EXPECT_EQ(pool.stats().resets.failed, 0);
  }
}

TEST(Resets, WithRollbackACleanConnectionIsLeftAlone) {
  for (const ResetPolicy policy :
       {ResetPolicy::none, ResetPolicy::rollback, ResetPolicy::destroy}) {
    Pool pool(one_with(policy));
    pool.exec("set statement_timeout = '77s'");
    EXPECT_EQ(pool.query_value<std::string>("show statement_timeout"), "77s");
    EXPECT_EQ(pool.stats().resets.clean, 0);
    EXPECT_EQ(pool.stats().created, 1);
  }
}

TEST(Resets, WithDiscardAllNothingOfTheSessionReachesTheNextUser) {
  Pool pool(one_with(ResetPolicy::discard_all));
  const int pid = pid_of(pool);
  pool.exec("set statement_timeout = '77s'");
  EXPECT_NE(pool.query_value<std::string>("show statement_timeout"), "77s");
  {
    Lease lease = pool.acquire();
    lease->exec("begin");
    lease->exec("set statement_timeout = '78s'");
  }
  EXPECT_NE(pool.query_value<std::string>("show statement_timeout"), "78s");
  EXPECT_EQ(pid_of(pool), pid);
}

// A statement that the server has forgotten fails inside a transaction, where it cannot be tried
// again.
TEST(Resets, WithDiscardAllTheStatementCacheIsEmptiedToo) {
  Pool pool(one_with(ResetPolicy::discard_all));
  for (int i = 0; i < 3; ++i) {
    Lease lease = pool.acquire();
    // In a transaction, where a name that is gone cannot be made up for; and begun without a name,
    // since the first one that is gone takes all others along.
    lease->exec_script("begin");
    EXPECT_EQ(lease->query_value<int>("select 1"), 1);
    lease->exec_script("commit");
  }
  EXPECT_EQ(pool.stats().destroyed.dirty, 0u);
}

// A lease that does not use its connection, too: I14 does not apply to such a pool.
TEST(Resets, WithDiscardAllAnUnusedConnectionIsReset) {
  Pool pool(one_with(ResetPolicy::discard_all));
  {
    const Lease lease = pool.acquire();
  }
  EXPECT_TRUE(eventually([&] { return pool.stats().resets.clean == 1; }));
}

TEST(Resets, WithDestroyADirtyConnectionIsClosed) {
  Pool pool(one_with(ResetPolicy::destroy));
  const int pid = pid_of(pool);
  leave_a_transaction(pool);
  EXPECT_NE(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().destroyed.dirty, 1);
  EXPECT_EQ(pool.stats().resets.clean, 0);
}

// It was reset, and used again: a write that is refused raises the question of what the server is.
TEST(Resets, WithDestroyADirtyConnectionIsClosedAlsoWhereItsServerIsInQuestion) {
  PoolConfig config = one_with(ResetPolicy::destroy);
  config.conninfo = "target_session_attrs=read-write";
  Pool pool(config);
  const int pid = pid_of(pool);
  {
    Lease lease = pool.acquire();
    lease->exec("begin read only");
    EXPECT_THROW(lease->exec("create table never_made (a int)"), QueryError);
  }
  EXPECT_NE(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().destroyed.dirty, 1);
}

TEST(Resets, ASessionThatHasEndedIsNotReset) {
  Pool pool(one_with());
  Lease lease = pool.acquire();
  lease->exec("begin");
  Observer().terminate(lease->backend_pid());
  EXPECT_THROW(lease->exec("select 1"), ConnectionLost);
  lease.release();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().destroyed.broken, 1);
  EXPECT_EQ(pool.stats().resets.failed, 0);
}

TEST(Resets, ASessionThatTheUserHasReplacedIsClosed) {
  Pool pool(one_with());
  Lease lease = pool.acquire();
  PQreset(lease->native_handle());
  lease.release();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().destroyed.reset, 1);
}

TEST(Resets, ReleaseGivesToMaintenanceWithoutAllocating) {
  Pool pool(one_with());
  pid_of(pool);
  Lease lease = pool.acquire();
  lease->exec("begin");
  const CallCounter counter;
  lease.release();
  EXPECT_EQ(counter.allocations(), 0u);
}

TEST(Resets, AConnectionIsNotIdleBeforeItIsClean) {
  PoolConfig config = one_with();
  config.ping_timeout = 60s;
  Pool pool(config);
  const int pid = pid_of(pool);
  {
    Lease lease = pool.acquire();
    lease->exec("begin");
    const Frozen frozen(pid);
    lease.release();  // does not wait
    const Stats stats = pool.stats();
    EXPECT_EQ(stats.checking, 1);
    EXPECT_EQ(stats.resetting, 1u);
    EXPECT_EQ(stats.idle, 0);
    EXPECT_EQ(stats.leased, 0);
    EXPECT_EQ(stats.released, 2);
    try {
      const Lease none = pool.acquire(20ms);
      FAIL() << "it is in the reset";
    } catch (const AcquireTimeout& error) {
      EXPECT_EQ(error.cause(), AcquireTimeout::Cause::checking);
    }
  }
  EXPECT_EQ(pid_of(pool), pid);
}

TEST(Resets, DirtyLeasesOnASilentServerDoNotWaitForEachOther) {
  Pool pool(PoolConfig{.max_size = 8, .ping_after = 0ms, .ping_timeout = 1s});
  auto leases = lease_all(pool);
  std::vector<std::unique_ptr<Frozen>> frozen;
  for (Lease& lease : leases) {
    lease->exec("begin");
    frozen.push_back(std::make_unique<Frozen>(lease->backend_pid()));
  }
  const auto began = std::chrono::steady_clock::now();
  leases.clear();
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.reset == 8; }));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 6s);  // 8 s one after the other
  EXPECT_EQ(pool.stats().resets.failed, 8);
}

TEST(Resets, IsEmptiedByClose) {
  PoolConfig config = one_with();
  config.ping_timeout = 60s;
  Pool pool(config);
  Lease lease = pool.acquire();
  lease->exec("begin");
  const Frozen frozen(lease->backend_pid());
  lease.release();
  const CloseReport report = pool.close({.drain = 30s});
  EXPECT_EQ(report.outcome, CloseReport::Outcome::drained);
  EXPECT_LT(report.total, 20s);
  EXPECT_EQ(pool.stats().checking, 0);
  EXPECT_EQ(pool.stats().retiring, 0);
}

TEST(Resets, ADirtyLeaseThatOutlivesItsPoolEndsItsConnection) {
  Lease lease;
  {
    Pool pool(PoolConfig{.name = "outlived", .max_size = 1, .close_drain = 0ms});
    lease = pool.acquire();
    lease->exec("begin");
  }
  lease.release();
  Observer observer;
  EXPECT_TRUE(eventually([&] { return observer.backends("outlived") == 0; }));
}

TEST(Resets, AnExpiredDirtyConnectionIsNotResetFirst) {
  Pool pool(one_with());
  Lease lease = pool.acquire();
  lease->exec("begin");
  pool.reset();
  lease.release();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().destroyed.generation, 1);
  EXPECT_EQ(pool.stats().resets.clean, 0);
}

}  // namespace
}  // namespace tidegate::test
