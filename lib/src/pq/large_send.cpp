// Sending a statement of megabytes.
//
// In non-blocking mode libpq moves what the socket did not take to the front of its buffer, after
// each piece (pqSendSome in fe-misc.c). A Unix socket takes 200 KB at a time, so a parameter of 128
// MB was moved as a whole some 600 times: quadratic. In blocking mode libpq only steps forward.
//
// Where nothing limits the statement, libpq's blocking mode does that. A statement that has a
// deadline or may be stopped must not depend on a server that reads: then a thread of its own
// sends, on a socket that waits, and this thread keeps to the limits. libpq is the sender's until
// the sender ends.
//
//   this thread                               the sender
//   wait: sent? stopped? out of time?         libpq: send(), which waits
//   out of time: ask to cancel, wait on
//   drain_bound over: shutdown(SHUT_WR)  -->  send() fails
//   join                                 <--  done
#include "pq/large_send.hpp"

#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <tidegate/base/thread.hpp>

#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

// If the server writes to us before it reads on, we read after that time: libpq reads whenever a
// write has stopped short. No server does so in the middle of a message, except for what it says
// unasked.
constexpr std::chrono::seconds kReadAfter{1};

bool set_timeout(int fd, int which, timeval time) noexcept {
  return ::setsockopt(fd, SOL_SOCKET, which, &time, sizeof time) == 0;
}

// No thread where the system has none to give.
std::thread started(std::function<void()> body) noexcept {
  try {
    return detail::start_thread("tidegate-send", std::move(body));
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace

WaitingSocket::WaitingSocket(int fd) noexcept : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
  waits_ = flags_ >= 0 && set_timeout(fd, SO_RCVTIMEO, {.tv_sec = 0, .tv_usec = 1}) &&
           set_timeout(fd, SO_SNDTIMEO, {.tv_sec = kReadAfter.count(), .tv_usec = 0}) &&
           ::fcntl(fd, F_SETFL, flags_ & ~O_NONBLOCK) == 0;
}

WaitingSocket::~WaitingSocket() {
  if (flags_ < 0) return;
  ::fcntl(fd_, F_SETFL, flags_);
  set_timeout(fd_, SO_SNDTIMEO, {});
  set_timeout(fd_, SO_RCVTIMEO, {});
}

// Makes call(context), which calls one of libpq's PQsend...(). On return everything is sent, or the
// connection is lost, or the limits have struck.
bool Session::send_large(std::size_t bytes, SendCall call, void* context) {
  await_sent();  // what libpq still holds; its mode cannot be changed before
  if (sends_beside(bytes)) return send_beside(call, context);
  if (limits_.any() || PQsetnonblocking(native(), 0) != 0) return call(context);
  const bool accepted = call(context);
  PQflush(native());
  PQsetnonblocking(native(), 1);
  return accepted;
}

bool Session::send_beside(SendCall call, void* context) {
  // Our own descriptor, since libpq may close its socket at any time.
  const FileDescriptor socket(::fcntl(PQsocket(native()), F_DUPFD_CLOEXEC, 0));
  const FileDescriptor sent(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!socket || !sent) return call(context);
  bool accepted = false;
  // Made before anything is set that would have to be undone: it may find no memory.
  std::function<void()> body = [&] {
    accepted = call(context);
    while (PQflush(native()) == 1) {  // kReadAfter has passed
    }
    ::eventfd_write(sent.get(), 1);
  };
  limits_.send_on(socket.get());
  std::optional<WaitingSocket> waiting(std::in_place, socket.get());
  std::thread sender;
  if (*waiting) sender = started(std::move(body));
  if (!sender.joinable()) {
    limits_.send_on(-1);
    waiting.reset();
    return call(context);
  }
  await_sender(sent.get());
  sender.join();
  limits_.send_on(-1);
  if (limits_.given_up()) cut_off();
  return accepted;
}

// Waits until the sender is done. If the statement is given up, makes the sender end.
void Session::await_sender(int sent) noexcept {
  short seen = 0;
  for (;;) {
    keep_to_limits();
    if (limits_.given_up()) break;
    const Waited waited =
        wait_for(sent, POLLIN, limits_.watched_bell(), limits_.wait_until(), seen);
    if (waited == Waited::ready) return;
    if (waited == Waited::woken) strike(Limit::stop);
  }
  // Shuts down only our side: see give_up(). That wakes the sender, and its next write fails.
  ::shutdown(limits_.sending(), SHUT_WR);
  wait_for(sent, POLLIN, -1, Deadline::never(), seen);
}

}  // namespace tidegate::pq
