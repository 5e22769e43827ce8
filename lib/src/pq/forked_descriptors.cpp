#include "pq/forked_descriptors.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace tidegate::pq {
namespace {

bool replace(int fd, int by) noexcept {
  const bool done = ::dup3(by, fd, O_CLOEXEC) >= 0;
  ::close(by);
  return done;
}

}  // namespace

bool cut_off_socket(int fd) noexcept {
  std::array<int, 2> ends{};
  if (fd < 0 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return false;
  ::close(ends[1]);
  return replace(fd, ends[0]);
}

void cut_off_eventfd(int fd) noexcept {
  if (fd < 0) return;
  const int fresh = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fresh >= 0) replace(fd, fresh);
}

}  // namespace tidegate::pq
