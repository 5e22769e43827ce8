// Laundry: what it asks poll(2) to wait for.
#include "pool/laundry.hpp"

#include <poll.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tidegate/pq/errors.hpp>

#include "unit/pq/scripted_server.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;
using pq::CancelTrace;
using pq::Wash;

struct Unref {
  void operator()(PoolCore* core) const noexcept { core->unref(); }
};

// One connection to a server that says what the test tells it to, in a core without a pool.
class LaundryOfOne : public testing::Test {
 protected:
  LaundryOfOne() {
    config_.max_size = 1;
    config_.ping_timeout = 1h;
    core_.reset(PoolCore::make({.max_size = 1, .gates = 1, .max_opening = 1}, {.max_threads = 1},
                               {.create = [this](const std::stop_token&, Deadline) {
                                 return Expected<PooledConnection>(connect());
                               }}));
    EXPECT_TRUE(core_->create_here({}, test::patience()));
    // Idle in its dock, or in the queue.
    EXPECT_TRUE(core_->slots().try_check_docked(0) || core_->slots().try_check(0));
  }
  ~LaundryOfOne() override {
    core_->slots().close();
    core_->openers().stop();
    core_->slots().retire_checked(0);
    while (const auto slot = core_->slots().take_to_retire()) core_->finish(*slot);
    core_->slots().abandon();
  }

  PooledConnection connect() {
    pq::ConnectOutcome outcome = server_.connect();
    return {.connection = std::move(outcome.connection),
            .duplicate = std::move(outcome.duplicate),
            .rules = std::make_shared<const ReleaseRules>()};
  }
  Connection& connection() { return core_->resource(0).connection; }

  // A statement is canceled at its deadline, and its request is left open.
  pq::FileDescriptor cancel_one() {
    pq::FileDescriptor request;
    std::jthread server([&] {
      server_.receive_message();
      request = server_.accept_cancel();
      server_.send(pq_test::canceled());
    });
    EXPECT_THROW(connection().exec({.by = 10ms}, "set x = 1"), QueryTimeout);
    server.join();
    return request;
  }

  pq_test::ScriptedServer server_{{pq_test::welcome()}};
  PoolConfig config_{};
  std::unique_ptr<PoolCore, Unref> core_{};
};

// The session ends while the laundry waits for the cancel request to end. poll() tells of that at
// every turn, whatever it is asked for: maintenance took a whole core until the ping_timeout. Seen
// failing with a laundry that has the socket polled all the same.
TEST_F(LaundryOfOne, ASessionThatEndsWhileACancelIsAwaitedWakesNobody) {
  pq::FileDescriptor request = cancel_one();
  ASSERT_EQ(connection().cancel_trace(), CancelTrace::pending);
  Laundry laundry(config_, *core_);
  laundry.take(0);
  const auto ended = [](std::uint32_t, Wash::Result) { FAIL() << "the cancel is under way"; };
  laundry.step(ended);
  server_.reset();
  pollfd closed{.fd = connection().socket(), .events = 0, .revents = 0};
  ASSERT_EQ(::poll(&closed, 1, static_cast<int>(test::patience().count()) * 1000), 1);
  std::vector<pollfd> polled;
  laundry.add_polled(polled);
  EXPECT_EQ(::poll(polled.data(), polled.size(), 0), 0) << "it would never sleep";
  laundry.step(ended);
  // When the request has ended, so does the wash.
  request.reset();
  test::await("the end of the request",
              [&] { return connection().cancel_trace() != CancelTrace::pending; });
  Wash::Result result = Wash::Result::pending;
  test::await("the end of the wash", [&] {
    laundry.step([&](std::uint32_t, Wash::Result how) { result = how; });
    return result != Wash::Result::pending;
  });
  EXPECT_EQ(result, Wash::Result::failed);
}

}  // namespace
}  // namespace tidegate::detail
