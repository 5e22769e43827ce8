// The seam for event loops: what async.hpp declares.
#include <tidegate/pool/async.hpp>

#include <poll.h>

#include <utility>

#include <tidegate/base/error.hpp>

#include "base/fiber.hpp"
#include "pool/pending_acquire.hpp"
#include "pq/pool_access.hpp"
#include "pq/session.hpp"

namespace tidegate::async {

using detail::Waited;

std::unique_ptr<Attachment>& attachment(Connection& connection) {
  if (!connection.is_open()) throw UsageError("attachment: the connection is closed");
  return pq::PoolAccess(connection).session().attachment();
}

int socket(const Connection& connection) noexcept { return pq::PoolAccess(connection).socket(); }

Acquire::Acquire(Pool& pool, std::optional<Deadline> deadline, Location where)
    : pending_(std::make_shared<detail::PendingAcquire>(pool.impl_, deadline, where)) {}

Acquire::~Acquire() { pending_->abandon(); }

Acquire::Ended Acquire::begin(Ready ready, void* context) {
  return pending_->begin(ready, context);
}
Acquire::Ended Acquire::go_on() { return pending_->go_on(); }
Acquire::Ended Acquire::time_out() { return pending_->end_as(core::wait_word::kTimedOut); }
Acquire::Ended Acquire::cancel() { return pending_->end_as(core::wait_word::kCanceled); }
Deadline Acquire::deadline() const noexcept { return pending_->deadline(); }

Call::Call(void (*body)(void* context) noexcept, void* context)
    : fiber_(std::make_unique<detail::Fiber>(body, context)) {}

Call::~Call() {
  if (!fiber_->waits()) return;
  fiber_->block();
  // A wait that is no part of a statement's is not to be interrupted, but looked at again.
  fiber_->resume(fiber_->interrupt() ? Waited::woken : Waited::timed_out);
}

bool Call::run() noexcept { return fiber_->resume(); }

bool Call::resume(Came came, short events) noexcept {
  switch (came) {
    case Came::ready: return fiber_->resume(Waited::ready, events);
    case Came::woken: return fiber_->resume(Waited::woken);
    default: return fiber_->resume(Waited::timed_out);
  }
}

bool Call::interrupt() noexcept {
  if (fiber_->interrupt()) return fiber_->resume(Waited::woken);
  return fiber_->waits();
}

Call::Wait Call::wait() const noexcept {
  const detail::FiberWait& wait = fiber_->wait();
  return {wait.fd, wait.events, wait.wake_fd, wait.until};
}

}  // namespace tidegate::async
