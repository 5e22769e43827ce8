// The part of a connection that is for the pool: what a lease leaves behind, and whether the server
// is still there.
#include <libpq-fe.h>

#include <signal.h>

#include <string>

#include <gmock/gmock.h>

#include <tidegate/pq/connection.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using pq::PingResult;
using pq::SocketCheck;
using testing::StartsWith;

class PqLease : public testing::Test {
 protected:
  PqLease() { pq::PoolAccess(connection_).join_pool(); }

  void listen_and_notify() {
    connection_.exec("listen tide");
    ASSERT_TRUE(pq::PoolAccess(connection_).reusable());
    connect_to_server().exec("notify tide, 'high'");
    ASSERT_TRUE(wait_for_event(pq::PoolAccess(connection_).socket(), POLLIN));
  }

  pq::ConnectOutcome outcome_ = connected();
  Connection& connection_ = outcome_.connection;
};

TEST_F(PqLease, AConnectionThatWasNotUsedIsReusable) {
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
}

TEST_F(PqLease, AConnectionThatWasUsedCleanlyIsReusableLeaseAfterLease) {
  for (int lease = 0; lease < 3; ++lease) {
    connection_.exec("select 1");
    EXPECT_THROW(connection_.exec("select 1/0"), QueryError);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable()) << "after a lease that did nothing";
  }
}

TEST_F(PqLease, AnOpenOrFailedTransactionIsNotReusableUntilItEnds) {
  connection_.exec("begin");
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_THROW(connection_.exec("select 1/0"), QueryError);
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  connection_.exec("rollback");
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, ADoomedConnectionGoesOnUntilTheLeaseEnds) {
  pq::PoolAccess(connection_).doom();
  EXPECT_TRUE(connection_.is_open());
  EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, ADoomSurvivesTheBeginningOfAnotherLease) {
  pq::PoolAccess(connection_).doom();
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
}

// ---- What was done through native_handle(). ----

TEST_F(PqLease, TheNativeHandleIsInBlockingModeAndUsableBesideTheConnection) {
  PGconn* native = connection_.native_handle();
  EXPECT_EQ(PQisnonblocking(native), 0);
  PGresult* result = PQexec(native, "select 1");
  EXPECT_EQ(PQresultStatus(result), PGRES_TUPLES_OK);
  PQclear(result);
  EXPECT_EQ(connection_.query_value<int>("select 2"), 2);
  EXPECT_EQ(PQisnonblocking(native), 0) << "as the user's code has it";
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  EXPECT_EQ(PQisnonblocking(native), 1) << "as the library keeps it";
}

TEST_F(PqLease, AnUnreadResultIsNotReusableAndRefusesFurtherStatements) {
  PGconn* native = connection_.native_handle();
  ASSERT_EQ(PQsendQuery(native, "select 1"), 1);
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_THAT(thrown_by<UsageError>([&] { connection_.exec("select 2"); }).what(),
              StartsWith("another command is already in progress, started through native_handle() "
                         "at postgres/pq_lease.cpp:"));
  EXPECT_THROW(connection_.exec_script("select 2"), UsageError);
  EXPECT_EQ(pq::PoolAccess(connection_).ping_step(kLong), PingResult::pending);
  EXPECT_TRUE(connection_.is_open());
  while (PGresult* result = PQgetResult(native)) PQclear(result);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, PipelineModeIsNotReusableAndRefusesFurtherStatements) {
  PGconn* native = connection_.native_handle();
  ASSERT_EQ(PQenterPipelineMode(native), 1);
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_THROW(connection_.exec("select 1"), UsageError);
  ASSERT_EQ(PQexitPipelineMode(native), 1);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, AnOpenCopyIsNotReusable) {
  PGconn* native = connection_.native_handle();
  PGresult* result = PQexec(native, "copy (select 1) to stdout");
  EXPECT_EQ(PQresultStatus(result), PGRES_COPY_OUT);
  PQclear(result);
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, AResetByTheUserIsAnotherSession) {
  PQreset(connection_.native_handle());
  EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, ANativeConnectionThatDiedIsNotUsable) {
  PGconn* native = connection_.native_handle();
  PQclear(PQexec(native, "select pg_terminate_backend(pg_backend_pid())"));
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_FALSE(connection_.is_open());
}

TEST_F(PqLease, TheUsersNoticeReceiverEndsWithTheLease) {
  int heard = 0;
  PQsetNoticeReceiver(
      connection_.native_handle(),
      [](void* count, const PGresult*) { ++*static_cast<int*>(count); }, &heard);
  connection_.exec("do $$begin raise notice 'hello'; end$$");
  EXPECT_EQ(heard, 1);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  connection_.exec("do $$begin raise notice 'hello'; end$$");
  EXPECT_EQ(heard, 1);
}

TEST_F(PqLease, ALeasesNoticeHandlerEndsWithItAndTheStandingOneIsBack) {
  Connection connection = connect_to_server();
  int standing = 0;
  int leased = 0;
  const auto raise = [&] { connection.exec("do $$begin raise notice 'hello'; end$$"); };
  connection.set_notice_handler([&](const Notice&) { ++standing; });
  raise();
  EXPECT_TRUE(pq::PoolAccess(connection).reusable());
  pq::PoolAccess(connection).join_pool();
  connection.set_notice_handler([&](const Notice&) { ++leased; });
  raise();
  EXPECT_TRUE(pq::PoolAccess(connection).reusable());
  raise();
  EXPECT_EQ(leased, 1);
  EXPECT_EQ(standing, 2);
}

TEST_F(PqLease, ALeasesNoticeHandlerEndsAlsoWhenTheConnectionIsNotReusable) {
  int leased = 0;
  connection_.set_notice_handler([&](const Notice&) { ++leased; });
  connection_.exec("begin");
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  connection_.exec("do $$begin raise notice 'hello'; end$$");
  EXPECT_EQ(leased, 0);
}

// ---- Is the server still there? ----

TEST_F(PqLease, ASilentSocketIsAlive) {
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, ABackendThatWasTerminatedWhileIdleIsSeen) {
  terminate(connection_.backend_pid(), outcome_.duplicate.get());
  EXPECT_TRUE(pq::PoolAccess(connection_).usable()) << "nobody has looked yet";
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(),
            "57P01: terminating connection due to administrator command");
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
}

TEST_F(PqLease, AFatalNoticeThatCameWhileIdleDooms) {
  connection_.exec("set idle_session_timeout = 1");
  ASSERT_TRUE(wait_for_eof(outcome_.duplicate.get()));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(),
            "57P05: terminating connection due to idle-session timeout");
}

TEST_F(PqLease, ASocketThatBreaksWithoutAWordIsDead) {
  ::shutdown(outcome_.duplicate.get(), SHUT_RDWR);
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_NE(pq::PoolAccess(connection_).broken_reason(), "");
}

TEST_F(PqLease, ANotificationIsNoDeathAndIsGoneAfterwards) {
  listen_and_notify();
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
  pollfd socket{.fd = pq::PoolAccess(connection_).socket(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&socket, 1, 0), 0) << "read";
  EXPECT_EQ(PQnotifies(connection_.native_handle()), nullptr) << "and dropped";
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLease, TheDuplicateShowsTheServersEofAfterTheConnectionIsClosed) {
  connection_.close();
  EXPECT_FALSE(connection_.is_open());
  EXPECT_TRUE(wait_for_eof(outcome_.duplicate.get()));
}

TEST_F(PqLease, APingIsAnswered) {
  EXPECT_TRUE(connection_.ping(kLong));
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  terminate(connection_.backend_pid(), outcome_.duplicate.get());
  EXPECT_FALSE(connection_.ping(kLong));
  EXPECT_FALSE(connection_.is_open());
}

TEST_F(PqLease, APingLeavesATransactionAlone) {
  connection_.exec("begin");
  EXPECT_TRUE(connection_.ping(kLong));
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::in_transaction);
}

// A backend that is stopped, and goes on when the test is done with it.
class PqLeaseStopped : public PqLease {
 protected:
  PqLeaseStopped() : backend_(connection_.backend_pid()) { ::kill(backend_, SIGSTOP); }
  ~PqLeaseStopped() override { go_on(); }
  void go_on() { ::kill(backend_, SIGCONT); }

 private:
  pid_t backend_;
};

TEST_F(PqLeaseStopped, APingThatGotNoAnswerInTimeIsWaitedForByTheNext) {
  EXPECT_FALSE(connection_.ping(20ms));
  EXPECT_TRUE(connection_.is_open());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable()) << "its answer is still to come";
  EXPECT_EQ(pq::PoolAccess(connection_).ping_step(Deadline::now()), PingResult::pending);
  go_on();
  EXPECT_TRUE(connection_.ping(kLong));
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLeaseStopped, AStatementWaitsForThePingBeforeIt) {
  EXPECT_EQ(pq::PoolAccess(connection_).ping_step(Deadline::now()), PingResult::pending);
  go_on();
  EXPECT_EQ(connection_.query_value<int>("select 3"), 3);
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqLeaseStopped, APingCanBeDrivenByAPollLoop) {
  EXPECT_EQ(pq::PoolAccess(connection_).ping_step(Deadline::now()), PingResult::pending);
  go_on();
  PingResult result = PingResult::pending;
  while (result == PingResult::pending) {
    ASSERT_TRUE(wait_for_event(pq::PoolAccess(connection_).socket(), POLLIN));
    result = pq::PoolAccess(connection_).ping_step(Deadline::now());
  }
  EXPECT_EQ(result, PingResult::alive);
}

}  // namespace tidegate::pq_test
