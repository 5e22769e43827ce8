#include "pq/pool_access.hpp"

#include <libpq-fe.h>

#include <utility>

#include "pq/session.hpp"

namespace tidegate::pq {

Session& PoolAccess::session() const noexcept { return static_cast<Session&>(*state_); }

void PoolAccess::end_login() const noexcept {
  if (state_ != nullptr) session().end_login();
}

void PoolAccess::enter_pool(AcquiredAt acquired_at, const void* pool) const noexcept {
  if (state_ != nullptr) session().set_acquired_at(acquired_at, pool);
}

bool PoolAccess::end_touched_lease() const noexcept { return session().end_touched_lease(); }

SessionMonitor PoolAccess::monitor() const noexcept {
  return state_ == nullptr ? SessionMonitor() : session().monitor();
}

bool PoolAccess::native_ok() const noexcept {
  return PQstatus(session().native()) == CONNECTION_OK;
}

SocketCheck PoolAccess::check_socket() const noexcept {
  return state_ == nullptr ? SocketCheck::dead : session().check_socket();
}

PingResult PoolAccess::ping_step(Deadline deadline) const noexcept {
  return state_ == nullptr ? PingResult::dead : session().ping(deadline);
}

void PoolAccess::watch_role() const noexcept {
  if (state_ != nullptr) session().watch_role();
}

Role PoolAccess::role() const noexcept {
  return state_ == nullptr ? Role::primary : session().role();
}

CancelTrace PoolAccess::cancel_trace() const noexcept {
  return state_ == nullptr ? CancelTrace::none : session().cancel_trace();
}

void PoolAccess::cancel_settled() const noexcept {
  if (state_ != nullptr) session().cancel_settled();
}

void PoolAccess::cancel_left_running() const noexcept {
  if (state_ != nullptr) session().cancel_left_running();
}

bool PoolAccess::in_verb() const noexcept {
  return state_ != nullptr && session().verb() != nullptr;
}

bool PoolAccess::end_lease_behind_verb(Verb::End end, void* what,
                                       std::uint64_t which) const noexcept {
  if (!in_verb()) return false;
  session().leave_transaction();
  session().verb()->end_lease(end, what, which);
  return true;
}

void PoolAccess::bound(Deadline by, std::stop_token stop) const noexcept {
  if (state_ != nullptr) session().bound(by, std::move(stop));
}

void PoolAccess::leave_transaction() const noexcept {
  if (state_ != nullptr) session().leave_transaction();
}

std::string_view PoolAccess::broken_reason() const noexcept {
  return state_ == nullptr ? std::string_view() : session().broken_reason();
}

int PoolAccess::socket() const noexcept {
  return state_ == nullptr ? -1 : PQsocket(session().native());
}

}  // namespace tidegate::pq
