// Through PgBouncer in transaction mode: each transaction may meet another server connection.
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <tidegate/pq/connect.hpp>

#include "postgres/pool_support.hpp"
#include "postgres/pooler_support.hpp"
#include "support/pgbouncer.hpp"

namespace tidegate::test {
namespace {

// With the statement cache off, and, where PgBouncer knows prepared statements (from 1.21 on), on.
class PgBouncer : public testing::TestWithParam<int> {
 protected:
  static constexpr int kServerConnections = 2;

  void SetUp() override {
    if (GetParam() > 0 && bouncer_.version() < 121) {
      GTEST_SKIP() << "PgBouncer maps the names of prepared statements from 1.21 on";
    }
  }
  std::string conninfo(const std::string& rest) const {
    return bouncer_.conninfo() +
           " pool_name=bounced pool_statement_cache=" + std::to_string(GetParam()) + " " + rest;
  }

  Bouncer bouncer_{kServerConnections, {"max_prepared_statements=100"}};
};

TEST_P(PgBouncer, ManyClientsShareItsFewServerConnections) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 50;
  Observer observer;
  Pool direct{"pool_max_conns=1"};
  direct.exec_script("drop table if exists tally; create table tally (n int)");
  direct.exec("insert into tally values (0)");
  {
    Pool pool{conninfo("pool_max_conns=" + std::to_string(kThreads))};
    std::vector<std::jthread> workers;
    for (int i = 0; i < kThreads; ++i) {
      workers.emplace_back([&pool] {
        for (int round = 0; round < kRounds; ++round) {
          Lease lease = pool.acquire();
          lease->exec("begin");
          const int before = lease->query_value<int>("select n from tally for update");
          lease->exec("update tally set n = $1", before + 1);
          lease->exec("commit");
        }
      });
    }
    workers.clear();
    EXPECT_LE(observer.backends("bounced"), kServerConnections);
    EXPECT_TRUE(pool.close().outcome == CloseReport::Outcome::drained);
  }
  EXPECT_EQ(direct.query_value<int>("select n from tally"), kThreads * kRounds);
  direct.exec("drop table tally");
}

TEST_P(PgBouncer, WhoeverLeavesATransactionOpenHoldsUpNobody) {
  Pool pool{conninfo("pool_max_conns=1")};
  pool.acquire()->exec("begin");
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.acquire()->transaction_status(), TransactionStatus::idle);
}

// Nothing of a request is left when the statement was canceled. Seen failing: each timeout cost a
// connection.
TEST_P(PgBouncer, AConnectionWhoseStatementWasCanceledIsUsedAgain) {
  Pool pool{conninfo("pool_max_conns=1")};
  pool.exec("select 1");
  EXPECT_THROW(pool.exec({.by = 50ms}, "select pg_sleep(600)"), QueryTimeout);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().created, 1u);
}

// It ignores the cancel of a statement that waits in its queue. Only the end of the connection
// takes the statement out of there; nothing is gained by a wait for drain_bound, 1 s, before that.
TEST_P(PgBouncer, AStatementInItsQueueIsGivenUpSoonAndNeverRun) {
  Pool direct{"pool_max_conns=1"};
  direct.exec_script("drop table if exists tally; create table tally (n int)");
  Pool pool{conninfo("pool_max_conns=3")};
  std::vector<Lease> in_the_way;
  for (int i = 0; i < kServerConnections; ++i) {
    in_the_way.push_back(pool.acquire());
    in_the_way.back()->exec("begin");
  }
  Lease lease = pool.acquire();
  try {
    lease->exec({.by = 100ms}, "insert into tally values (1)");
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_TRUE(error.outcome_unknown());
    EXPECT_NE(std::string(error.what()).find("may have waited in its queue"), std::string::npos)
        << error.what();
  }
  lease.release();
  for (Lease& other : in_the_way) other->exec("commit");
  in_the_way.clear();
  for (int i = 0; i < 10; ++i) pool.exec("select 1");
  EXPECT_EQ(direct.query_value<int>("select count(*) from tally"), 0);
  direct.exec("drop table tally");
}

// The drain bound may end before the requests do, or a busy machine be late to look at them. Seen
// failing: the error blamed the server.
TEST_P(PgBouncer, AStatementInItsQueueIsNamedWhenTheDrainBoundEndsFirst) {
  Pool pool{conninfo("pool_max_conns=2")};
  std::vector<Lease> in_the_way;
  for (int i = 0; i < kServerConnections; ++i) {
    in_the_way.push_back(pool.acquire());
    in_the_way.back()->exec("begin");
  }
  std::string text = "never asked";
  EXPECT_TRUE(eventually([&] {
    auto outcome = pq::connect({.params = bouncer_.params(), .drain_bound = 20ms}, {}, 30s);
    if (!outcome) return false;
    try {
      outcome.connection.exec({.by = 100ms}, "select 1");
    } catch (const QueryTimeout& error) {
      text = error.what();
    }
    // Else the request itself took longer than that.
    return text.find("the pooler took the cancel request") != std::string::npos;
  })) << text;
  EXPECT_NE(text.find("may have waited in its queue"), std::string::npos) << text;
}

TEST_P(PgBouncer, TransactionsBatchesAndCopiesPassThrough) {
  Pool pool{conninfo("pool_max_conns=2")};
  expect_all_passes_through(pool);
}

// Deadlines that race their statements: some requests come too late, when nobody knows it yet.
// Seen failing: of two connections one was set aside after each, and retired at one a second.
TEST_P(PgBouncer, AStormOfTimeoutsCostsNoConnectionAndStrikesNobodyElse) {
  constexpr int kRounds = 100;
  Pool pool{conninfo("pool_max_conns=2")};
  std::atomic<int> timed_out{0};
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < kServerConnections; ++i) {
      workers.emplace_back([&] {
        for (int round = 0; round < kRounds; ++round) {
          try {
            pool.acquire()->exec({.by = 5ms}, "select pg_sleep($1)", round % 10 == 0 ? 600 : 0.004);
          } catch (const QueryTimeout&) {
            ++timed_out;
          }
          EXPECT_NO_THROW(pool.exec("select pg_sleep(0.002)"));
        }
      });
    }
  }
  EXPECT_GE(timed_out, kServerConnections * kRounds / 10);
  EXPECT_EQ(pool.stats().created, 2u);
  EXPECT_EQ(pool.stats().destroyed.reset, 0u);
}

INSTANTIATE_TEST_SUITE_P(StatementCache, PgBouncer, testing::Values(0, 16));

}  // namespace
}  // namespace tidegate::test
