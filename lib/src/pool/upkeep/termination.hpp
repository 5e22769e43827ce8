// Termination: ends a connection and waits until the server has ended its side, too.
#pragma once

#include <stop_token>

#include <tidegate/base/deadline.hpp>

#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

// PQfinish does not wait for the server process, which may run on for seconds. The pool gives the
// slot up only when the server has closed the socket (seen on the duplicate), or after kPatience:
// so there are never more server processes than slots, except abandoned ones, which are counted.
class Termination {
 public:
  static constexpr std::chrono::seconds kPatience{1};

  // Closes the connection at once, and does not wait. A server that has been silent for long is not
  // expected to answer: a shorter deadline will do then.
  Termination(std::uint32_t slot, PooledConnection& connection,
              Deadline deadline = Deadline(kPatience)) noexcept;

  std::uint32_t slot() const noexcept { return slot_; }
  int socket() const noexcept { return socket_; }  // wait for it to be readable
  Deadline deadline() const noexcept { return deadline_; }

  enum class Progress { pending, gone, abandoned };
  // Reads some of what the server still says; returns `gone` at the end. Never blocks.
  Progress step() const noexcept;

 private:
  std::uint32_t slot_;
  int socket_;  // the duplicate, which stays the slot's; -1: nothing to wait for
  Deadline deadline_;
};

// Terminates on the calling thread, which waits: at most for Termination::kPatience, and not after
// a stop. False: the server had not ended its side by then.
bool end_and_wait(PooledConnection& connection, const std::stop_token& stop) noexcept;

// Terminates on the calling thread, without a wait for the server: for a lease whose pool is gone.
void end_now(PooledConnection& connection) noexcept;

}  // namespace tidegate::detail
