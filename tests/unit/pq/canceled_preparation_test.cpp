// A statement that somebody cancels while it is prepared, against a server that says how far it
// was.
#include <atomic>
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/session_monitor.hpp>

#include "pq/pool_access.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using namespace std::chrono_literals;

class CanceledPreparation : public testing::Test {
 protected:
  // The statement, canceled by another thread while the server prepares it; that answers so.
  // Returns what the server hears next.
  std::string canceled_with(const std::string& answer, Connection& connection) {
    std::string said;
    std::jthread server([&] {
      server_.receive_message();
      EXPECT_TRUE(connection.cancel());
      server_.accept_cancel();
      server_.send(answer);
      said = server_.receive_message_or_end();
      if (is_run(said)) server_.send(done("SET"));
    });
    try {
      connection.exec("set x = 1");
      ADD_FAILURE() << "no error";
    } catch (const QueryCanceled& error) {
      EXPECT_EQ(error.code(), Errc::canceled);
      error_ = error.message();
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
    connection.close();  // the server waits for more, or for the end
    server.join();
    return said;
  }

  // Bound; else it is the Terminate message.
  static bool is_run(const std::string& said) { return said.starts_with('B'); }

  ScriptedServer server_{{welcome()}};
  std::string error_{};
};

// The server had done when the cancel came, and forgets it. Who asked for the cancel is told that
// it was: the statement does not run after all. Seen failing with one that did.
TEST_F(CanceledPreparation, IsNotRunWhereTheCancelCameTooLateToStrikeIt) {
  pq::ConnectOutcome outcome =
      server_.connect("disable", {.statement_cache = 1, .drain_bound = 30s});
  const std::string said = canceled_with(prepared(), outcome.connection);
  EXPECT_FALSE(is_run(said));
  EXPECT_EQ(error_, "the statement was canceled before it was run");
}

// The report of a close asks for that: it said of a statement that its user saw canceled that it
// was not. Seen once in thirty runs of LateLease.IsCanceledAndReported.
TEST_F(CanceledPreparation, CountsAsCanceledWhereItIsNotRun) {
  pq::ConnectOutcome outcome =
      server_.connect("disable", {.statement_cache = 1, .drain_bound = 30s});
  const pq::SessionMonitor monitor = pq::PoolAccess(outcome.connection).monitor();
  canceled_with(prepared(), outcome.connection);
  EXPECT_EQ(monitor.cancels().canceled, 1u);
}

TEST_F(CanceledPreparation, IsNotRunWhereTheCancelStruck) {
  pq::ConnectOutcome outcome =
      server_.connect("disable", {.statement_cache = 1, .drain_bound = 30s});
  const std::string said = canceled_with(canceled(), outcome.connection);
  EXPECT_FALSE(is_run(said));
  EXPECT_THAT(error_, testing::HasSubstr("canceled by another thread"));
}

}  // namespace tidegate::pq_test
