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

Connection& Lease::operator*() const {
  if (core_ == nullptr) throw_empty("use of the connection");
  // [holder] relaxed: read by diagnostics and by the deadlock check, which is about this thread.
  core_->slots().slot(ticket_.slot()).adopt(core::current_thread_id());
  Connection& connection = core_->resource(ticket_.slot()).connection;
  connection.begin_lease_once();
  return connection;
}

void Lease::adopt() noexcept {
  if (core_ != nullptr) core_->slots().slot(ticket_.slot()).adopt(core::current_thread_id());
}

void Lease::give_back() noexcept {
  detail::PoolCore& core = *std::exchange(core_, nullptr);
  Connection& connection = core.resource(ticket_.slot()).connection;
  if (connection.reusable()) [[likely]] {
    return core.give_back(ticket_);
  }
  core.discard(ticket_, connection.is_open() ? core::Retired::dirty : core::Retired::broken);
}

void Lease::discard() noexcept {
  if (core_ != nullptr) std::exchange(core_, nullptr)->discard(ticket_, core::Retired::broken);
}

Connection Lease::hijack() && {
  if (core_ == nullptr) throw_empty("hijack");
  return std::exchange(core_, nullptr)->hijack(ticket_).connection;
}

}  // namespace tidegate
