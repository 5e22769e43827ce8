// What a server may say at any moment, and the connection's view of it.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/connect.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/pool_access.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using pq::ConnectFault;
using pq::SocketCheck;

class IdleSession : public testing::Test {
 protected:
  ScriptedServer server_{{welcome()}};
  pq::ConnectOutcome outcome_ = server_.connect();
  Connection& connection_ = outcome_.connection;
};

TEST_F(IdleSession, IsOpenAndCleanAfterTheHandshake) {
  ASSERT_TRUE(outcome_);
  EXPECT_EQ(connection_.backend_pid(), 4711);
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
  EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
}

TEST_F(IdleSession, AMonitorOutlivesTheConnection) {
  const pq::SessionMonitor monitor = pq::PoolAccess(connection_).monitor();
  EXPECT_EQ(monitor.backend_pid(), 4711);
  EXPECT_EQ(monitor.activity().transaction, TransactionStatus::idle);
  Connection moved = std::move(connection_);
  moved.close();
  EXPECT_EQ(monitor.backend_pid(), 4711);
  EXPECT_EQ(monitor.activity().transaction, TransactionStatus::unknown);
  EXPECT_FALSE(monitor.cancel());
  EXPECT_EQ(pq::SessionMonitor().backend_pid(), 0);
  EXPECT_FALSE(pq::SessionMonitor().cancel());
}

TEST_F(IdleSession, IsWatchedAndCanceledByOthersWhileItIsClosed) {
  std::atomic<bool> looking{false};
  std::jthread other(
      [&looking, monitor = pq::PoolAccess(connection_).monitor()](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          EXPECT_FALSE(monitor.cancel());
          EXPECT_FALSE(monitor.activity().busy);
          looking = true;
        }
      });
  while (!looking) std::this_thread::yield();
  Connection moved = std::move(connection_);
  moved.close();
}

TEST_F(IdleSession, AParameterStatusIsTakenInAndNoDeath) {
  server_.send(parameter_status("TimeZone", "Asia/Tokyo"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
  EXPECT_EQ(connection_.parameter_status("TimeZone"), "Asia/Tokyo");
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
}

TEST_F(IdleSession, ANoticeGoesToTheHandlerAndIsNoDeath) {
  std::vector<std::string> heard;
  connection_.set_notice_handler([&](const Notice& n) { heard.emplace_back(n.message); });
  server_.send(report('N', "WARNING", "01000", "the tide is high"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
  EXPECT_THAT(heard, testing::ElementsAre("the tide is high"));
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
}

// libpq hands a FATAL that comes between statements to the notice receiver, and nothing else
// happens: the connection looks well until the next statement fails on it.
TEST_F(IdleSession, AFatalBreaksItBeforeTheServerHasClosed) {
  server_.send(report('E', "FATAL", "57P01", "terminating connection"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(), "57P01: terminating connection");
  EXPECT_FALSE(connection_.is_open());
  server_.hang_up();
  EXPECT_THROW(connection_.exec("select 1"), ConnectionLost);
}

TEST_F(IdleSession, AFatalAsNoticeBreaksItToo) {
  server_.send(report('N', "PANIC", "XX000", "the end"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(), "XX000: the end");
}

TEST_F(IdleSession, AnErrorBetweenStatementsIsNoDeath) {
  server_.send(report('E', "ERROR", "57014", "a late cancel"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
  EXPECT_TRUE(pq::PoolAccess(connection_).usable());
}

TEST_F(IdleSession, AServerThatHangsUpWithoutAWordIsDead) {
  server_.hang_up();
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::dead);
  EXPECT_NE(pq::PoolAccess(connection_).broken_reason(), "");
}

TEST_F(IdleSession, AServerThatNeverStopsTalkingIsAlive) {
  for (int i = 0; i < 1000; ++i) server_.send(parameter_status("TimeZone", "UTC"));
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), SocketCheck::ok);
}

// As with a session time-out that is shorter than the way to the client. Found on a slow machine:
// the FATAL was read together with the answer, and the statement was reported as lost.
TEST_F(IdleSession, AStatementThatSucceededBeforeTheSessionEndedHasSucceeded) {
  server_.send(message('1', "") + message('2', "") + message('n', "") +
               message('C', c_string("SET")) + message('Z', "I") +
               report('E', "FATAL", "57P05", "idle too long"));
  EXPECT_EQ(connection_.exec("set x = 1").command_tag(), "SET");
  EXPECT_FALSE(connection_.is_open());
  server_.hang_up();
  EXPECT_THROW(connection_.exec("select 1"), ConnectionLost);
}

// Neither side's buffers hold what it has to say: whoever only writes waits for ever.
TEST_F(IdleSession, AServerThatDoesNotReadBeforeItIsReadIsRead) {
  const std::string large(10'000'000, 'x');
  std::string chatter;
  while (chatter.size() < large.size()) {
    chatter += parameter_status("tide", std::string(20'000, 'x').c_str());
  }
  std::jthread server([&] {
    server_.send(chatter);
    server_.receive(large.size());
    server_.send(message('1', "") + message('2', "") + message('n', "") +
                 message('C', c_string("SET")) + message('Z', "I"));
  });
  EXPECT_EQ(connection_.exec("set x = $1", large).command_tag(), "SET");
}

TEST_F(IdleSession, AStatementWhoseAnswerIsCutOffIsLost) {
  server_.send(message('1', "") + message('2', "") + message('n', "") +
               message('C', c_string("SET")));
  server_.hang_up();
  EXPECT_THROW(connection_.exec("set x = 1"), ConnectionLost);
  EXPECT_FALSE(connection_.is_open());
}

TEST_F(IdleSession, ALeaseThatOnlyLooksCostsNothingAndEndsClean) {
  for (int lease = 0; lease < 3; ++lease) {
    EXPECT_TRUE(pq::PoolAccess(connection_).usable());
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  }
}

TEST_F(IdleSession, ADoomIsForGood) {
  pq::PoolAccess(connection_).doom();
  EXPECT_TRUE(connection_.is_open());
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable()) << "nor after another lease";
}

// A table of the failure taxonomy, as a server would say it.
TEST(ScriptedConnect, TheServersRefusalHasItsKindCodeAndText) {
  const struct {
    const char* code;
    ConnectFault kind;
  } table[] = {
      {"28P01", ConnectFault::rejected},    {"28000", ConnectFault::rejected},
      {"3D000", ConnectFault::rejected},    {"0A000", ConnectFault::rejected},
      {"42704", ConnectFault::rejected},    {"57P03", ConnectFault::unreachable},
      {"53300", ConnectFault::unreachable}, {"57P01", ConnectFault::unreachable},
      {"XX000", ConnectFault::unreachable},
  };
  for (const auto& row : table) {
    ScriptedServer server({report('E', "FATAL", row.code, "the server's words")});
    const auto outcome = server.connect();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.failure->cause.kind, row.kind) << row.code;
    EXPECT_EQ(outcome.failure->cause.sqlstate, row.code);
    EXPECT_EQ(outcome.failure->cause.text, "the server's words");
  }
}

TEST(ScriptedConnect, AServerWithoutTlsIsARejectionWhereTlsIsRequired) {
  ScriptedServer server({"N"});
  const auto outcome = server.connect("require");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, ConnectFault::rejected);
  EXPECT_EQ(outcome.failure->cause.sqlstate, "");
}

TEST(ScriptedConnect, ATlsHandshakeThatFailsIsARejection) {
  const std::string handshake_failure("\x15\x03\x03\x00\x02\x02\x28", 7);  // a TLS alert
  ScriptedServer server({"S", handshake_failure});
  const auto outcome = server.connect("require");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, ConnectFault::rejected);
}

TEST(ScriptedConnect, WhatIsNoPostgresqlIsUnreachable) {
  ScriptedServer server({"HTTP/1.1 400 Bad Request\r\n\r\n"});
  const auto outcome = server.connect();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, ConnectFault::unreachable);
  EXPECT_NE(outcome.failure->cause.text, "");
}

}  // namespace tidegate::pq_test
