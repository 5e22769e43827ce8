// A cancel that arrives late strikes whoever runs then: on a lane a neighbour, which is run again.
// The server of the script says when it is late.
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <support/test_points.hpp>
#include <tidegate/tidegate.hpp>

#include "unit/pq/scripted_server.hpp"

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using pq_test::canceled;
using pq_test::empty_answer;
using pq_test::message;
using pq_test::ScriptedServer;

// The answer to a statement that gives one text.
std::string gives(const std::string& value) {
  return pq_test::one_column() + pq_test::one_row(value) +
         message('C', pq_test::c_string("SELECT 1")) + message('Z', "I");
}

class LanesOfAScript : public testing::Test {
 protected:
  static PoolConfig config_of(const ScriptedServer& server) {
    PoolConfig config;
    config.conninfo =
        "host=127.0.0.1 user=a dbname=b sslmode=disable gssencmode=disable port=" + server.port();
    config.max_size = 1;
    config.health_period = 1h;
    config.ping_after = 0ms;
    config.statement_cache = 0;
    config.cancel_quiet = 0ms;
    config.lanes = 1;
    config.lane_limit = 60s;
    return config;
  }
  // Reads until that text has come. The empty statements of a reset are answered.
  void await_text(const std::string& text) {
    while (seen_.find(text) == std::string::npos && !HasFailure()) {
      const std::string came = server_.receive_message();
      if (came.starts_with('Q')) server_.send(empty_answer());
      seen_ += came;
    }
  }
  // Returns when the call is on the lane.
  template <class F>
  static std::jthread on_lane(F call) {
    Hold pushed("lane.pushed");
    std::jthread thread(std::move(call));
    pushed.await();
    return thread;
  }

  ScriptedServer server_{{pq_test::welcome()}};
  Pool pool_{config_of(server_)};
  std::string seen_{};
};

// The first is answered, and its cancel strikes the second.
TEST_F(LanesOfAScript, ANeighbourThatIsStruckIsRunAgain) {
  Lease held = pool_.acquire();
  std::stop_source stop;
  std::jthread leaves = on_lane([&] {
    EXPECT_THROW(pool_.exec({.stop = stop.get_token()}, "select 'leaves'"), QueryCanceled);
  });
  std::jthread stays =
      on_lane([&] { EXPECT_EQ(pool_.query_value<std::string>("select 'stays'"), "it"); });
  held.release();
  await_text("'stays'");
  stop.request_stop();
  server_.accept_cancel();
  server_.send(gives("nobody's") + canceled());
  seen_.clear();
  await_text("'stays'");
  server_.send(gives("it"));
  stays.join();
  leaves.join();
  EXPECT_EQ(pool_.stats().lanes.struck, 1u);
  EXPECT_EQ(pool_.stats().created, 1u);
}

// While a cancel of a neighbour's is under way, too.
TEST_F(LanesOfAScript, AStatementTimeoutIsTheOwnersBesideACancel) {
  Lease held = pool_.acquire();
  std::stop_source stop;
  std::jthread leaves = on_lane([&] {
    EXPECT_THROW(pool_.exec({.stop = stop.get_token()}, "select 'leaves'"), QueryCanceled);
  });
  std::jthread stays = on_lane([&] {
    try {
      pool_.exec({.by = 10s}, "select 'stays'");
      ADD_FAILURE();
    } catch (const QueryError& error) {
      EXPECT_EQ(error.message(), "canceling statement due to statement timeout");
    }
  });
  held.release();
  await_text("'stays'");
  stop.request_stop();
  server_.accept_cancel();
  server_.send(
      canceled() +
      pq_test::report('E', "ERROR", "57014", "canceling statement due to statement timeout") +
      message('Z', "I"));
  stays.join();
  leaves.join();
  EXPECT_EQ(pool_.stats().lanes.struck, 0u);
}

// The server cancels by itself (statement_timeout): that is the owner's error.
TEST_F(LanesOfAScript, ACancelThatNobodyHasAskedForIsTheOwners) {
  Lease held = pool_.acquire();
  std::jthread call = on_lane([&] {
    try {
      pool_.exec({.by = 10s}, "select 'slow'");
      ADD_FAILURE();
    } catch (const QueryError& error) {
      EXPECT_EQ(error.sqlstate(), "57014");
      EXPECT_EQ(error.code(), Errc::query);
    }
  });
  held.release();
  await_text("'slow'");
  server_.send(canceled());
  call.join();
  EXPECT_EQ(pool_.stats().lanes.struck, 0u);
}

// Answers in the order of the statements, however the bytes come.
TEST_F(LanesOfAScript, EachOwnerGetsTheAnswerOfItsPlace) {
  Lease held = pool_.acquire();
  std::jthread first =
      on_lane([&] { EXPECT_EQ(pool_.query_value<std::string>("select 'a'"), "one"); });
  std::jthread second = on_lane([&] { EXPECT_THROW(pool_.exec("select 'b'"), QueryError); });
  std::jthread third =
      on_lane([&] { EXPECT_EQ(pool_.query_value<std::string>("select 'c'"), "three"); });
  held.release();
  await_text("'c'");
  for (const char byte : gives("one") + pq_test::report('E', "ERROR", "42P01", "no such thing") +
                             message('Z', "I") + gives("three")) {
    server_.send(std::string(1, byte));
  }
}

// What comes without a question breaks the connection, and reaches nobody as an answer.
TEST_F(LanesOfAScript, AnAnswerTooManyIsNobodys) {
  Lease held = pool_.acquire();
  std::jthread call =
      on_lane([&] { EXPECT_EQ(pool_.query_value<std::string>("select 'a'"), "one"); });
  held.release();
  await_text("'a'");
  server_.send(gives("one") + gives("two"));
  call.join();
  server_.hang_up();
  EXPECT_EQ(pool_.stats().lanes.callers, 0u);
}

}  // namespace
}  // namespace tidegate::test
