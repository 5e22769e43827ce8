// SessionReset: brings a connection that a lease left dirty back to idle, without ever waiting.
#pragma once

#include <chrono>
#include <cstdint>

#include <tidegate/pq/connection.hpp>

namespace tidegate::pq {

// The reset cancels what is under way and reads it to its end (it ends COPY and pipeline mode). It
// waits for cancel requests and absorbs them with an empty round trip, rolls back an open or failed
// transaction, and keeps some quiet where a request may arrive later than it seems
// (Session::cancel_quiet). Then, as ordered, one round trip must report the session idle, and
// DISCARD ALL must succeed. A server that may have become a standby, or read-only, is asked.
class SessionReset {
 public:
  struct Order {
    bool verify = true;
    bool discard_all = false;
  };
  enum class Result {
    pending,  // the server has more to say; step() again when socket() is ready for events()
    clean,    // idle, as the library keeps it, and fit for the next lease
    failed,   // not to be used again
    demoted,  // the server is a standby by now, or takes no writes; not to be used again
    stray,    // a cancel request may still strike at any time; not to be used again
  };

  explicit SessionReset(Order order) noexcept : order_(order) {}

  // Does what can be done without waiting. Needs: the same connection each time, and nobody else
  // uses it.
  Result step(Connection& connection) noexcept;
  // For poll(2). 0: the reset does not wait for the server; call step() again in a while.
  short events() const noexcept { return events_; }
  // How long to wait before end_quiet(), if the reset waits for nothing but time. 0: it does not.
  std::chrono::milliseconds quiet(Connection& connection) const noexcept;
  void end_quiet() noexcept { quiet_ = Quiet::over; }

 private:
  enum class Step : unsigned char {
    begin,
    drain,
    absorb,
    roll_back,
    ask_peer,
    quiet,
    settle,
    verify,
    discard,
    ask_role
  };
  enum class Drained : unsigned char { pending, done, dead };

  bool begin(Session& session) noexcept;
  Drained drain(Session& session) noexcept;
  Drained drain_copy_out(Session& session) noexcept;
  Result next(Session& session) noexcept;
  Result await_cancels(Session& session) noexcept;
  Result settle_cancels(Session& session) noexcept;
  Result send(Session& session, Step step, const char* sql) noexcept;
  void ask_to_cancel(Session& session) noexcept;

  Order order_;
  Step step_ = Step::begin;
  short events_ = 0;
  enum class Quiet : unsigned char { none, now, over };
  // Bits: a pool makes room for one of these for each connection (E7).
  Quiet quiet_ : 2 = Quiet::none;
  bool copying_out_ : 1 = false;
  bool asked_to_cancel_ : 1 = false;  // what native_handle() left running
  // About the command under way.
  bool refused_ : 1 = false;
  bool says_yes_ : 1 = false;
  std::uint16_t said_ = 0;  // the only value of its result
};

}  // namespace tidegate::pq
