#include <tidegate/pool/lease.hpp>

#include <tidegate/base/error.hpp>

#include "pooled_connection.hpp"

namespace tidegate {
namespace {

[[noreturn]] void throw_empty(const char* verb) {
  throw UsageError(std::string("lease: ") + verb +
                   " on an empty lease (released, discarded, hijacked or moved from)");
}

}  // namespace

// No call on the warm path of the next two, other than as their last step: so they need no frame.
Connection& Lease::operator*() const {
  detail::PoolCore* const core = core_;
  const std::int32_t thread = core::known_thread_id();
  if (core == nullptr || thread == 0) [[unlikely]] {
    return use_slowly();
  }
  const std::uint32_t slot = ticket_.slot();
  // [holder] relaxed: read by diagnostics and by the deadlock check, which is about this thread.
  core->slots().slot(slot).adopt(thread);
  Connection& connection = core->resource(slot).connection;
  connection.begin_lease_once();
  return connection;
}

Connection& Lease::use_slowly() const {
  if (core_ == nullptr) throw_empty("use of the connection");
  core::current_thread_id();  // known from here on
  return **this;
}

void Lease::adopt() noexcept {
  if (core_ != nullptr) core_->slots().slot(ticket_.slot()).adopt(core::current_thread_id());
}

void Lease::give_back() noexcept {
  detail::PoolCore& core = *std::exchange(core_, nullptr);
  const core::Ticket ticket = ticket_;
  if (core.resource(ticket.slot()).connection.untouched()) {
    return core.give_back(ticket);
  }
  give_back_used(core, ticket);
}

void Lease::give_back_used(detail::PoolCore& core, core::Ticket ticket) noexcept {
  Connection& connection = core.resource(ticket.slot()).connection;
  if (connection.reusable()) [[likely]] {
    return core.give_back(ticket);
  }
  core.discard(ticket, connection.is_open() ? core::Retired::dirty : core::Retired::broken);
}

void Lease::discard() noexcept {
  if (core_ == nullptr) return;
  core_->resource(ticket_.slot()).connection.leave_transaction();
  std::exchange(core_, nullptr)->discard(ticket_, core::Retired::broken);
}

Connection Lease::hijack() && {
  if (core_ == nullptr) throw_empty("hijack");
  return std::exchange(core_, nullptr)->hijack(ticket_).connection;
}

}  // namespace tidegate
