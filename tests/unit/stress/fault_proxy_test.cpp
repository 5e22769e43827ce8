// The fault proxy of the stress programs, between plain sockets and a server that echoes: each
// fault does what its name says, and the count of connections is exact, for it is what others are
// held against.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/file_descriptor.hpp>

#include "support/proxy.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;
using detail::FileDescriptor;
using Clock = std::chrono::steady_clock;

// Sends back what it gets; hangs up when it has got a '!'.
class EchoServer {
 public:
  EchoServer() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = std::to_string(ntohs(address.sin_port));
    thread_ = std::jthread([this] { serve(); });
  }
  ~EchoServer() { ::shutdown(listener_.get(), SHUT_RDWR); }
  const std::string& port() const { return port_; }

 private:
  void serve() {
    std::vector<std::jthread> clients;
    for (;;) {
      FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      clients.emplace_back([fd = std::move(client)] {
        char bytes[4096];
        for (ssize_t n; (n = ::recv(fd.get(), bytes, sizeof bytes, 0)) > 0;) {
          ::send(fd.get(), bytes, static_cast<std::size_t>(n), MSG_NOSIGNAL);
          if (std::memchr(bytes, '!', static_cast<std::size_t>(n)) != nullptr) return;
        }
      });
    }
  }

  FileDescriptor listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string port_;
  std::jthread thread_;
};

class Client {
 public:
  enum class Over { tcp, unix_socket };
  explicit Client(const Proxy& proxy, Over over = Over::tcp)
      : fd_(::socket(over == Over::tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (over == Over::tcp) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(proxy.port())));
      connect(&address, sizeof address);
    } else {
      std::string path = proxy.unix_host() + "/.s.PGSQL." + proxy.port();
      path[0] = '\0';
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path.copy(address.sun_path, path.size());
      connect(&address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size()));
    }
  }

  int refused_with() const { return error_; }
  void send(const std::string& bytes) {
    ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // That much, or what came until the end.
  std::string receive(std::size_t size) {
    std::string bytes;
    char byte = 0;
    while (bytes.size() < size && ::recv(fd_.get(), &byte, 1, 0) == 1) bytes += byte;
    return bytes;
  }
  // 0: hung up; ECONNRESET: reset.
  int end() {
    char byte = 0;
    const ssize_t n = ::recv(fd_.get(), &byte, 1, 0);
    return n > 0 ? -1 : n == 0 ? 0 : errno;
  }
  bool hears_something_in(std::chrono::milliseconds time) {
    pollfd look{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&look, 1, static_cast<int>(time.count())) == 1;
  }

 private:
  template <class Address>
  void connect(Address* address, socklen_t size) {
    error_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(address), size) == 0 ? 0 : errno;
  }

  FileDescriptor fd_;
  int error_ = 0;
};

bool eventually(const auto& holds) {
  for (const Deadline give_up(30s); !holds(); std::this_thread::yield()) {
    if (give_up.passed()) return false;
  }
  return true;
}

// A client whose connection has gone through, both ways.
struct Connected : Client {
  explicit Connected(const Proxy& proxy) : Client(proxy) {
    send("greeting");
    EXPECT_EQ(receive(8), "greeting");
  }
};

const std::string kSslRequest("\0\0\0\x08\x04\xd2\x16\x2f", 8);
const std::string kCancelRequest("\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\0\0\0\x01", 16);

class FaultProxy : public testing::Test {
 protected:
  EchoServer server_;
  Proxy proxy_{"127.0.0.1", server_.port()};
};

TEST_F(FaultProxy, PassesEverythingOverTcpAndUnixSockets) {
  std::string much(300'000, 'x');
  for (const auto over : {Client::Over::tcp, Client::Over::unix_socket}) {
    Client client(proxy_, over);
    std::jthread sender([&] { client.send(much); });
    EXPECT_EQ(client.receive(much.size()), much);
  }
}

TEST_F(FaultProxy, CountsConnectionsWhileTheyLiveAndTheMostThereWere) {
  {
    Connected one(proxy_);
    Connected two(proxy_);
    EXPECT_EQ(proxy_.live(), 2u);
  }
  EXPECT_TRUE(eventually([&] { return proxy_.live() == 0; }));
  Connected three(proxy_);
  EXPECT_EQ(proxy_.live(), 1u);
  EXPECT_EQ(proxy_.high_water(), 2u);
  EXPECT_EQ(proxy_.dialled(), 3u);
  proxy_.forget_high_water();
  EXPECT_EQ(proxy_.high_water(), 1u);
}

// What makes the count an oracle: who hears that the server has ended may connect at once.
TEST_F(FaultProxy, AnEndIsCountedBeforeTheClientHearsOfIt) {
  for (int i = 0; i < 200; ++i) {
    Client client(proxy_);
    client.send("goodbye!");
    EXPECT_EQ(client.receive(8), "goodbye!");
    ASSERT_EQ(client.end(), 0);
    ASSERT_EQ(proxy_.live(), 0u);
  }
  EXPECT_EQ(proxy_.high_water(), 1u);
}

TEST_F(FaultProxy, CountsCancelRequestsApart) {
  Connected session(proxy_);
  Client cancel(proxy_);
  cancel.send(kCancelRequest);
  EXPECT_EQ(cancel.receive(kCancelRequest.size()), kCancelRequest);
  EXPECT_EQ(proxy_.live(), 1u);
  EXPECT_EQ(proxy_.high_water(), 1u);
  EXPECT_EQ(proxy_.live_cancels(), 1u);
  EXPECT_EQ(proxy_.cancels(), 1u);
}

TEST_F(FaultProxy, CancelRequestsMayBeDelayedAlone) {
  proxy_.delay_cancels(50ms);
  Connected session(proxy_);
  const auto began = Clock::now();
  Client cancel(proxy_);
  cancel.send(kCancelRequest);
  session.send("at once");
  EXPECT_EQ(session.receive(7), "at once");
  EXPECT_EQ(cancel.receive(kCancelRequest.size()), kCancelRequest);
  EXPECT_GE(Clock::now() - began, 50ms);
}

TEST_F(FaultProxy, LatencyDelaysEveryByte) {
  Connected client(proxy_);
  proxy_.set(Direction::to_server, {.latency = 40ms});
  proxy_.set(Direction::to_client, {.latency = 20ms});
  const auto began = Clock::now();
  client.send("late");
  EXPECT_EQ(client.receive(4), "late");
  EXPECT_GE(Clock::now() - began, 60ms);
}

TEST_F(FaultProxy, ABlackHoleSaysNothingAndLosesNothing) {
  for (const auto direction : {Direction::to_server, Direction::to_client}) {
    Connected client(proxy_);
    proxy_.set(direction, {.black_hole = true});
    client.send("abc!");
    EXPECT_FALSE(client.hears_something_in(50ms));
    proxy_.heal();
    EXPECT_EQ(client.receive(4), "abc!");
    EXPECT_EQ(client.end(), 0);
  }
}

// Seen failing: with a hole that lets the rest of what came along through.
TEST_F(FaultProxy, ABlackHoleMayBeginAfterNBytes) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.hole_after = 5});
  client.send("0123456789!");
  EXPECT_EQ(client.receive(5), "01234");
  EXPECT_FALSE(client.hears_something_in(50ms));
  proxy_.heal();
  EXPECT_EQ(client.receive(6), "56789!");
  EXPECT_EQ(client.end(), 0);
}

TEST_F(FaultProxy, AServerThatEndsInABlackHoleIsNotCountedAnyMore) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.black_hole = true});
  client.send("goodbye!");
  EXPECT_TRUE(eventually([&] { return proxy_.live() == 0; }));
  proxy_.heal();
  EXPECT_EQ(client.receive(8), "goodbye!");
  EXPECT_EQ(client.end(), 0);
}

TEST_F(FaultProxy, WhoLeftDuringABlackHoleIsNotDialledFor) {
  proxy_.set({.black_hole = true});
  {
    Client impatient(proxy_);
    impatient.send("greeting");
  }
  EXPECT_TRUE(eventually([&] { return proxy_.accepted() == 1; }));
  proxy_.heal();
  Connected next(proxy_);
  EXPECT_EQ(proxy_.dialled(), 1u);
}

TEST_F(FaultProxy, ResetIsSeenAsAReset) {
  Connected client(proxy_);
  proxy_.reset_all();
  EXPECT_EQ(proxy_.live(), 0u);
  EXPECT_EQ(client.end(), ECONNRESET);
}

TEST_F(FaultProxy, FinishIsSeenAsAnEnd) {
  Connected client(proxy_);
  proxy_.finish_all();
  EXPECT_EQ(proxy_.live(), 0u);
  EXPECT_EQ(client.end(), 0);
}

TEST_F(FaultProxy, ASlowCloseDelaysTheEndAndNotTheBytes) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.close_delay = 60ms});
  const auto began = Clock::now();
  client.send("last words!");
  EXPECT_EQ(client.receive(11), "last words!");
  EXPECT_TRUE(eventually([&] { return proxy_.live() == 0; })) << "before the client knows";
  EXPECT_EQ(client.end(), 0);
  EXPECT_GE(Clock::now() - began, 60ms);
}

TEST_F(FaultProxy, SlicesComeInPiecesOfTheirOwn) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.slice = 3});
  const std::uint64_t before = proxy_.pieces();
  client.send("abcdefghijklmnopqrst");
  EXPECT_EQ(client.receive(20), "abcdefghijklmnopqrst");
  EXPECT_TRUE(eventually([&] { return proxy_.pieces() - before >= 1u + 7u; })) << "counted then";
}

TEST_F(FaultProxy, CutAfterNBytesGivesNBytesAndEndsBothSides) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.cut_after = 5});
  client.send("0123456789");
  EXPECT_EQ(client.receive(10), "01234");
  EXPECT_EQ(proxy_.live(), 0u);
}

TEST_F(FaultProxy, CutAfterNoByteAtAllEndsAtOnce) {
  Connected client(proxy_);
  proxy_.set(Direction::to_server, {.cut_after = 0});
  EXPECT_EQ(client.end(), 0);
}

TEST_F(FaultProxy, RefuseIsWhatTheSystemSaysWhereNobodyListens) {
  Connected before(proxy_);
  proxy_.refuse();
  for (const auto over : {Client::Over::tcp, Client::Over::unix_socket}) {
    EXPECT_EQ(Client(proxy_, over).refused_with(), ECONNREFUSED);
  }
  before.send("still");
  EXPECT_EQ(before.receive(5), "still");
  proxy_.refuse(false);
  for (const auto over : {Client::Over::tcp, Client::Over::unix_socket}) {
    EXPECT_EQ(Client(proxy_, over).refused_with(), 0);
  }
}

TEST_F(FaultProxy, BandwidthBoundsHowFastBytesFlow) {
  Connected client(proxy_);
  proxy_.set(Direction::to_client, {.bandwidth = 10'000});
  const auto began = Clock::now();
  client.send(std::string(1500, 'x'));
  EXPECT_EQ(client.receive(1500).size(), 1500u);
  EXPECT_GE(Clock::now() - began, 100ms)
      << "two pieces of 500 bytes have to be over before the third";
}

TEST_F(FaultProxy, AnAnswerIsGivenInTheServersPlace) {
  const std::string refusal = error_response("53300", "sorry, too many clients already");
  proxy_.answer(refusal);
  Client client(proxy_);
  client.send(kSslRequest);
  EXPECT_EQ(client.receive(1), "N") << "as a server that does not encrypt";
  client.send("greeting");
  EXPECT_EQ(client.receive(refusal.size()), refusal);
  EXPECT_EQ(client.end(), 0);
  EXPECT_EQ(proxy_.dialled(), 0u);
  proxy_.heal();
  Connected next(proxy_);
}

}  // namespace
}  // namespace tidegate::stress
