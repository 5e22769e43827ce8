// Transactions, batches and COPY through the pool: the lease comes back in every case.
#include <ranges>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

constexpr const char* kTable = "pool_transaction_test";

class PoolTransaction : public testing::Test {
 protected:
  PoolTransaction() {
    pool_.exec_script(std::string("drop table if exists ") + kTable + "; create table " + kTable +
                      " (id int)");
  }
  ~PoolTransaction() override { pool_.exec_script(std::string("drop table ") + kTable); }

  static void insert(Transaction& t) {
    t.exec(std::string("insert into ") + kTable + " values (1)");
  }
  int rows() { return pool_.query_value<int>(std::string("select count(*) from ") + kTable); }
  // The only connection is back, and still the first one.
  void expect_clean() {
    EXPECT_EQ(pool_.stats().leased, 0);
    EXPECT_EQ(pool_.stats().created, 1);
  }

  static constexpr auto kAcquireTimeout = 10s;
  // Seen failing with verbs that let the acquire have all of its own time.
  template <class F>
  void expect_early_timeout(F&& f) {
    expect_timeout_before(kAcquireTimeout, std::forward<F>(f));
  }

  Pool pool_{PoolConfig{.max_size = 1, .acquire_timeout = kAcquireTimeout}};
};

TEST_F(PoolTransaction, BeginOwnsItsLeaseUntilItIsOver) {
  PooledTransaction committed = pool_.begin();
  insert(committed);
  EXPECT_EQ(pool_.stats().leased, 1);
  committed.commit();
  expect_clean();
  EXPECT_EQ(rows(), 1);
  PooledTransaction rolled_back = pool_.begin({.isolation = Isolation::serializable});
  insert(rolled_back);
  rolled_back.rollback();
  expect_clean();
  EXPECT_EQ(rows(), 1);
  EXPECT_THROW(committed.commit(), UsageError);
}

TEST_F(PoolTransaction, ItsEndRollsBackAndGivesTheConnectionBackClean) {
  {
    PooledTransaction transaction = pool_.begin();
    Transaction savepoint = transaction.begin();
    insert(savepoint);
    PooledTransaction moved = std::move(transaction);
  }
  expect_clean();
  {
    PooledTransaction transaction = pool_.begin();
    EXPECT_THROW(transaction.exec("select 1/0"), QueryError);
    transaction = PooledTransaction();
    expect_clean();
  }
  EXPECT_EQ(rows(), 0);
}

TEST_F(PoolTransaction, TransactCommitsOrRollsBackAndGivesTheConnectionBack) {
  EXPECT_EQ(pool_.transact([](Transaction& t) {
    insert(t);
    return 7;
  }),
            7);
  EXPECT_THROW(pool_.transact([](Transaction& t) {
    insert(t);
    throw 42;
  }),
               int);
  expect_clean();
  EXPECT_EQ(rows(), 1);
}

TEST_F(PoolTransaction, TransactRetryHoldsNoConnectionBetweenItsAttempts) {
  int calls = 0;
  pool_.transact_retry(
      [&](Transaction& t) {
        insert(t);
        if (++calls < 3) {
          t.exec_script("do $$begin raise 'as asked' using errcode = '40001'; end$$");
        }
      },
      Deadline(30s), {.isolation = Isolation::serializable});
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(rows(), 1);
  EXPECT_GE(pool_.stats().acquired(), 3);
  expect_clean();
}

TEST_F(PoolTransaction, ADeadlineOfItsOwnIsForTheAcquire) {
  const auto held = lease_all(pool_);
  std::jthread([&] {
    expect_early_timeout([&] { (void)pool_.begin(20ms); });
    expect_early_timeout([&] { pool_.transact([](Transaction&) {}, 20ms); });
    expect_early_timeout([&] { pool_.transact_retry([](Transaction&) {}, 20ms); });
  }).join();
}

TEST_F(PoolTransaction, TheDeadlineOfWhatItIsForBoundsTheAcquireToo) {
  const auto held = lease_all(pool_);
  std::jthread([&] {
    expect_early_timeout([&] { (void)pool_.begin({.by = 20ms}); });
    expect_early_timeout([&] { pool_.transact([](Transaction&) {}, {.by = 20ms}); });
    Batch batch;
    batch.add("select 1");
    expect_early_timeout([&] { (void)pool_.run(batch, {.by = 20ms}); });
    expect_early_timeout([&] { pool_.copy_out("select 1", [](const Row&) {}, {.by = 20ms}); });
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THROW((void)pool_.run(batch, {.stop = stop.get_token()}), AcquireCanceled);
  }).join();
}

// Its end must not roll back what may be somebody else's transaction by then.
TEST_F(PoolTransaction, OneThatOutlivesItsLeaseReachesNothingAnyMore) {
  for (const bool discard : {false, true}) {
    Lease lease = pool_.acquire();
    Transaction orphan = lease->begin();
    insert(orphan);
    discard ? lease.discard() : lease.release();
    EXPECT_FALSE(orphan.open());
    EXPECT_THROW(orphan.exec("select 1"), UsageError);
    EXPECT_THROW(orphan.commit(), UsageError);
    EXPECT_EQ(pool_.stats().leased, 0);
  }
  EXPECT_EQ(rows(), 0);
}

TEST_F(PoolTransaction, OneOnAHijackedConnectionGoesOn) {
  Lease lease = pool_.acquire();
  Transaction transaction = lease->begin();
  insert(transaction);
  const Connection taken = std::move(lease).hijack();
  insert(transaction);
  transaction.commit();
  EXPECT_EQ(rows(), 2);
}

TEST_F(PoolTransaction, BatchesRunAndGiveTheConnectionBack) {
  Batch batch;
  batch.add("select 1").add("select 1/0");
  const BatchResults results = pool_.run(batch);
  EXPECT_EQ(results.failed(), 1u);
  EXPECT_EQ(results[0][0].get<int>(0), 1);
  expect_clean();
}

TEST_F(PoolTransaction, CopiesRunAndGiveTheConnectionBack) {
  const CopyTarget target{.table = kTable};
  const auto numbers =
      std::views::iota(0, 100) | std::views::transform([](int i) { return std::tuple(i); });
  EXPECT_EQ(pool_.copy_in(target, numbers), 100u);
  const auto failing = std::views::iota(0) | std::views::transform([](int i) {
                         if (i == 50) throw 42;
                         return std::tuple(i);
                       });
  EXPECT_THROW(pool_.copy_in(target, failing), int);
  int sum = 0;
  pool_.copy_out(std::string("select id from ") + kTable,
                 [&](const Row& row) { sum += row.get<int>(0); });
  EXPECT_EQ(sum, 4950);
  EXPECT_THROW(pool_.copy_out("select 1", [](const Row&) { throw 42; }), int);
  expect_clean();
}

}  // namespace
}  // namespace tidegate::test
