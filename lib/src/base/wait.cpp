#include "base/wait.hpp"

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/fiber.hpp"

namespace tidegate::detail {
namespace {

timespec to_timespec(Deadline::Clock::duration left) noexcept {
  const auto whole = std::chrono::floor<std::chrono::seconds>(left);
  return {.tv_sec = static_cast<std::time_t>(whole.count()),
          .tv_nsec = static_cast<long>(std::chrono::nanoseconds(left - whole).count())};
}

}  // namespace

Waited wait_for(int fd, short events, int wake_fd, Deadline deadline, short& seen) noexcept {
  if (Fiber* const fiber = Fiber::current()) [[unlikely]] {
    return fiber->await({fd, events, wake_fd, deadline}, seen);
  }
  // poll(2) ignores a negative descriptor.
  pollfd fds[] = {{.fd = fd, .events = events, .revents = 0},
                  {.fd = wake_fd, .events = POLLIN, .revents = 0}};
  const nfds_t count = wake_fd < 0 ? 1 : 2;
  for (;;) {
    timespec left{};
    if (!deadline.is_never()) left = to_timespec(deadline.remaining());
    const int n = ::ppoll(fds, count, deadline.is_never() ? nullptr : &left, nullptr);
    seen = fds[0].revents;
    if (n < 0) {
      if (errno == EINTR) continue;
      seen = POLLERR;
      return Waited::ready;
    }
    if (fds[1].revents != 0) return Waited::woken;
    if (seen != 0) return Waited::ready;
    if (deadline.passed()) return Waited::timed_out;
  }
}

}  // namespace tidegate::detail
