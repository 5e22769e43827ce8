#include <tidegate/pq/session_monitor.hpp>

#include <new>
#include <utility>

#include "pq/shared_session.hpp"

namespace tidegate::pq {

bool SharedSession::cancel() const noexcept {
  if (inherited()) return false;
  try {
    return cancels->canceller().request(target) == Canceller::Asked::accepted;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

SessionMonitor::SessionMonitor(std::shared_ptr<SharedSession> session) noexcept
    : session_(std::move(session)) {}

Activity SessionMonitor::activity() const {
  return session_ == nullptr ? Activity{} : session_->mirror.read();
}

int SessionMonitor::backend_pid() const noexcept {
  return session_ == nullptr ? 0 : session_->backend_pid;
}

CancelTally SessionMonitor::cancels() const noexcept {
  return session_ == nullptr ? CancelTally{} : session_->target->tally();
}

bool SessionMonitor::cancel() const noexcept { return session_ != nullptr && session_->cancel(); }

}  // namespace tidegate::pq
