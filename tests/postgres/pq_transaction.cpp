#include <tidegate/pq/transaction.hpp>

#include <string>
#include <thread>

#include <gmock/gmock.h>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;
using testing::StartsWith;

class PqTransaction : public testing::Test {
 protected:
  PqTransaction() { connection_.exec("create temp table t (id int)"); }

  int rows() { return connection_.query_value<int>("select count(*) from t"); }
  // The server's transaction, seen by a statement's own eyes.
  void expect_usable() {
    EXPECT_TRUE(connection_.is_open());
    EXPECT_EQ(connection_.transaction_status(), TransactionStatus::idle);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
    EXPECT_EQ(connection_.query_value<int>("select 41 + $1", 1), 42);
  }

  Connection connection_ = connect_to_server();
};

const auto insert = [](auto& in, int id) { in.exec("insert into t values ($1)", id); };

// Fails with that SQLSTATE.
void raise(Transaction& in, const std::string& sqlstate) {
  in.exec_script("do $$begin raise 'as asked' using errcode = '" + sqlstate + "'; end$$");
}

TEST_F(PqTransaction, WhatIsCommittedLasts) {
  Transaction transaction = connection_.begin();
  EXPECT_TRUE(transaction.open());
  insert(transaction, 1);
  EXPECT_EQ(transaction.query_value<int>("select count(*) from t"), 1);
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::in_transaction);
  int sum = 0;
  transaction.each("select $1::int + n from generate_series(1, 3) n", 10,
                   [&sum](Row row) { sum += row.get<int>(0); });
  EXPECT_EQ(sum, 36);
  transaction.commit();
  EXPECT_FALSE(transaction.open());
  expect_usable();
  EXPECT_EQ(rows(), 1);
}

TEST_F(PqTransaction, ItsEndRollsBackAndNeverCommits) {
  {
    Transaction transaction = connection_.begin();
    insert(transaction, 1);
  }
  expect_usable();
  EXPECT_EQ(rows(), 0);
  {
    Transaction failed = connection_.begin();
    insert(failed, 1);
    EXPECT_THROW(failed.exec("select 1/0"), QueryError);
  }
  expect_usable();
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqTransaction, ARollbackUndoesAndLeavesItOver) {
  Transaction transaction = connection_.begin();
  insert(transaction, 1);
  transaction.rollback();
  EXPECT_FALSE(transaction.open());
  EXPECT_THROW(transaction.rollback(), UsageError);
  expect_usable();
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqTransaction, ItsOptionsReachTheServer) {
  const auto shown = [&](const TxOptions& options) {
    Transaction t = connection_.begin(options);
    const auto show = [&](const char* what) {
      return t.query_value<std::string>(std::string("show transaction_") + what);
    };
    return show("isolation") + ", " + show("read_only") + ", " + show("deferrable");
  };
  EXPECT_EQ(shown({}), "read committed, off, off");
  EXPECT_EQ(shown({.isolation = Isolation::read_uncommitted}), "read uncommitted, off, off");
  EXPECT_EQ(shown({.isolation = Isolation::repeatable_read}), "repeatable read, off, off");
  EXPECT_EQ(shown({.isolation = Isolation::serializable, .read_only = true, .deferrable = true}),
            "serializable, on, on");
  connection_.exec("set default_transaction_read_only = on");
  connection_.exec("set default_transaction_isolation = serializable");
  EXPECT_EQ(shown({}), "serializable, on, off");
  EXPECT_EQ(shown({.isolation = Isolation::read_committed, .read_only = false}),
            "read committed, off, off");
  expect_usable();
}

TEST_F(PqTransaction, ASavepointConfinesAnError) {
  Transaction outer = connection_.begin();
  insert(outer, 1);
  {
    Transaction inner = outer.begin();
    insert(inner, 2);
    EXPECT_THROW(inner.exec("select 1/0"), QueryError);
  }
  insert(outer, 3);
  outer.commit();
  EXPECT_EQ(connection_.query_value<std::string>("select string_agg(id::text, ',') from t"), "1,3");
}

TEST_F(PqTransaction, SavepointsNestAndTheirCommitKeepsWhatTheyDid) {
  Transaction outer = connection_.begin();
  Transaction middle = outer.begin();
  insert(middle, 1);
  Transaction inner = middle.begin();
  insert(inner, 2);
  inner.rollback();
  EXPECT_TRUE(middle.open());
  insert(middle, 3);
  middle.commit();
  Transaction again = outer.begin();
  insert(again, 4);
  again.commit();
  outer.commit();
  EXPECT_EQ(connection_.query_value<std::string>("select string_agg(id::text, ',') from t"),
            "1,3,4");
}

// A rolled-back savepoint is gone on the server, too: a loop of them piles nothing up.
TEST_F(PqTransaction, ARolledBackSavepointIsGone) {
  Transaction outer = connection_.begin();
  outer.begin().rollback();
  EXPECT_EQ(thrown_by<QueryError>([&] { outer.exec("release savepoint tidegate_2"); }).sqlstate(),
            "3B001");
}

TEST_F(PqTransaction, ASavepointOfAFailedTransactionIsNotReleasedButCanBeRolledBack) {
  Transaction outer = connection_.begin();
  Transaction inner = outer.begin();
  EXPECT_THROW(inner.exec("select 1/0"), QueryError);
  EXPECT_EQ(thrown_by<QueryError>([&] { inner.commit(); }).sqlstate(), "25P02");
  EXPECT_TRUE(inner.open());
  inner.rollback();
  insert(outer, 1);
  outer.commit();
  EXPECT_EQ(rows(), 1);
}

TEST_F(PqTransaction, WithATransactionEndTheSavepointsInIt) {
  Transaction outer = connection_.begin();
  Transaction middle = outer.begin();
  Transaction inner = middle.begin();
  middle.commit();
  EXPECT_FALSE(inner.open());
  Transaction later = outer.begin();
  EXPECT_FALSE(inner.open());  // it is not taken for the one that has its place now
  EXPECT_THROW(inner.exec("select 1"), UsageError);
  outer.commit();
  EXPECT_FALSE(later.open());
  EXPECT_THROW(later.commit(), UsageError);
  expect_usable();
}

TEST_F(PqTransaction, ACommitAnsweredByRollbackIsAnError) {
  Transaction transaction = connection_.begin();
  insert(transaction, 1);
  EXPECT_THROW(transaction.exec("select 1/0"), QueryError);
  const auto error = thrown_by<QueryError>([&] { transaction.commit(); });
  EXPECT_THAT(error.what(), StartsWith("COMMIT was answered by ROLLBACK: a statement had failed "
                                       "before, so nothing was committed (statement: COMMIT) at "
                                       "postgres/pq_transaction.cpp:"));
  EXPECT_FALSE(transaction.open());
  expect_usable();
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqTransaction, ACommitThatTheServerRefusesLeavesItOverAndTheConnectionUsable) {
  connection_.exec("alter table t add constraint k unique (id) deferrable initially deferred");
  Transaction transaction = connection_.begin();
  insert(transaction, 1);
  insert(transaction, 1);
  EXPECT_EQ(thrown_by<QueryError>([&] { transaction.commit(); }).sqlstate(), "23505");
  EXPECT_FALSE(transaction.open());
  expect_usable();
  EXPECT_EQ(rows(), 0);
}

// The trigger ends the session in the middle of COMMIT, so that its answer never comes.
constexpr const char* kLoseTheCommit =
    "create function pg_temp.leave() returns trigger language plpgsql as $$begin perform "
    "pg_terminate_backend(pg_backend_pid()); perform pg_sleep(600); end$$;"
    "create constraint trigger leave after insert on t deferrable initially deferred "
    "for each row execute function pg_temp.leave()";

TEST_F(PqTransaction, ACommitWhoseAnswerIsLostIsUnknownAndNotRetried) {
  connection_.exec_script(kLoseTheCommit);
  int calls = 0;
  const auto error = thrown_by<ConnectionLost>([&] {
    connection_.transact_retry([&](Transaction& t) {
      ++calls;
      insert(t, 1);
    });
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(error.code(), Errc::connection_lost);
  EXPECT_EQ(error.sqlstate(), "57P01");
  EXPECT_EQ(error.hint(), "the answer to COMMIT is lost: whether it has taken effect is not known");
}

TEST_F(PqTransaction, AConnectionLostBeforeTheCommitIsNotSaidToBeUnknown) {
  Transaction transaction = connection_.begin();
  EXPECT_THROW(transaction.exec("select pg_terminate_backend(pg_backend_pid())"), ConnectionLost);
  const auto error = thrown_by<ConnectionLost>([&] { transaction.commit(); });
  EXPECT_THAT(error.message(), HasSubstr("nothing was sent"));
  EXPECT_EQ(error.hint(), "");
}

TEST_F(PqTransaction, BeginInsideATransactionIsRefused) {
  {
    Transaction transaction = connection_.begin();
    const auto error = thrown_by<UsageError>([&] { (void)connection_.begin(); });
    EXPECT_THAT(error.what(), StartsWith("begin: a transaction is open on this connection already; "
                                         "a Transaction's own begin() makes a savepoint in it at "
                                         "postgres/pq_transaction.cpp:"));
    EXPECT_TRUE(transaction.open());
  }
  connection_.exec("begin");
  EXPECT_THROW((void)connection_.begin(), UsageError);
  connection_.exec("rollback");
  expect_usable();
}

TEST_F(PqTransaction, AStatementThatEndsItIsNoticed) {
  Transaction committed = connection_.begin();
  committed.exec("rollback");
  EXPECT_THAT(thrown_by<UsageError>([&] { committed.commit(); }).what(),
              StartsWith("commit: a statement inside the transaction has ended it"));
  EXPECT_FALSE(committed.open());
  Transaction rolled_back = connection_.begin();
  rolled_back.exec("commit");
  rolled_back.rollback();
  EXPECT_FALSE(rolled_back.open());
  expect_usable();
}

TEST_F(PqTransaction, OneThatIsOverRefusesUse) {
  Transaction none;
  EXPECT_FALSE(none.open());
  EXPECT_THROW(none.exec("select 1"), UsageError);
  Transaction first = connection_.begin();
  Transaction* const from = &first;
  Transaction moved = std::move(*from);
  EXPECT_FALSE(first.open());
  EXPECT_THAT(thrown_by<UsageError>([&] { first.exec("select 1"); }).what(),
              StartsWith("the transaction is over: it was committed, rolled back or moved from"));
  insert(moved, 1);
  moved = Transaction();
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqTransaction, ItFollowsAConnectionThatIsMoved) {
  Transaction transaction = connection_.begin();
  insert(transaction, 1);
  Connection moved = std::move(connection_);
  insert(transaction, 2);
  EXPECT_EQ(&transaction.connection(), &moved);
  connection_ = std::move(moved);
  transaction.commit();
  EXPECT_EQ(rows(), 2);
}

TEST_F(PqTransaction, ItMayOutliveItsConnection) {
  Transaction transaction = connection_.begin();
  connection_.close();
  EXPECT_FALSE(transaction.open());
  EXPECT_THROW(transaction.commit(), UsageError);
}

TEST_F(PqTransaction, ItsDeadlineEndsWhatRunsInsideButNotTheRollback) {
  {
    Transaction transaction = connection_.begin({.by = 1s});
    insert(transaction, 1);
    EXPECT_THROW(transaction.exec(ExecOptions{.by = 1h}, "select pg_sleep(600)"), QueryTimeout);
    EXPECT_THROW(transaction.exec("select 1"), QueryTimeout);
    EXPECT_THROW(transaction.commit(), QueryTimeout);
    EXPECT_TRUE(transaction.open());
    transaction.rollback();
  }
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::idle);
  EXPECT_EQ(rows(), 0);  // and nothing is bounded any more
  EXPECT_THROW((void)connection_.begin({.by = Deadline::now()}), QueryTimeout);
  expect_usable();
}

TEST_F(PqTransaction, AStatementsOwnDeadlineEndsItEarlier) {
  Transaction transaction = connection_.begin({.by = 1h});
  Transaction savepoint = transaction.begin();
  EXPECT_THROW(savepoint.exec(ExecOptions{.by = 50ms}, "select pg_sleep(600)"), QueryTimeout);
  savepoint.rollback();
  insert(transaction, 1);
  transaction.commit();
  EXPECT_EQ(rows(), 1);
}

TEST_F(PqTransaction, TransactCommitsAndReturnsWhatFReturns) {
  EXPECT_EQ(connection_.transact([](Transaction& t) {
    insert(t, 1);
    return t.query_value<int>("select count(*) from t");
  }),
            1);
  connection_.transact([](Transaction& t) { insert(t, 2); });
  expect_usable();
  EXPECT_EQ(rows(), 2);
}

TEST_F(PqTransaction, TransactRollsBackWhenFThrows) {
  EXPECT_THROW(connection_.transact([](Transaction& t) {
    insert(t, 1);
    throw 42;
  }),
               int);
  expect_usable();
  EXPECT_EQ(rows(), 0);
}

TEST_F(PqTransaction, TransactLetsFEndItByItself) {
  connection_.transact([](Transaction& t) {
    insert(t, 1);
    t.rollback();
  });
  EXPECT_EQ(rows(), 0);
  connection_.transact([](Transaction& t) {
    insert(t, 1);
    t.commit();
  });
  EXPECT_EQ(rows(), 1);
}

TEST_F(PqTransaction, ARollbackThatFailsDoesNotHideWhatFThrew) {
  EXPECT_THROW(connection_.transact([](Transaction& t) {
    EXPECT_THROW(t.exec("select pg_terminate_backend(pg_backend_pid())"), ConnectionLost);
    throw 42;
  }),
               int);
  EXPECT_FALSE(connection_.is_open());
}

TEST_F(PqTransaction, TransactRetryTriesAgainAfterASerializationFailure) {
  Connection other = connect_to_server();
  other.exec_script(
      "drop table if exists counter; create table counter (n int);"
      "insert into counter values (0)");
  int calls = 0;
  const int seen = connection_.transact_retry(
      [&](Transaction& t) {
        const int n = t.query_value<int>("select n from counter");
        if (++calls == 1) other.exec("update counter set n = 10");
        t.exec("update counter set n = $1", n + 1);
        return n;
      },
      {.isolation = Isolation::repeatable_read});
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(other.query_value<int>("select n from counter"), 11);
  other.exec("drop table counter");
}

TEST_F(PqTransaction, TransactRetryTriesAgainOnlyAfterWhatMayPass) {
  const auto calls_for = [&](const std::string& sqlstate, int attempts) {
    int calls = 0;
    const auto error = thrown_by<QueryError>([&] {
      connection_.transact_retry(
          [&](Transaction& t) {
            ++calls;
            raise(t, sqlstate);
          },
          {}, attempts);
    });
    EXPECT_EQ(error.sqlstate(), sqlstate);
    return calls;
  };
  EXPECT_EQ(calls_for("40001", 3), 3);
  EXPECT_EQ(calls_for("40P01", 3), 3);
  EXPECT_EQ(calls_for("40001", 1), 1);
  EXPECT_EQ(calls_for("40002", 3), 1);
  EXPECT_EQ(calls_for("23505", 3), 1);
  EXPECT_THROW(connection_.transact_retry([](Transaction&) {}, {}, 0), UsageError);
  expect_usable();
}

// With what the last attempt failed by. Seen failing where the next one is made all the same.
TEST_F(PqTransaction, TransactRetryEndsAtItsDeadline) {
  const Deadline by(300ms);
  int calls = 0;
  const auto error = thrown_by<QueryError>([&] {
    connection_.transact_retry(
        [&](Transaction&) {
          ++calls;
          while (!by.passed()) std::this_thread::yield();
          throw QueryError({.sqlstate = "40001", .message = "as asked"});
        },
        {.by = by}, 1'000'000'000);
  });
  EXPECT_EQ(error.code(), Errc::query);
  EXPECT_EQ(error.sqlstate(), "40001");
  EXPECT_EQ(calls, 1);
  expect_usable();
}

// Rolling back has a second more, and nothing after it. Seen failing: a rollback to a savepoint
// that leaves the transaction that second.
TEST_F(PqTransaction, RollingBackToASavepointGivesTheTransactionNoMoreTime) {
  Transaction transaction = connection_.begin({.by = 500ms});
  Transaction savepoint = transaction.begin();
  EXPECT_THROW(savepoint.exec("select pg_sleep(600)"), QueryTimeout);
  savepoint.rollback();
  EXPECT_THROW(transaction.exec("select 1"), QueryTimeout);
}

}  // namespace tidegate::pq_test
