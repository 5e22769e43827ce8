// CancelCall: one cancel request on its way to the server. It never waits, so one thread can handle
// many.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace tidegate::pq {

struct CancelKey;

class CancelCall {
 public:
  enum class Progress : std::uint8_t {
    connecting,  // nothing was sent
    sent,        // the server has not closed the connection yet
    // ended:
    delivered,  // the server has taken it and closed the connection
    not_sent,   // nothing can strike any more
    doubtful,   // it was sent, and its connection ended in another way
  };
  static bool over(Progress progress) noexcept { return progress > Progress::sent; }

  CancelCall() = default;
  CancelCall(const CancelCall&) = delete;
  CancelCall& operator=(const CancelCall&) = delete;
  virtual ~CancelCall() = default;  // closes the connection

  // Does what can be done without waiting. Not to be called after the end.
  virtual Progress step() noexcept = 0;
  // The next step() may send it.
  virtual bool may_send() const noexcept = 0;
  // For poll(2): call step() again when it is ready. -1: there is nothing to wait for; in a while.
  virtual int socket() const noexcept = 0;
  virtual short events() const noexcept = 0;
};

// Makes a call, not begun yet. `address` (a sockaddr) and `key` outlive it. Throws: std::bad_alloc.
std::unique_ptr<CancelCall> make_cancel_call(const std::string& address, const CancelKey& key);

}  // namespace tidegate::pq
