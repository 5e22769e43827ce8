// Statements of megabytes: what is large, and a socket that waits.
#pragma once

#include <cstddef>

namespace tidegate::pq {

// From here on a statement is sent by a libpq that waits, where it may wait for ever. Below, a
// socket takes most of it at once.
inline constexpr std::size_t kLargeStatement = std::size_t{512} * 1024;
// And from here on also where it may not: that takes a thread.
inline constexpr std::size_t kWorthAThread = std::size_t{2} * 1024 * 1024;

// A socket on which a write waits until all is written, for a scope; a read that finds nothing
// waits for a few milliseconds. It concerns every descriptor of the socket.
//
// A write that waits ends when the socket is shut down, also for writing only, whatever the other
// side does. A poll() for room to write does not, on a Unix socket.
class WaitingSocket {
 public:
  explicit WaitingSocket(int fd) noexcept;
  ~WaitingSocket();
  WaitingSocket(const WaitingSocket&) = delete;
  WaitingSocket& operator=(const WaitingSocket&) = delete;

  // False: it does not wait, the system has refused.
  explicit operator bool() const noexcept { return waits_; }

 private:
  const int fd_;
  int flags_;
  bool waits_ = false;
};

}  // namespace tidegate::pq
