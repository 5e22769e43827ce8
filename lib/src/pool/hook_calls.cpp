// Calls the hooks that get a connection of the pool: prepare, after_release, before_close.
#include <utility>
#include <variant>

#include "pool/events.hpp"
#include "pool/hook_scope.hpp"
#include "pool/pool_impl.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {

using core::Checked;
using core::Retired;

// ---- on acquirers ----------------------------------------------------------------------------

// A throw counts as a verdict, too.
Verdict PoolImpl::ask_prepare(Connection& connection, const Search& search) const {
  // An acquirer that may not wait may still prepare a connection, for as long as a ping may take.
  const Deadline by = search.deadline.passed() ? Deadline(config_.ping_timeout) : search.deadline;
  try {
    // The hook's statements end with the pool, too.
    const EitherStop stop(search.stop, core_->closing().get_token());
    const InHook scope(*this);
    const Bounded bound(connection, by, stop.token());
    return config_.hooks.prepare(connection);
  } catch (...) {
    return Verdict::discard_and_fail(std::current_exception());
  }
}

Checked PoolImpl::prepare(core::Ticket ticket, Search& search) {
  Connection& connection = core_->resource(ticket.slot()).connection;
  const Verdict verdict = ask_prepare(connection, search);
  // The pool was closed meanwhile, and that may have ended the hook: whatever the hook says, the
  // core finds the close next, and tells of it. The connection goes with the pool.
  if (core_->closing().stop_requested()) return Checked::use;
  if (verdict.kind() == Verdict::Kind::use) return Checked::use;
  if (search.only_idle) {
    core_->discard_unleased(ticket, Retired::hook);
    return Checked::fail;
  }
  if (verdict.kind() == Verdict::Kind::retry) {
    ++search.dead;
    core_->replace(ticket, Retired::hook);
    return Checked::next;
  }
  // The slot goes first: making the error may throw, and that must not cost the slot.
  if (verdict.kind() == Verdict::Kind::keep_and_fail) {
    give_back_unleased(ticket);
  } else {
    core_->discard_unleased(ticket, Retired::hook);
  }
  search.failure = std::visit(
      [&](const auto& reason) {
        return ErrorValue::of(HookError(name_, "prepare", reason, search.where));
      },
      verdict.reason());
  return Checked::fail;
}

// The connection goes through the same checks as in a release.
void PoolImpl::give_back_unleased(core::Ticket ticket) noexcept {
  using How = Release::How;
  Release release = plan_release(core_->resource(ticket.slot()));
  if (!core_->fresh(ticket.slot())) {
    release = {.how = How::discard, .reason = core_->stale_reason(ticket.slot())};
  }
  switch (release.how) {
    case How::give_back: return core_->give_back_unleased(ticket);
    case How::give_to_maintenance: return core_->give_to_maintenance(ticket, release.errand);
    case How::discard: return core_->discard_unleased(ticket, release.reason);
  }
}

// ---- on openers ------------------------------------------------------------------------------

void PoolImpl::run_hook_job(std::uint32_t slot, const std::stop_token& stop) noexcept {
  const InHook scope(*this);  // for the observer, too
  auto& slots = core_->slots();
  Connection& connection = core_->resource(slot).connection;
  if (slots.state(slot) == core::SlotState::retiring) {
    if (!stop.stop_requested()) before_close(connection, stop);
    return slots.end_hooked(slot);
  }
  if (after_release(connection, stop) && core_->fresh(slot)) return slots.put_back(slot);
  core_->count_retired(slot, slots.closed()        ? Retired::shutdown
                             : !core_->fresh(slot) ? core_->stale_reason(slot)
                                                   : Retired::hook);
  slots.retire_checked(slot);
}

bool PoolImpl::after_release(Connection& connection, const std::stop_token& stop) noexcept {
  if (stop.stop_requested()) return false;
  const core::Doing doing("hook after_release");
  try {
    const InHook scope(*this);
    const Bounded bound(connection, Deadline(config_.ping_timeout), stop);
    if (!config_.hooks.after_release(connection)) return false;
  } catch (...) {
    return false;
  }
  return pq::PoolAccess(connection).reusable();  // what the hook did to it must be in order, too
}

void PoolImpl::before_close(Connection& connection, const std::stop_token& stop) noexcept {
  const auto tell_failed = [this](const char* what) noexcept {
    tell(config_.observer, [&](Observer& o) { o.hook_failed("before_close", what); });
  };
  const core::Doing doing("hook before_close");
  try {
    const InHook scope(*this);
    const Bounded bound(connection, Deadline(config_.ping_timeout), stop);
    config_.hooks.before_close(connection);
  } catch (...) {
    tell_failed(what_is_handled());
  }
}

}  // namespace tidegate::detail
