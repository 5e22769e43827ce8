#include <tidegate/pq/connect.hpp>

#include <fcntl.h>

#include <filesystem>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>

#include "postgres/password_role.hpp"
#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using pq::ConnectFault;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

TEST(PqConnect, AConnectionIsIdleAndComesWithADuplicateOfItsSocket) {
  for (const Params& params : {Params(), tcp()}) {
    pq::ConnectOutcome outcome = connected(params);
    EXPECT_TRUE(outcome);
    EXPECT_TRUE(outcome.connection.is_open());
    EXPECT_EQ(outcome.connection.transaction_status(), TransactionStatus::idle);
    EXPECT_TRUE(pq::PoolAccess(outcome.connection).reusable());
    EXPECT_TRUE(outcome.duplicate);
    EXPECT_NE(outcome.duplicate.get(), pq::PoolAccess(outcome.connection).socket());
    EXPECT_NE(::fcntl(outcome.duplicate.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(outcome.connection.query_value<int>("select 1"), 1);
  }
}

TEST(PqConnect, TheFallbackApplicationNameIsSent) {
  Connection connection =
      std::move(connected({{"fallback_application_name", "tidegate/orders"}}).connection);
  EXPECT_EQ(connection.query_value<std::string>("show application_name"), "tidegate/orders");
  EXPECT_EQ(connection.parameter_status("application_name"), "tidegate/orders");
}

TEST(PqConnect, AnUnknownDatabaseIsARejectionInTheServersWords) {
  const auto failure = failure_of(tcp({{"dbname", "no such"}}));
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_EQ(failure.cause.sqlstate, "3D000");
  EXPECT_EQ(failure.cause.text, "database \"no such\" does not exist");
  EXPECT_EQ(failure.cause.address, environment("TIDEGATE_PG_TCP_HOST"));
  EXPECT_EQ(failure.cause.port, environment("PGPORT"));
  EXPECT_EQ(failure.attempts.size(), 1u);
}

TEST(PqConnect, AnUnknownRoleOrParameterIsARejection) {
  EXPECT_EQ(failure_of({{"user", "nobody here"}}).cause.sqlstate, "28000");
  EXPECT_EQ(failure_of({{"user", "nobody here"}}).cause.kind, ConnectFault::rejected);
  const auto failure = failure_of({{"options", "-c no_such_parameter=1"}});
  EXPECT_EQ(failure.cause.sqlstate, "42704");
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
}

class PqConnectWithPassword : public testing::Test {
 private:
  PasswordRole role_;
};

TEST_F(PqConnectWithPassword, AWrongOneIsARejectionThatDoesNotShowIt) {
  const auto failure = failure_of(tcp({{"user", "careful"}, {"password", "wr0ng-secret"}}));
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_EQ(failure.cause.sqlstate, "28P01");
  EXPECT_EQ(failure.cause.text, "password authentication failed for user \"careful\"");
}

TEST_F(PqConnectWithPassword, NoneIsARejectionWithoutACode) {
  const auto failure = failure_of(tcp({{"user", "careful"}}));
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_EQ(failure.cause.sqlstate, "");
  EXPECT_THAT(failure.cause.text, HasSubstr("no password supplied"));
}

TEST_F(PqConnectWithPassword, TheRightOneConnects) {
  EXPECT_TRUE(
      try_connect(tcp({{"user", "careful"}, {"password", "right"}, {"dbname", "postgres"}})));
}

TEST(PqConnect, TooManyConnectionsIsUnreachable) {
  Connection admin = connect_to_server();
  admin.exec_script("drop role if exists crowd; create role crowd login connection limit 0");
  const auto failure = failure_of({{"user", "crowd"}, {"dbname", "postgres"}});
  admin.exec("drop role crowd");
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
  EXPECT_EQ(failure.cause.sqlstate, "53300");
}

TEST(PqConnect, TlsThatTheServerDoesNotSpeakIsARejectionByThePhase) {
  if (connect_to_server().query_value<std::string>("show ssl") == "on") GTEST_SKIP();
  const auto failure = failure_of(tcp({{"sslmode", "require"}}));
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_EQ(failure.cause.sqlstate, "");
}

TEST(PqConnect, APortWhereNobodyListensIsUnreachable) {
  const std::string port = Listener().close();
  const auto failure = failure_of({{"host", "127.0.0.1"}, {"port", port}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
  EXPECT_EQ(failure.cause.sqlstate, "");
  EXPECT_THAT(failure.cause.text, HasSubstr("Connection refused"));
  EXPECT_EQ(failure.cause.host, "127.0.0.1");
  EXPECT_EQ(failure.cause.port, port);
}

TEST(PqConnect, AUnixSocketThatIsNotThereIsUnreachable) {
  const auto failure = failure_of({{"host", "/no/such/directory"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
  EXPECT_THAT(failure.cause.text, HasSubstr("No such file or directory"));
}

TEST(PqConnect, AnOptionThatLibpqRefusesIsNamedInItsWords) {
  const auto failure = failure_of({{"sslmode", "perhaps"}});
  EXPECT_THAT(failure.cause.text, HasSubstr("invalid sslmode value: \"perhaps\""));
}

// As a server that crashes in the middle of the TLS handshake: that is no refusal.
TEST(PqConnect, AServerThatHangsUpDuringTlsIsUnreachable) {
  Listener listener;
  std::jthread server([&] {
    const pq::FileDescriptor client = listener.accept();
    char request[8];
    ASSERT_EQ(::recv(client.get(), request, sizeof request, MSG_WAITALL), 8);
  });
  const auto failure =
      failure_of({{"host", "127.0.0.1"}, {"port", listener.port()}, {"sslmode", "require"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
}

// Seen failing with a handshake that does not watch the stop.
TEST(PqConnect, AStopAbortsAConnectToAServerThatSaysNothing) {
  Listener silent;
  std::stop_source stop;
  pq::ConnectOutcome outcome;
  std::jthread connecting([&] {
    outcome =
        try_connect({{"host", "127.0.0.1"}, {"port", silent.port()}}, kLong, stop.get_token());
  });
  const pq::FileDescriptor client = silent.accept();
  ASSERT_TRUE(wait_for_event(client.get(), POLLIN)) << "its first message";
  const auto stopped = Deadline::Clock::now();
  stop.request_stop();
  connecting.join();
  EXPECT_LT(Deadline::Clock::now() - stopped, 500ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, ConnectFault::aborted);
  EXPECT_THAT(outcome.failure->cause.text, StartsWith("aborted while "));
  EXPECT_TRUE(wait_for_eof(client.get())) << "the socket is closed";
}

TEST(PqConnect, AStopThatCameBeforeTouchesNoNetwork) {
  Listener listener;
  std::stop_source stop;
  stop.request_stop();
  const auto outcome =
      try_connect({{"host", "127.0.0.1"}, {"port", listener.port()}}, kLong, stop.get_token());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, ConnectFault::aborted);
  pollfd waiting{.fd = listener.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
}

TEST(PqConnect, TheDeadlineEndsAConnectToAServerThatSaysNothing) {
  Listener silent;
  const auto began = Deadline::Clock::now();
  const auto failure = failure_of({{"host", "127.0.0.1"}, {"port", silent.port()}}, 80ms);
  const auto took = Deadline::Clock::now() - began;
  EXPECT_GE(took, 80ms);
  EXPECT_LT(took, 2s);
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
  EXPECT_THAT(failure.cause.text, StartsWith("no answer for "));
  EXPECT_THAT(failure.cause.text, HasSubstr(" while negotiating TLS"));
}

TEST(PqConnect, APassedDeadlineConnectsToNothing) {
  const auto failure = failure_of({}, Deadline::now());
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
  EXPECT_EQ(failure.cause.text, "there was no time left to connect");
}

TEST(PqConnect, AHostThatSaysNothingCostsItsShareOfTheTimeOnly) {
  Listener silent;
  const std::string host = environment("TIDEGATE_PG_TCP_HOST");
  const auto began = Deadline::Clock::now();
  pq::ConnectOutcome outcome = try_connect(
      {{"host", "127.0.0.1," + host}, {"port", silent.port() + "," + environment("PGPORT")}}, 4s);
  EXPECT_TRUE(outcome);
  EXPECT_EQ(outcome.given_up, 1u);
  EXPECT_GE(Deadline::Clock::now() - began, 2s);
  EXPECT_LT(Deadline::Clock::now() - began, 4s);
}

// Seen failing with libpq's connect_timeout ignored.
TEST(PqConnect, LibpqsConnectTimeoutBoundsEachAddress) {
  Listener silent;
  const auto began = Deadline::Clock::now();
  const auto failure =
      failure_of({{"host", "127.0.0.1"}, {"port", silent.port()}, {"connect_timeout", "1"}});
  EXPECT_GE(Deadline::Clock::now() - began, 1s);
  EXPECT_LT(Deadline::Clock::now() - began, kLong);
  EXPECT_THAT(failure.cause.text, StartsWith("no answer for "));
}

TEST(PqConnect, EveryAddressIsListedWithItsReason) {
  Listener silent;
  const std::string refused = Listener().close();
  const auto failure = failure_of({{"host", "127.0.0.1,127.0.0.1,/no/such/directory"},
                                   {"port", refused + "," + silent.port() + ",5432"}},
                                  2s);
  ASSERT_EQ(failure.attempts.size(), 3u);
  EXPECT_THAT(failure.attempts[0].text, HasSubstr("Connection refused"));
  EXPECT_THAT(failure.attempts[1].text, StartsWith("no answer for "));
  EXPECT_THAT(failure.attempts[2].text, HasSubstr("No such file or directory"));
  EXPECT_EQ(failure.attempts[2].host, "/no/such/directory");
}

TEST(PqConnect, ARejectionEndsTheSearch) {
  const std::string host = environment("TIDEGATE_PG_TCP_HOST");
  const auto failure = failure_of({{"host", host + "," + host}, {"dbname", "no such"}});
  EXPECT_EQ(failure.attempts.size(), 1u);
}

TEST(PqConnect, TheServerThatAnsweredIsTheCauseEvenIfALaterHostIsDown) {
  Connection admin = connect_to_server();
  admin.exec_script("drop role if exists crowd; create role crowd login connection limit 0");
  const auto failure = failure_of({{"host", environment("PGHOST") + ",/no/such/directory"},
                                   {"user", "crowd"},
                                   {"dbname", "postgres"}});
  admin.exec("drop role crowd");
  EXPECT_EQ(failure.attempts.size(), 2u);
  EXPECT_EQ(failure.cause.sqlstate, "53300");
}

TEST(PqConnect, PreferStandbyTakesThePrimaryWhenThereIsNothingElse) {
  EXPECT_TRUE(try_connect({{"target_session_attrs", "prefer-standby"}}));
  const auto failure = failure_of({{"target_session_attrs", "standby"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable);
}

TEST(PqConnect, NothingIsLeftBehindWhateverTheEnd) {
  const std::size_t before = open_descriptors();
  Listener silent;
  const std::size_t with_listener = before + 1;
  std::stop_source stop;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(
        try_connect({{"host", "127.0.0.1"}, {"port", silent.port()}}, 10ms, stop.get_token()));
    EXPECT_FALSE(try_connect({{"dbname", "no such"}}, kLong, stop.get_token()));
    EXPECT_TRUE(try_connect({}, kLong, stop.get_token()));
  }
  EXPECT_EQ(open_descriptors(), with_listener);
}

TEST(PqConnect, WhatTheServerSaysDuringTheHandshakeDoesNotGoToStderr) {
  testing::internal::CaptureStderr();
  const auto outcome = connected({{"options", "-c client_min_messages=debug5"}});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace tidegate::pq_test
