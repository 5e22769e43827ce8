// SessionMonitor: a session as every thread but its own sees it.
#pragma once

#include <memory>

#include <tidegate/base/export.hpp>
#include <tidegate/pq/activity.hpp>
#include <tidegate/pq/session_state.hpp>

namespace tidegate::pq {

struct SharedSession;

// Copyable; default-constructed: of no session. Any thread, whatever the session's own thread does,
// also while that one closes or moves the Connection. After the session has ended, this tells the
// last statement and `unknown`, and cancels nothing. Takes no lock that a statement takes.
class TIDEGATE_API SessionMonitor {
 public:
  SessionMonitor() noexcept = default;
  explicit SessionMonitor(std::shared_ptr<SharedSession> session) noexcept;  // for the session

  Activity activity() const;
  // The server process that the session connected to; 0: of no session.
  int backend_pid() const noexcept;
  // See Connection::cancel().
  bool cancel() const noexcept;
  // Counts the cancel requests for its statements and their outcomes; also after it has ended.
  CancelTally cancels() const noexcept;

 private:
  std::shared_ptr<SharedSession> session_{};
};

}  // namespace tidegate::pq
