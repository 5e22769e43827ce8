// Termination: what a server that goes on talking may cost maintenance.
#include "pool/upkeep/termination.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

// A connection that is closed already, but for a duplicate whose other end the test has.
class TerminationOfATalker : public testing::Test {
 protected:
  TerminationOfATalker() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    connection_.duplicate = pq::FileDescriptor(ends[0]);
    server_ = pq::FileDescriptor(ends[1]);
  }

  // As much as there is room for.
  void talk() {
    const std::string bytes(std::size_t{16} * 1024, 'x');
    while (::send(server_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }
  int unread() const {
    int size = 0;
    EXPECT_EQ(::ioctl(connection_.duplicate.get(), FIONREAD, &size), 0);
    return size;
  }

  PooledConnection connection_{};
  pq::FileDescriptor server_{};
};

// Seen failing with a step that reads as long as data comes.
TEST_F(TerminationOfATalker, ReadsABoundedPartAtATime) {
  const Termination termination(0, connection_);
  talk();
  const int before = unread();
  EXPECT_EQ(termination.step(), Termination::Progress::pending);
  EXPECT_LT(unread(), before);
  EXPECT_GT(unread(), 0) << "of " << before;
}

TEST_F(TerminationOfATalker, IsAbandonedThoughThereIsMoreToRead) {
  const Termination termination(0, connection_);
  auto progress = Termination::Progress::pending;
  while (progress == Termination::Progress::pending) {
    talk();
    progress = termination.step();
    std::this_thread::yield();
  }
  EXPECT_EQ(progress, Termination::Progress::abandoned);
  EXPECT_GT(unread(), 0) << "it was not read to the end first";
}

TEST_F(TerminationOfATalker, EndsWhenAllIsReadToTheEnd) {
  const Termination termination(0, connection_);
  talk();
  server_.reset();
  auto progress = termination.step();
  while (progress == Termination::Progress::pending) progress = termination.step();
  EXPECT_EQ(progress, Termination::Progress::gone);
}

}  // namespace
}  // namespace tidegate::detail
