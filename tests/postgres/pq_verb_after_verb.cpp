// What one verb leaves behind, in libpq or still to come, and the verb that comes next. The
// scenario hygiene.verbs plays every verb behind every other; these are the ones that once went
// wrong.
#include <libpq-fe.h>

#include <stop_token>
#include <string>

#include <gmock/gmock.h>

#include <tidegate/pool/pool.hpp>
#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/transaction.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;

class PqVerbAfterVerb : public testing::Test {
 protected:
  PqVerbAfterVerb() { connection_.exec("create temp table t (id int)"); }

  int rows() { return connection_.query_value<int>("select count(*) from t"); }
  // Its answer is still to come: a stop goes before what there is to read.
  void ping_in_vain() {
    std::stop_source stop;
    stop.request_stop();
    ASSERT_FALSE(connection_.ping(kLong, stop.get_token()));
    ASSERT_EQ(connection_.transaction_status(), TransactionStatus::active);
  }

  Connection connection_ = connect_to_server();
};

// ---- single-row mode -------------------------------------------------------------------------

// libpq keeps it until the next statement outside a pipeline. In the pipeline the rows of the first
// statement came one by one, each stored over the one before, and the empty end of them over all.
TEST_F(PqVerbAfterVerb, ABatchBehindEachHasTheRowsOfItsFirstStatement) {
  connection_.each("select 1", [](const Row&) {});
  Batch batch;
  batch.add("select n from generate_series(40, 42) n").add("select 43");
  const BatchResults results = connection_.run(batch);
  ASSERT_EQ(results[0].rows(), 3u);
  EXPECT_EQ(results[0][0].get<int>(0), 40);
  EXPECT_EQ(results[0][2].get<int>(0), 42);
  EXPECT_EQ(results[1].only().get<int>(0), 43);
}

TEST_F(PqVerbAfterVerb, ABatchBehindEachTellsWhatItHasInserted) {
  connection_.each("select 1", [](const Row&) {});
  Batch batch;
  batch.add("insert into t values (1), (2), (3), (4) returning id");
  const BatchResults results = connection_.run(batch);
  ASSERT_EQ(results[0].rows(), 4u);
  EXPECT_EQ(results[0].affected(), 4u);
  EXPECT_EQ(results[0][3].get<int>(0), 4);
  EXPECT_EQ(rows(), 4);
}

TEST_F(PqVerbAfterVerb, TheNextUserOfThePoolHasAllRowsOfABatchToo) {
  Pool pool(PoolConfig{.max_size = 1});
  pool.acquire()->each("select 1", [](const Row&) { return false; });
  Batch batch;
  batch.add("select 42");
  EXPECT_EQ(pool.run(batch)[0].only().get<int>(0), 42);
}

// Nobody can know what was done with the handle.
TEST_F(PqVerbAfterVerb, ABatchBehindSingleRowModeOfTheNativeHandleHasAllRows) {
  pg_conn* const native = connection_.native_handle();
  ASSERT_EQ(PQsendQuery(native, "select 1"), 1);
  ASSERT_EQ(PQsetSingleRowMode(native), 1);
  while (PGresult* result = PQgetResult(native)) PQclear(result);
  Batch batch;
  batch.add("select n from generate_series(1, 2) n");
  EXPECT_EQ(connection_.run(batch)[0].rows(), 2u);
}

// ---- a ping whose answer is still to come ----------------------------------------------------

// It returned normally, and nothing was stored: the look at the transaction was one at the ping.
TEST_F(PqVerbAfterVerb, ACommitBehindAPingSaysThatTheTransactionIsOver) {
  Transaction transaction = connection_.begin();
  transaction.exec("insert into t values (1)");
  transaction.exec("rollback");
  ping_in_vain();
  EXPECT_THAT(thrown_by<UsageError>([&] { transaction.commit(); }).what(),
              HasSubstr("a statement inside the transaction has ended it"));
  EXPECT_FALSE(transaction.open());
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqVerbAfterVerb, ACommitBehindAPingCommits) {
  Transaction transaction = connection_.begin();
  transaction.exec("insert into t values (1)");
  ping_in_vain();
  transaction.commit();
  EXPECT_EQ(rows(), 1);
}

// They threw 25P01, and the connection was doomed.
TEST_F(PqVerbAfterVerb, RollbacksBehindAPingOfWhatIsOverDoNothing) {
  Transaction transaction = connection_.begin();
  Transaction savepoint = transaction.begin();
  transaction.exec("rollback");
  ping_in_vain();
  savepoint.rollback();
  ping_in_vain();
  transaction.rollback();
  EXPECT_EQ(connection_.query_value<int>("select 42"), 42);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqVerbAfterVerb, ASavepointBehindAPingIsRolledBackAndNoMore) {
  Transaction transaction = connection_.begin();
  transaction.exec("insert into t values (1)");
  ping_in_vain();
  Transaction savepoint = transaction.begin();
  savepoint.exec("insert into t values (2)");
  ping_in_vain();
  savepoint.rollback();
  ping_in_vain();
  transaction.commit();
  EXPECT_EQ(rows(), 1);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

// It was refused: "in the middle of another command".
TEST_F(PqVerbAfterVerb, ATransactionBeginsBehindAPing) {
  ping_in_vain();
  connection_.begin().rollback();
  ping_in_vain();
  connection_.transact([](Transaction& tx) { tx.exec("insert into t values (1)"); });
  EXPECT_EQ(rows(), 1);
}

TEST_F(PqVerbAfterVerb, NotificationsComeBehindAPing) {
  connection_.exec_script("listen gossip");
  ping_in_vain();
  Connection other = connect_to_server();
  other.exec_script("notify gossip, 'news'");
  const auto all = connection_.notifications(kLong);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].payload, "news");
  EXPECT_EQ(rows(), 0);
}

}  // namespace tidegate::pq_test
