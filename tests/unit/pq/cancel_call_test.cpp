// One cancel request, against servers that take it, do not take it, or do worse.
#include "pq/cancel/cancel_call.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "pq/cancel/cancel_key.hpp"

namespace tidegate::pq_test {
namespace {

using pq::CancelCall;
using pq::FileDescriptor;
using Progress = CancelCall::Progress;

std::string bytes_of(const void* address, std::size_t size) {
  return {static_cast<const char*>(address), size};
}

// Listens, over TCP or on a Unix socket of the abstract namespace, and accepts when it is told to.
class Listener {
 public:
  explicit Listener(int family) {
    socket_ = FileDescriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = sizeof(sa_family_t);  // Unix: the system chooses a name
    if (family == AF_INET) {
      reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size = sizeof(sockaddr_in);
    }
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_.get(), any, size), 0);
    EXPECT_EQ(::listen(socket_.get(), 1), 0);
    size = sizeof address;
    EXPECT_EQ(::getsockname(socket_.get(), any, &size), 0);
    address_ = bytes_of(&address, size);
  }

  const std::string& address() const { return address_; }
  FileDescriptor accept() { return FileDescriptor(::accept(socket_.get(), nullptr, nullptr)); }
  void stop_listening() { socket_.reset(); }
  // From here on nobody is let in any more.
  void fill_up() {
    for (;;) {
      FileDescriptor one(
          ::socket(address_of()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const int done = ::connect(one.get(), address_of(), static_cast<socklen_t>(address_.size()));
      pollfd room{.fd = one.get(), .events = POLLOUT, .revents = 0};
      const bool in = done == 0 || (errno == EINPROGRESS && ::poll(&room, 1, 100) == 1);
      if (!in) return;
      crowd_.push_back(std::move(one));
      ASSERT_LT(crowd_.size(), 100u);
    }
  }
  void let_in() {
    for (std::size_t i = 0; i < crowd_.size(); ++i) accept();
    crowd_.clear();
  }

 private:
  const sockaddr* address_of() const { return reinterpret_cast<const sockaddr*>(address_.data()); }

  FileDescriptor socket_;
  std::string address_;
  std::vector<FileDescriptor> crowd_;
};

class CancelCallTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<CancelCall> call() { return pq::make_cancel_call(listener_.address(), key_); }
  // Until it is no longer `at`.
  static Progress go_on(CancelCall& call, Progress at) {
    const Deadline end = test::patience();
    Progress progress = at;
    while (progress == at && !end.passed()) {
      pollfd ready{.fd = call.socket(), .events = call.events(), .revents = 0};
      ::poll(&ready, 1, 10);
      progress = call.step();
    }
    return progress;
  }
  static std::string read(const FileDescriptor& peer) {
    std::string bytes(16, '\0');
    EXPECT_EQ(::recv(peer.get(), bytes.data(), bytes.size(), MSG_WAITALL), 16);
    return bytes;
  }

  Listener listener_{GetParam()};
  pq::CancelKey key_{.pid = 4711, .secret = -2, .known = true};
};

INSTANTIATE_TEST_SUITE_P(Over, CancelCallTest, testing::Values(AF_INET, AF_UNIX),
                         [](const auto& family) {
                           return std::string(family.param == AF_INET ? "tcp" : "unix");
                         });

TEST_P(CancelCallTest, SaysSixteenBytesAndIsDeliveredWhenTheServerHangsUp) {
  const auto call = this->call();
  ASSERT_EQ(go_on(*call, Progress::connecting), Progress::sent);
  FileDescriptor peer = listener_.accept();
  EXPECT_EQ(read(peer), std::string("\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\xff\xff\xff\xfe", 16));
  EXPECT_EQ(call->step(), Progress::sent) << "nobody has answered";
  peer.reset();
  EXPECT_EQ(go_on(*call, Progress::sent), Progress::delivered);
}

TEST_P(CancelCallTest, IsNotSentWhereNobodyListens) {
  listener_.stop_listening();
  const auto call = this->call();
  EXPECT_EQ(go_on(*call, Progress::connecting), Progress::not_sent);
}

TEST_P(CancelCallTest, IsNotSentWithoutAKeyOrAnAddress) {
  const std::string nowhere;
  EXPECT_EQ(pq::make_cancel_call(nowhere, key_)->step(), Progress::not_sent);
  key_.known = false;
  EXPECT_EQ(call()->step(), Progress::not_sent);
}

// Too many wait to be accepted: over TCP the connect goes on for as long as that lasts, on a Unix
// socket it is refused, to be made again. Seen failing with one that is not made again.
TEST_P(CancelCallTest, IsNotSentBeforeAServerThatIsCrowdedLetsItIn) {
  listener_.fill_up();
  const auto call = this->call();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(call->step(), Progress::connecting);
    ASSERT_FALSE(call->may_send());
    pollfd ready{.fd = call->socket(), .events = call->events(), .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 1), 0);
    if (call->socket() >= 0) break;  // the system makes it again
  }
  listener_.let_in();
  EXPECT_EQ(go_on(*call, Progress::connecting), Progress::sent);
}

// libpq took each of these for a delivery. A pooler resets the connection after it has passed the
// request on; a server does when it ends without having read it.
TEST_P(CancelCallTest, IsDoubtfulAfterAnyOtherEnd) {
  {
    const auto call = this->call();
    ASSERT_EQ(go_on(*call, Progress::connecting), Progress::sent);
    FileDescriptor peer = listener_.accept();
    ASSERT_EQ(::send(peer.get(), "E", 1, 0), 1);
    EXPECT_EQ(go_on(*call, Progress::sent), Progress::doubtful);
  }
  {
    const auto call = this->call();
    ASSERT_EQ(go_on(*call, Progress::connecting), Progress::sent);
    FileDescriptor peer = listener_.accept();
    peer.reset();  // with the request unread, which resets it
    EXPECT_EQ(go_on(*call, Progress::sent), Progress::doubtful);
  }
}

}  // namespace
}  // namespace tidegate::pq_test
