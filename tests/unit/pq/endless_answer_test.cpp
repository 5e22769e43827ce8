// Servers that go on sending, whatever they are asked: there is always something to read, and
// nobody ever waits.
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/errors.hpp>

#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using namespace std::chrono_literals;
using testing::HasSubstr;

class EndlessAnswer : public testing::Test {
 protected:
  explicit EndlessAnswer(std::chrono::milliseconds drain_bound = 50ms)
      : outcome_(server_.connect("disable", {.statement_cache = 0, .drain_bound = drain_bound})) {}

  // Answers one statement so, without an end.
  std::jthread endless(const std::string& begin, std::string again) {
    while (again.size() < 60'000) again += again;
    return std::jthread([this, begin, again](const std::stop_token& stop) {
      server_.receive_message();
      server_.send(begin);
      server_.stream(again, stop);
    });
  }
  void hang_up() {
    connection_.close();
    outcome_.duplicate.reset();
  }

  ScriptedServer server_{{welcome()}};
  pq::ConnectOutcome outcome_;
  Connection& connection_ = outcome_.connection;
};

// Notices, so that nothing grows where it is not given up. Seen failing with limits that are looked
// at only where there is nothing to read: before the cancel, and after it.
TEST_F(EndlessAnswer, OfAServerThatIgnoresTheCancelIsGivenUp) {
  const std::jthread server = endless("", report('N', "NOTICE", "00000", "on and on"));
  try {
    connection_.exec({.by = 10ms}, "select 1");
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_THAT(error.what(), HasSubstr("the server did not answer the cancel request"));
  }
  EXPECT_FALSE(connection_.is_open());
  hang_up();
}

TEST_F(EndlessAnswer, RowByRowIsGivenUpToo) {
  const std::jthread server = endless(one_column(), one_row("on and on"));
  EXPECT_THROW(connection_.each({.by = 10ms}, "select 1", [](const Row&) {}), QueryTimeout);
  EXPECT_FALSE(connection_.is_open());
  hang_up();
}

// Seen failing with a deadline that is looked at only where there is nothing to read.
TEST_F(EndlessAnswer, InsteadOfNotificationsIsHeardUntilTheDeadline) {
  const std::jthread server([this](const std::stop_token& stop) {
    std::string notices = report('N', "NOTICE", "00000", "on and on");
    while (notices.size() < 60'000) notices += notices;
    server_.stream(notices, stop);
  });
  try {
    EXPECT_TRUE(connection_.notifications(10ms).empty());
  } catch (const ConnectionLost&) {
    ADD_FAILURE() << "the server had to end it";
  }
  hang_up();
}

class SlowToHear : public EndlessAnswer {
 protected:
  SlowToHear() : EndlessAnswer(30s) {}
};

// Seen failing: a request that is made again only where there is nothing to read.
TEST_F(SlowToHear, AServerThatGoesOnIsAskedAgain) {
  std::jthread server = endless("", report('N', "NOTICE", "00000", "on and on"));
  std::jthread cancels([&] {
    server_.accept_cancel();
    server_.accept_cancel();
    server.request_stop();
    server.join();
    server_.send(canceled());
  });
  EXPECT_THROW(connection_.exec({.by = 10ms}, "select 1"), QueryTimeout);
  EXPECT_TRUE(connection_.is_open());
}

}  // namespace tidegate::pq_test
