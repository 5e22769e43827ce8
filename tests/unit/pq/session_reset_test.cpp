// What a reset does with a server that does not let it go on.
#include <libpq-fe.h>
#include <poll.h>

#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "pq/pool_access.hpp"
#include "pq/session_reset.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using pq::SessionReset;

// Whoever steps the reset has others to look after. Seen failing with a step that goes on for as
// long as there is something to read: here, until the server has hung up.
TEST(SessionResetOfAScript, AStepEndsThoughTheServerNeverStopsTalking) {
  ScriptedServer server({welcome()});
  pq::ConnectOutcome outcome = server.connect();
  std::string notices = report('N', "NOTICE", "00000", "on and on");
  while (notices.size() < 60'000) notices += notices;
  std::jthread talking([&](const std::stop_token& stop) {
    server.receive_message();
    server.stream(notices, stop);
  });
  ASSERT_EQ(PQsendQuery(outcome.connection.native_handle(), "select 1"), 1);
  SessionReset reset({});
  for (int step = 0; step < 10; ++step) {
    pollfd more{.fd = pq::PoolAccess(outcome.connection).socket(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&more, 1, static_cast<int>(test::patience().count()) * 1000), 1);
    ASSERT_EQ(reset.step(outcome.connection), SessionReset::Result::pending);
  }
  outcome.connection.close();
  outcome.duplicate.reset();
}

}  // namespace tidegate::pq_test
