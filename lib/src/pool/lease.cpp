#include <tidegate/pool/lease.hpp>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/error.hpp>

#include "pool/events.hpp"
#include "pool/lease_table.hpp"
#include "pool/pooled_connection.hpp"
#include "pq/pool_access.hpp"

namespace tidegate {
namespace {

[[noreturn]] void throw_empty(const char* verb) {
  throw UsageError(std::string("lease: ") + verb +
                   " on an empty lease (released, discarded, hijacked or moved from)");
}

// In a child after fork() the lease belongs to the parent: the child only forgets it.
bool is_inherited(detail::PoolCore& core, core::Ticket ticket) noexcept {
  return core.resource(ticket.slot()).rules->inherited();
}
void refuse_inherited(detail::PoolCore& core, core::Ticket ticket, const char* verb) {
  if (!is_inherited(core, ticket)) return;
  throw Forked(
      std::string("lease: ") + verb +
      " in a child after fork(): only the process that acquired it may use it\n  hint: make "
      "the pool after fork()");
}
bool is_idle(detail::PoolCore& core, core::Ticket ticket) noexcept {
  const Connection& connection = core.resource(ticket.slot()).connection;
  return connection.transaction_status() == TransactionStatus::idle;
}

void tell_release(detail::PoolCore& core, core::Ticket ticket, bool clean,
                  bool hijacked = false) noexcept {
  const detail::PooledConnection& pooled = core.resource(ticket.slot());
  if (!pooled.rules->tells_releases) return;
  detail::tell(pooled.rules->observer, [&](Observer& o) {
    const core::Slot::Record record = core.slots().slot(ticket.slot()).record();
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    o.released({.acquired = record.site,
                .backend_pid = pooled.monitor.backend_pid(),
                .clean = clean,
                .held = now - std::chrono::steady_clock::duration(record.since),
                .hijacked = hijacked});
  });
}

// A lease that ended inside a verb of its connection really ends after that verb, which keeps the
// slot and the gate of the lease's ticket in one word.
std::uint64_t packed(core::Ticket ticket) noexcept {
  return std::uint64_t{ticket.gate()} << 32 | ticket.slot();
}
core::Ticket unpacked(std::uint64_t both) noexcept {
  return {static_cast<std::uint32_t>(both), static_cast<std::uint32_t>(both >> 32)};
}

}  // namespace

// The warm path of the next two makes no call except as its last step: so they need no frame.
Connection& Lease::operator*() const {
  detail::PoolCore* const core = core_;
  const std::int32_t thread = core::known_thread_id();
  if (core == nullptr || thread == 0) [[unlikely]] {
    return use_slowly();
  }
  const std::uint32_t slot = ticket_.slot();
  // [holder] relaxed: read by diagnostics, and by checks that are about this thread.
  core->slots().slot(slot).adopt(thread);
  Connection& connection = core->resource(slot).connection;
  pq::PoolAccess(connection).mark_use();
  return connection;
}

Connection& Lease::use_slowly() const {
  if (core_ == nullptr) throw_empty("use of the connection");
  refuse_inherited(*core_, ticket_, "use of the connection");
  core::current_thread_id();  // known from here on
  return **this;
}

Connection& Lease::use_in_call() const {
  Connection& connection = **this;
  core_->slots().slot(ticket_.slot()).adopt_for_call(core::current_thread_id());
  return connection;
}

void Lease::adopt() noexcept {
  if (core_ != nullptr) core_->slots().slot(ticket_.slot()).adopt(core::current_thread_id());
}

// If our own flags let a connection go back as it is, libpq says that it is idle, too (I10).
void Lease::give_back(detail::PoolCore& core, core::Ticket ticket) noexcept {
  if (pq::PoolAccess(core.resource(ticket.slot()).connection).untouched()) {
    TIDEGATE_DEBUG_ASSERT(I10, is_idle(core, ticket));
    return core.give_back(ticket);
  }
  give_back_used(core, ticket);
}

void Lease::give_back_used(detail::PoolCore& core, core::Ticket ticket) noexcept {
  detail::PooledConnection& pooled = core.resource(ticket.slot());
  if (pq::PoolAccess(pooled.connection).reusable() && !pooled.rules_concern_clean) [[likely]] {
    TIDEGATE_DEBUG_ASSERT(I10, is_idle(core, ticket));
    return core.give_back(ticket);
  }
  give_back_by_rules(core, ticket);
}

void Lease::give_back_by_rules(detail::PoolCore& core, core::Ticket ticket) noexcept {
  using How = detail::Release::How;
  if (is_inherited(core, ticket)) return;
  detail::PooledConnection& pooled = core.resource(ticket.slot());
  const auto end = [](void* of, std::uint64_t which) noexcept {
    give_back(*static_cast<detail::PoolCore*>(of), unpacked(which));
  };
  if (pq::PoolAccess(pooled.connection).end_lease_behind_verb(end, &core, packed(ticket))) return;
  const detail::Release release = detail::plan_release(pooled);
  tell_release(core, ticket, release.clean);
  if (release.how == How::discard) return core.discard(ticket, release.reason);
  if (release.how == How::give_back) return core.give_back(ticket);
  if (!core.fresh(ticket.slot())) return core.discard_stale(ticket);
  core.give_to_maintenance(ticket, release.errand);
}

void Lease::discard() noexcept {
  if (core_ == nullptr) return;
  detail::PoolCore& core = *std::exchange(core_, nullptr);
  if (is_inherited(core, ticket_)) return;
  throw_away(core, ticket_);
}

void Lease::throw_away(detail::PoolCore& core, core::Ticket ticket) noexcept {
  detail::PooledConnection& pooled = core.resource(ticket.slot());
  const auto end = [](void* of, std::uint64_t which) noexcept {
    throw_away(*static_cast<detail::PoolCore*>(of), unpacked(which));
  };
  if (pq::PoolAccess(pooled.connection).end_lease_behind_verb(end, &core, packed(ticket))) return;
  pq::PoolAccess(pooled.connection).leave_transaction();
  tell_release(core, ticket, false);
  core.discard(ticket, core::Retired::broken);
}

Connection Lease::hijack() && {
  if (core_ == nullptr) throw_empty("hijack");
  refuse_inherited(*core_, ticket_, "hijack");
  if (pq::PoolAccess(core_->resource(ticket_.slot()).connection).in_verb()) {
    throw UsageError(
        "lease: hijack inside a verb of its connection: in a callback, a range or a "
        "notice handler");
  }
  // This only looks at the status: an open transaction goes where the connection goes.
  tell_release(*core_, ticket_, is_idle(*core_, ticket_), true);
  detail::PooledConnection pooled = std::exchange(core_, nullptr)->hijack(ticket_);
  pq::PoolAccess(pooled.connection).leave_pool();
  detail::tell(pooled.rules->observer, [&](Observer& o) {
    o.retired({.reason = to_string(core::Retired::hijacked),
               .backend_pid = pooled.connection.backend_pid()});
  });
  return std::move(pooled.connection);
}

std::stop_token Lease::stop_token() const noexcept {
  return core_ == nullptr ? std::stop_token() : core_->announced().get_token();
}

LeaseInfo Lease::info() const {
  if (core_ == nullptr) throw_empty("info");
  refuse_inherited(*core_, ticket_, "info");
  return detail::lease_of(*core_, ticket_.slot()).value();
}

}  // namespace tidegate
