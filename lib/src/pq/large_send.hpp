// Statements of megabytes: which ones are large, and a socket that waits.
#pragma once

#include <cstddef>

namespace tidegate::pq {

// From this size on libpq sends a statement in blocking mode, if the statement may wait for ever.
// The socket takes most of a smaller statement at once.
inline constexpr std::size_t kLargeStatement = std::size_t{512} * 1024;
// From this size on a statement that may not wait for ever gets a sending thread.
inline constexpr std::size_t kWorthAThread = std::size_t{2} * 1024 * 1024;

// Makes writes to a socket wait until all is written, for a scope; a read that finds nothing waits
// for a few milliseconds. This affects every descriptor of the socket.
//
// A write that waits ends when the socket is shut down, also for writing only, whatever the other
// side does. A poll() for room to write does not end then, on a Unix socket.
class WaitingSocket {
 public:
  explicit WaitingSocket(int fd) noexcept;
  ~WaitingSocket();
  WaitingSocket(const WaitingSocket&) = delete;
  WaitingSocket& operator=(const WaitingSocket&) = delete;

  // False: writes do not wait, because the system has refused.
  explicit operator bool() const noexcept { return waits_; }

 private:
  const int fd_;
  int flags_;
  bool waits_ = false;
};

}  // namespace tidegate::pq
