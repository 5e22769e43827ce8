// Cancel requests as libpq 17 and later send them; with an older one there is nothing to test.
#include <libpq-fe.h>

#ifdef LIBPQ_HAS_ASYNC_CANCEL

#include <poll.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>

#include "pq/cancel/cancel_call.hpp"
#include "pq/cancel/cancel_key.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {
namespace {

// As long as this lives the process gets no new descriptor.
class NoNewDescriptor {
 public:
  NoNewDescriptor() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoNewDescriptor() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoNewDescriptor(const NoNewDescriptor&) = delete;
  NoNewDescriptor& operator=(const NoNewDescriptor&) = delete;

 private:
  rlimit before_{};
};

class LibpqCancel : public testing::Test {
 protected:
  LibpqCancel() {
    const std::string conninfo =
        "host=127.0.0.1 user=a dbname=b sslmode=disable "
        "gssencmode=disable port=" +
        server_.port();
    session_.reset(PQconnectdb(conninfo.c_str()));
    EXPECT_EQ(PQstatus(session_.get()), CONNECTION_OK) << PQerrorMessage(session_.get());
    server_.await_answers();
    key_.request.reset(PQcancelCreate(session_.get()));
  }

  std::unique_ptr<pq::CancelCall> request() const { return pq::make_cancel_call({}, key_); }
  // Sends it, and waits for its end.
  static pq::CancelCall::Progress run(pq::CancelCall& request, bool only_send = false) {
    auto progress = request.step();
    while (!pq::CancelCall::over(progress)) {
      if (only_send && progress == pq::CancelCall::Progress::sent) break;
      pollfd ready{.fd = request.socket(), .events = request.events(), .revents = 0};
      const auto most = std::chrono::milliseconds(test::patience());
      if (::poll(&ready, 1, static_cast<int>(most.count())) != 1) break;
      progress = request.step();
    }
    return progress;
  }

  struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  ScriptedServer server_{{welcome()}};
  std::unique_ptr<PGconn, Finish> session_{};
  pq::CancelKey key_{};
};

TEST_F(LibpqCancel, ASessionIsCanceledAsOftenAsItIsAskedFor) {
  std::jthread server([&] {
    for (int i = 0; i < 3; ++i) server_.accept_cancel();
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run(*request()), pq::CancelCall::Progress::delivered);
  }
}

// libpq has one request for a session, which has to be reset before it is used again. Seen failing
// with one that was reset only where it had begun: no statement of that session was ever canceled
// again.
TEST_F(LibpqCancel, ARequestThatCouldNotBeginIsNoObstacleToTheNext) {
  {
    const NoNewDescriptor none;
    EXPECT_EQ(run(*request()), pq::CancelCall::Progress::not_sent);
  }
  std::jthread server([&] { server_.accept_cancel(); });
  EXPECT_EQ(run(*request()), pq::CancelCall::Progress::delivered);
}

// One whose end is not awaited is none, either.
TEST_F(LibpqCancel, ARequestThatIsGivenUpIsNoObstacleToTheNext) {
  {
    const auto given_up = request();
    EXPECT_EQ(run(*given_up, true), pq::CancelCall::Progress::sent);
  }
  std::jthread server([&] {
    for (int i = 0; i < 2; ++i) server_.accept_cancel();
  });
  EXPECT_EQ(run(*request()), pq::CancelCall::Progress::delivered);
}

}  // namespace
}  // namespace tidegate::pq_test

#endif
