// Deadlines and stop_tokens of statements, and cancels by other threads.
#include <sys/socket.h>

#include <latch>
#include <stop_token>
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include <support/call_counter.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using pq::CancelTrace;
using testing::HasSubstr;
using testing::StartsWith;

class PqLimits : public testing::Test {
 protected:
  void expect_usable() {
    EXPECT_TRUE(connection_.is_open());
    EXPECT_EQ(connection_.query_value<int>("select 41 + $1", 1), 42);
    EXPECT_EQ(pq::PoolAccess(connection_).cancel_trace(), CancelTrace::none);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  }
  // Runs `act` when the connection's statement sleeps on the server.
  template <class F>
  std::jthread when_asleep(F act) {
    return std::jthread([pid = connection_.backend_pid(), act] {
      wait_until_asleep(pid);
      act();
    });
  }

  // What no limit ends the server does, as a QueryError.
  pq::ConnectOutcome outcome_ = connected({{"options", "-c statement_timeout=20s"}});
  Connection& connection_ = outcome_.connection;
};

constexpr const char* kSleep = "select pg_sleep(600)";

TEST_F(PqLimits, AtItsDeadlineAStatementIsCanceledOnTheServer) {
  const auto error = thrown_by<QueryTimeout>([&] { connection_.exec({.by = 20ms}, kSleep); });
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_EQ(error.sqlstate(), "57014");
  EXPECT_THAT(error.what(), StartsWith("ERROR 57014: the statement's deadline passed, it was "
                                       "canceled (statement: select pg_sleep(600)) at "
                                       "postgres/pq_limits.cpp:"));
  expect_usable();
}

TEST_F(PqLimits, ADeadlineThatIsNotReachedChangesNothing) {
  EXPECT_EQ(connection_.query_value<int>({.by = kLong}, "select $1 + 1", 1), 2);
  EXPECT_EQ(std::get<0>(connection_.query_row<int>({.by = kLong}, "select 3")), 3);
  std::stop_source stop;
  EXPECT_EQ(connection_.query_value<int>({.stop = stop.get_token()}, "select 4"), 4);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLimits, AStopCancelsTheStatementOnTheServer) {
  std::stop_source stop;
  const auto stopper = when_asleep([&] { stop.request_stop(); });
  const auto error =
      thrown_by<QueryCanceled>([&] { connection_.exec({.stop = stop.get_token()}, kSleep); });
  EXPECT_EQ(error.code(), Errc::canceled);
  EXPECT_EQ(error.sqlstate(), "57014");
  EXPECT_THAT(error.what(), HasSubstr("the statement's stop was requested, it was canceled"));
  expect_usable();
  std::stop_source another;
  EXPECT_EQ(connection_.query_value<int>({.stop = another.get_token()}, "select 5"), 5)
      << "the bell of the first has been silenced";
}

TEST_F(PqLimits, APassedDeadlineOrARequestedStopSendsNothing) {
  std::stop_source stop;
  stop.request_stop();
  connection_.exec("create temp table t (id int)");
  const auto late =
      thrown_by<QueryTimeout>([&] { connection_.exec({.by = 0s}, "insert into t values (1)"); });
  EXPECT_THAT(late.what(), StartsWith("the statement's deadline passed; nothing was sent"));
  EXPECT_EQ(late.sqlstate(), "");
  const auto stopped = thrown_by<QueryCanceled>(
      [&] { connection_.exec({.stop = stop.get_token()}, "insert into t values (1)"); });
  EXPECT_THAT(stopped.what(), StartsWith("the statement's stop was requested; nothing was sent"));
  EXPECT_THROW(connection_.exec_script({.by = 0s}, "insert into t values (1)"), QueryTimeout);
  EXPECT_EQ(pq::PoolAccess(connection_).cancel_trace(), CancelTrace::none);
  EXPECT_EQ(connection_.query_value<int>("select count(*) from t"), 0);
  expect_usable();
}

TEST_F(PqLimits, AScriptHasLimitsToo) {
  EXPECT_THROW(connection_.exec_script({.by = 20ms}, "select 1; select pg_sleep(600)"),
               QueryTimeout);
  expect_usable();
}

// Seen failing with statements that know their own limits only.
TEST_F(PqLimits, WhatBoundsTheConnectionBoundsEveryStatement) {
  pq::PoolAccess(connection_).bound(Deadline(20ms), {});
  EXPECT_THROW(connection_.exec(kSleep), QueryTimeout);
  pq::PoolAccess(connection_).bound(Deadline::now(), {});
  EXPECT_THROW(connection_.exec({.by = kLong}, "select 1"), QueryTimeout);
  std::stop_source stop;
  pq::PoolAccess(connection_).bound({}, stop.get_token());
  {
    const auto stopper = when_asleep([&] { stop.request_stop(); });
    EXPECT_THROW(connection_.exec({.by = kLong}, kSleep), QueryCanceled);
  }
  EXPECT_THROW(connection_.exec("select 1"), QueryCanceled);
  pq::PoolAccess(connection_).bound({}, {});
  expect_usable();
}

TEST_F(PqLimits, ACopyThatWasGivenByMistakeEndsAtTheDeadline) {
  EXPECT_ANY_THROW(connection_.exec(
      {.by = 20ms}, "copy (select pg_sleep(600) from generate_series(1, 2)) to stdout"));
  expect_usable();
}

TEST_F(PqLimits, ATimeoutInATransactionLeavesItFailedAndItsHolderInCharge) {
  connection_.exec("begin");
  EXPECT_THROW(connection_.exec({.by = 20ms}, kSleep), QueryTimeout);
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::in_failed_transaction);
  connection_.exec("rollback");
  expect_usable();
}

TEST_F(PqLimits, AStatementTimeoutOfTheServerIsAnOrdinaryError) {
  connection_.exec("set statement_timeout = 20");
  const auto error = thrown_by<QueryError>([&] { connection_.exec({.by = kLong}, kSleep); });
  EXPECT_EQ(error.code(), Errc::query);
  EXPECT_EQ(error.sqlstate(), "57014");
}

TEST_F(PqLimits, AnotherThreadCancelsTheStatementUnderWay) {
  const auto canceler = when_asleep([&] { EXPECT_TRUE(connection_.cancel()); });
  const auto error = thrown_by<QueryCanceled>([&] { connection_.exec(kSleep); });
  EXPECT_THAT(error.what(),
              HasSubstr("the statement was canceled by another thread: by Connection::cancel()"));
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  expect_usable();
  EXPECT_FALSE(connection_.cancel()) << "nothing is under way";
  expect_usable();
}

TEST_F(PqLimits, CancelsOfConnectionsOfOneGroupAreCountedTogether) {
  const auto group = std::make_shared<pq::CancelGroup>();
  for (int i = 0; i < 2; ++i) {
    Connection one = std::move(connected_with({.cancels = group}).connection);
    EXPECT_THROW(one.exec({.by = 20ms}, kSleep), QueryTimeout);
  }
  EXPECT_GE(group->sent(), 2u);
  EXPECT_EQ(group->failed(), 0u);
  EXPECT_EQ(group->stuck(), 0u);
}

#if !defined(TIDEGATE_TEST_SANITIZED)
TEST_F(PqLimits, WhereNoThreadCanBeCreatedTheConnectionIsShutDown) {
  const test::NoThreads no_threads;
  const auto error = thrown_by<QueryTimeout>([&] { connection_.exec({.by = 20ms}, kSleep); });
  EXPECT_THAT(error.what(), HasSubstr("no thread could be created to cancel the statement; the "
                                      "connection is given up"));
  EXPECT_FALSE(connection_.is_open());
}
#endif

TEST_F(PqLimits, APingEndsAtAStopAndItsAnswerIsTakenLater) {
  std::stop_source stop;
  stop.request_stop();
  const bool answered = connection_.ping(kLong, stop.get_token());
  EXPECT_TRUE(connection_.is_open());
  EXPECT_TRUE(answered || !pq::PoolAccess(connection_).reusable());
  EXPECT_TRUE(connection_.ping(kLong));
  expect_usable();
}

TEST_F(PqLimits, OthersSeeWhatAConnectionDoes) {
  EXPECT_EQ(connection_.activity().transaction, TransactionStatus::idle);
  EXPECT_FALSE(connection_.activity().busy);
  const std::string long_statement = "select pg_sleep(600), '" + std::string(200, 'x') + "'";
  Activity seen;
  const auto observer = when_asleep([&] {
    seen = connection_.activity();
    connection_.cancel();
  });
  EXPECT_THROW(connection_.exec(long_statement), QueryCanceled);
  EXPECT_TRUE(seen.busy);
  EXPECT_EQ(seen.statement, long_statement.substr(0, 120));
  connection_.exec("begin");
  EXPECT_EQ(connection_.activity().transaction, TransactionStatus::in_transaction);
  EXPECT_FALSE(connection_.activity().busy);
  EXPECT_EQ(connection_.activity().statement, "begin");
  EXPECT_THROW(connection_.exec("select 1/0"), QueryError);
  EXPECT_EQ(connection_.activity().transaction, TransactionStatus::in_failed_transaction);
  connection_.exec("rollback");
  connection_.native_handle();
  connection_.exec("select 1");
  EXPECT_EQ(connection_.activity().transaction, TransactionStatus::unknown);
  EXPECT_EQ(connection_.activity().statement, "");
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  EXPECT_EQ(connection_.activity().transaction, TransactionStatus::idle);
}

}  // namespace tidegate::pq_test
