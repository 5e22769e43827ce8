// A cancel request may use its session's key for as long as it lives (libpq's request of 17 and
// later does, in its last moment, too); the session may end while the request is on its way.
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "pq/cancel/canceller.hpp"

namespace tidegate::pq_test {
namespace {

using Way = pq::CancelCall::Progress;

// One request: rung by the test when the server has taken it.
struct WatchedRequest {
  pq::FileDescriptor bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::weak_ptr<pq::CancelTarget> target{};
  std::atomic<bool> sent{false};
  std::atomic<bool> ended{false};
  std::atomic<bool> outlived_its_target{false};
};

class WatchedCall final : public pq::CancelCall {
 public:
  explicit WatchedCall(WatchedRequest& request) : request_(request) {}
  ~WatchedCall() override {
    request_.outlived_its_target = request_.target.expired();
    request_.ended = true;
  }
  Way step() noexcept override {
    if (!request_.sent.exchange(true)) return Way::sent;
    eventfd_t rings = 0;
    return ::eventfd_read(request_.bell.get(), &rings) == 0 ? Way::delivered : Way::sent;
  }
  bool may_send() const noexcept override { return !request_.sent; }
  int socket() const noexcept override { return request_.sent ? request_.bell.get() : -1; }
  short events() const noexcept override { return POLLIN; }

 private:
  WatchedRequest& request_;
};

// The list of those on their way moves up when one has ended. Seen failing with a list that drops
// the key of that one before it drops the request.
TEST(CancellerLifetime, ARequestEndsBeforeTheKeyOfASessionThatHasEndedMeanwhile) {
  std::array<WatchedRequest, 3> requests;
  const auto books = std::make_shared<pq::CancelBooks>(1000);
  std::array<std::shared_ptr<pq::CancelTarget>, 3> targets;
  {
    pq::Canceller canceller([&](const pq::CancelTarget& target) {
      for (WatchedRequest& request : requests) {
        if (request.target.lock().get() == &target) return std::make_unique<WatchedCall>(request);
      }
      throw std::bad_alloc();
    });
    for (std::size_t i = 0; i < requests.size(); ++i) {
      targets[i] = std::make_shared<pq::CancelTarget>(pq::CancelServer::at(books, "somewhere"),
                                                      pq::CancelKey{}, false);
      requests[i].target = targets[i];
      targets[i]->begin_statement();
      ASSERT_EQ(canceller.request(targets[i]), pq::Canceller::Asked::accepted);
      test::await("the request to be sent", [&] { return requests[i].sent.load(); });
    }
    // Those sessions end; then, from the first to the last, the requests.
    for (std::size_t i = 0; i < requests.size(); ++i) {
      targets[i].reset();
      ASSERT_FALSE(requests[i].target.expired()) << "its request is on its way";
      ::eventfd_write(requests[i].bell.get(), 1);
      test::await("the request to end", [&] { return requests[i].ended.load(); });
    }
  }
  for (const WatchedRequest& request : requests) {
    EXPECT_FALSE(request.outlived_its_target);
    EXPECT_TRUE(request.target.expired());
  }
}

}  // namespace
}  // namespace tidegate::pq_test
