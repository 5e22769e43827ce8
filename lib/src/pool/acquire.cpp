// The slow part of an acquire: the check before hand-out, and the error when there is no
// connection.
#include <algorithm>
#include <utility>

#include "pool/errors/acquire_cause.hpp"
#include "pool/events.hpp"
#include "pool/hook_scope.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;
using core::Checked;
using core::Found;
using core::Retired;

// How often an acquirer that waits for a ping looks whether the pool is closed.
constexpr std::chrono::nanoseconds kLookWhilePinging = 20ms;

// How long an acquirer waits for the answer to a ping and does nothing else. Most servers answer by
// then; if one or two connections do not, little is lost.
std::chrono::nanoseconds patience_with_ping(const PoolConfig& config) {
  const std::chrono::nanoseconds timeout = config.ping_timeout;
  return std::min(timeout, std::max<std::chrono::nanoseconds>(timeout / 10, 20ms));
}

}  // namespace

void PoolImpl::tell_started(Location where) const noexcept {
  if (!tells_leases_ || inherited()) return;
  tell(config_.observer, [&](Observer& o) { o.acquire_started(where); });
}

void PoolImpl::tell_served(core::Ticket ticket, Location where) const noexcept {
  if (!tells_leases_) return;
  core_->begin_now(ticket);
  tell(config_.observer, [&](Observer& o) { o.acquire_ended({.where = where}); });
}

Expected<core::Ticket> PoolImpl::acquire(Entered entered, const AcquireWish& wish) {
  if (inherited()) return inherited_error(wish.where);
  Search search;
  search.began = wish.began;
  if (search.began == decltype(search.began){}) search.began = std::chrono::steady_clock::now();
  search.where = wish.where;
  search.stop = wish.stop;
  search.may_not_wait = InHook::of(*this);
  search.pool = this;
  search.suspect = &PoolImpl::suspect;
  search.deadline = wish.deadline ? *wish.deadline : timeout_from(search.began);
  try {
    auto ticket = search_or_refuse(entered, wish, search);
    search.error = ticket ? std::optional<Errc>() : std::optional(ticket.error().code());
    tell_ended(search);
    return ticket;
  } catch (...) {  // usually out of memory for the error: the acquire has ended nevertheless
    if (!search.error) search.error = Errc::unavailable;
    tell_ended(search);
    throw;
  }
}

void PoolImpl::tell_ended(const Search& search) const noexcept {
  tell(config_.observer, [&](Observer& o) {
    const auto took = std::chrono::steady_clock::now() - search.began;
    if (search.waited) o.waited(search.where, took);
    const auto slow = config_.slow_acquire;
    if (search.waited && slow.count() > 0 && took >= slow) o.slow_acquire(search.where, took);
    if (!tells_leases_) return;
    o.acquire_ended(
        {.where = search.where, .error = search.error, .took = took, .waited = search.waited});
  });
}

Expected<core::Ticket> PoolImpl::search_or_refuse(Entered entered, const AcquireWish& wish,
                                                  Search& search) {
  const std::vector<LeaseInfo> held = leases_of_nested(entered);
  auto ticket = !held.empty() && config_.nested_acquire == NestedAcquire::fail
                    ? refuse_nested(entered, held, wish.where)
                    : search_and_explain(entered, wish, search);
  if (!held.empty() && ticket) count_nested(held, wish.where);
  return ticket;
}

// ---- nested acquires -------------------------------------------------------------------------

// The leases of this thread, if the configuration wants them looked for. A throw costs no slot.
std::vector<LeaseInfo> PoolImpl::leases_of_nested(Entered entered) const {
  if (config_.nested_acquire == NestedAcquire::off || entered.entry == core::Entry::closed) {
    return {};
  }
  try {
    return leases_held_by(*core_, core::current_thread_id(), Known::last_user);
  } catch (...) {
    leave(entered);
    throw;
  }
}

// Ends an acquire that has not looked for anything yet.
void PoolImpl::leave(Entered entered) const noexcept {
  if (entered.entry == core::Entry::docked) {
    core_->slots().release(entered.ticket);
  } else {
    core_->slots().give_up(entered.ticket.gate());
  }
}

// A nested acquire that fails is reported only where it is refused.
void PoolImpl::count_nested(const std::vector<LeaseInfo>& held, Location where) noexcept {
  nested_acquires_.fetch_add(1, std::memory_order_relaxed);
  const bool refused = config_.nested_acquire == NestedAcquire::fail;
  tell(config_.observer, [&](Observer& o) { o.nested_acquire(where, held.front(), refused); });
}

ErrorValue PoolImpl::nested_error(const std::vector<LeaseInfo>& held, Location where) {
  core_->count_failed({Errc::would_deadlock, {}, false});
  count_nested(held, where);
  return ErrorValue::of(
      WouldDeadlock(name_, WouldDeadlock::Situation::nested_acquire, holders_of(held), where));
}

Expected<core::Ticket> PoolImpl::refuse_nested(Entered entered, const std::vector<LeaseInfo>& held,
                                               Location where) {
  leave(entered);
  return nested_error(held, where);
}

void PoolImpl::begin_taking_idle(Location where) {
  if (config_.nested_acquire == NestedAcquire::off) return;
  const std::vector<LeaseInfo> held =
      leases_held_by(*core_, core::current_thread_id(), Known::last_user);
  if (held.empty()) return;
  if (config_.nested_acquire == NestedAcquire::fail) nested_error(held, where).raise();
  count_nested(held, where);
}

// The stack is kept first, because nobody can find it before the lease begins.
void PoolImpl::begin_lease(core::Ticket ticket, Location where) noexcept {
  if (const auto& kept = core_->resource(ticket.slot()).stack) {
    kept->keep(Stack::current(), core_->slots().slot(ticket.slot()).acquired() + 1);
  }
  core_->begin_lease(ticket, where);
  if (tells_leases_) core_->begin_now(ticket);
}

Expected<core::Ticket> PoolImpl::search_and_explain(Entered entered, const AcquireWish& wish,
                                                    Search& search) {
  const Found found =
      core_->acquire(entered, search, [&](const Found& at) { return check(at, search); });
  search.waited = found.waited;
  search.error = found.error;
  if (!found.error) return found.ticket;
  if (search.failure) return *search.failure;
  return explain(*found.error, wish, search);
}

// Takes a connection that is idle now, for acquire_all_idle: without a wait and without a ping.
std::optional<core::Ticket> PoolImpl::take_idle() {
  Search search;
  search.began = std::chrono::steady_clock::now();
  search.only_idle = true;
  for (;;) {
    const Entered entered = core_->slots().enter();
    std::optional<core::Ticket> ticket;
    if (entered.entry == core::Entry::closed) return std::nullopt;
    if (entered.entry == core::Entry::docked) ticket = entered.ticket;
    if (!ticket) ticket = core_->slots().find_idle(entered.ticket.gate());
    if (!ticket) return std::nullopt;
    switch (check({std::nullopt, *ticket, false}, search)) {
      case Checked::use:
        if (!core_->slots().still_open(*ticket)) return std::nullopt;
        return ticket;
      case Checked::next: core_->slots().give_up(ticket->gate()); break;
      case Checked::fail: break;
    }
  }
}

// The check before hand-out: the cheapest sufficient tier, and then prepare.
Checked PoolImpl::check(const Found& found, Search& search) {
  Checked checked = check_state(found, search);
  if (checked == Checked::use && config_.hooks.prepare) checked = prepare(found.ticket, search);
  // Every connection of the pool and one more were unfit, so the next will be unfit, too.
  if (checked == Checked::next && search.dead > config_.max_size && !search.only_idle) {
    core_->slots().give_up(found.ticket.gate());
    search.failure = ErrorValue::of(HookError(
        name_, "prepare/should_ping",
        std::to_string(search.dead) + " connections in a row were found unfit: likely bug in "
                                      "prepare/should_ping hook",
        search.where));
    return Checked::fail;
  }
  return checked;
}

// This reads the clock, not the tick: this is the slow path, and the tick may have stood still.
Checked PoolImpl::check_state(const Found& found, Search& search) {
  const core::Ticket ticket = found.ticket;
  Connection& connection = core_->resource(ticket.slot()).connection;
  const auto replace = [&](Retired reason) {
    ++search.dead;
    core_->replace(ticket, reason);
    return Checked::next;
  };
  // Tier 1: what is known.
  if (!core_->fresh(ticket.slot())) return replace(core_->stale_reason(ticket.slot()));
  if (!pq::PoolAccess(connection).usable()) return replace(Retired::broken);

  const auto now = std::chrono::steady_clock::now();
  const std::chrono::nanoseconds idle(now.time_since_epoch().count() -
                                      core_->slots().slot(ticket.slot()).since());
  if (idle >= kLookAfter) {
    // Tier 2: what the socket shows.
    if (pq::PoolAccess(connection).check_socket() == pq::SocketCheck::dead) {
      maintenance_.suspect();  // it will not be the only one
      return replace(Retired::broken);
    }
    if (pq::PoolAccess(connection).role() != pq::Role::primary) {
      set_aside(ticket, core::Errand::reset);
      return Checked::next;
    }
  }
  // Tier 3: a round trip. A granted connection was in use a moment ago, unless maintenance has had
  // it in hand; and a grant that an acquire has won is not lost to a deadline that has passed
  // since. A connection that answered maintenance's ping was heard of then; an acquirer that leaves
  // pings to maintenance accepts that answer.
  const bool granted = found.waited && (idle < kLookAfter || search.deadline.passed());
  const std::chrono::nanoseconds unheard = now - maintenance_.answered(ticket.slot());
  const bool has_answered =
      (search.silent > 0 || search.deadline.passed()) && unheard < config_.ping_timeout;
  const bool no_need = granted || has_answered;
  if (search.only_idle || no_need || !wants_ping(connection, std::min(idle, unheard))) {
    return Checked::use;
  }
  return check_by_ping(ticket, search);
}

bool PoolImpl::wants_ping(const Connection& connection, std::chrono::nanoseconds idle) const {
  if (!config_.hooks.should_ping) {
    return config_.ping_after.count() > 0 && idle > config_.ping_after;
  }
  try {
    const InHook scope(*this);
    return config_.hooks.should_ping(connection, idle);
  } catch (...) {
    return true;
  }
}

// A ping also ends when the pool closes. This loop looks for that now and then, because a
// stop_token would cost every connection that was ever pinged one more descriptor.
bool PoolImpl::ping(Connection& connection, const Search& search) const noexcept {
  // In a hook there is nothing else to wait for.
  const std::chrono::nanoseconds patience =
      search.may_not_wait ? config_.ping_timeout : patience_with_ping(config_);
  const Deadline end = earlier(search.deadline, Deadline(patience));
  for (;;) {
    if (connection.ping(earlier(end, Deadline(kLookWhilePinging)), search.stop)) return true;
    if (!connection.is_open() || end.passed() || search.stop.stop_requested() ||
        core_->closing().stop_requested()) {
      return false;
    }
  }
}

// Maintenance goes on waiting for an answer that does not come soon, and the acquirer takes what
// comes first: another connection, a new one, or this one. If the network has forgotten one
// connection, it has forgotten more, and an acquirer must not wait for one after the other: it
// leaves all further ones that want a ping to maintenance at once, which pings them side by side. A
// connection is closed only if it has not answered its own ping. An acquirer whose deadline has
// passed, or that must not block, leaves all pings to maintenance.
Checked PoolImpl::check_by_ping(core::Ticket ticket, Search& search) {
  const auto began = std::chrono::steady_clock::now();
  const bool has_met_silence = search.silent > 0 && !search.may_not_wait;
  if (search.leaves_pings || has_met_silence || search.deadline.passed()) {
    leave_ping_to_maintenance(ticket, search, began);
    return Checked::next;
  }
  Connection& connection = core_->resource(ticket.slot()).connection;
  maintenance_.count_ping();
  const int backend_pid = connection.backend_pid();
  tell(config_.observer, [&](Observer& o) { o.ping_started(backend_pid); });
  const bool answered = ping(connection, search);
  tell(config_.observer,
       [&](Observer& o) { o.ping_ended({.backend_pid = backend_pid, .answered = answered}); });
  if (answered) {
    // A server tells what role it has only with an answer.
    if (pq::PoolAccess(connection).role() == pq::Role::primary) return Checked::use;
    set_aside(ticket, core::Errand::reset);
    return Checked::next;
  }
  if (connection.is_open()) {
    leave_ping_to_maintenance(ticket, search, began);
  } else {
    maintenance_.suspect();
    ++search.dead;
    core_->replace(ticket, Retired::ping);
  }
  return Checked::next;
}

void PoolImpl::leave_ping_to_maintenance(core::Ticket ticket, Search& search,
                                         std::chrono::steady_clock::time_point since) noexcept {
  ++search.silent;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - since);
  core_->resource(ticket.slot()).pinged_for_ms =
      static_cast<std::uint16_t>(std::min<std::chrono::milliseconds::rep>(waited.count(), 65535));
  set_aside(ticket, core::Errand::ping);
}

void PoolImpl::set_aside(core::Ticket ticket, core::Errand errand) noexcept {
  core_->slots().slot(ticket.slot()).set_errand(errand);
  core_->slots().set_aside(ticket);
  core_->slots().want_check(ticket.slot());
}

// ---- waits for oneself -----------------------------------------------------------------------

// Runs on the waiting thread, which is among the waiters already: it takes as long as the observer.
void PoolImpl::suspect(core::Search& waiting) noexcept {
  const auto& search = static_cast<const Search&>(waiting);
  const PoolImpl& pool = *search.pool;
  pool.core_->count_suspicion();
  tell(pool.config_.observer, [&](Observer& o) {
    const auto own = leases_held_by(*pool.core_, core::current_thread_id(), Known::last_user);
    o.self_deadlock_suspected(search.where, own, false);
  });
}

// ---- words -----------------------------------------------------------------------------------

ErrorValue PoolImpl::refuse_stopped(const AcquireWish& wish) {
  if (inherited()) return inherited_error(wish.where);
  const Errc error = core_->slots().closed() ? Errc::closed : Errc::canceled;
  core_->count_failed({error, {}, false});
  if (tells_leases_) {
    tell(config_.observer,
         [&](Observer& o) { o.acquire_ended({.where = wish.where, .error = error}); });
  }
  Search search;
  search.began = std::chrono::steady_clock::now();
  return explain(error, wish, search);
}

Expected<core::Ticket> PoolImpl::acquire_for_lane(const AcquireWish& wish) {
  tell_started(wish.where);
  if (wish.stop.stop_requested()) return refuse_stopped(wish);
  auto ticket = acquire(core_->slots().enter(), wish);
  if (ticket) begin_lease(*ticket, wish.where);
  return ticket;
}

// It has waited as an acquire does, and is told what an acquire would be told.
ErrorValue PoolImpl::refuse_on_lane(Errc error, const AcquireWish& wish) {
  core_->count_failed({error, {}, true}, wish.began);
  Search search;
  search.began = search.since = wish.began;
  search.deadline = *wish.deadline;
  return explain(error, wish, search);
}

ErrorValue PoolImpl::explain(Errc error, const AcquireWish& wish, const Search& search) {
  if (error == Errc::closed) return explain_closed(wish.where);
  AcquireReport report = report_of(wish, search);
  switch (error) {
    case Errc::unavailable:
    case Errc::rejected: return explain_connect(error, report, wish.where);
    case Errc::canceled: return ErrorValue::of(AcquireCanceled(report, wish.where));
    case Errc::overloaded:
      return ErrorValue::of(Overloaded(report, config_.max_waiters, wish.where));
    case Errc::would_deadlock:
      if (search.may_not_wait) {
        return ErrorValue::of(
            WouldDeadlock(name_, WouldDeadlock::Situation::acquire_in_hook, {}, wish.where));
      }
      return ErrorValue::of(WouldDeadlock(name_, WouldDeadlock::Situation::acquire,
                                          holders(config_.max_size), wish.where));
    default: break;
  }
  const auto cause = cause_of(report.counts);
  return ErrorValue::of(AcquireTimeout(std::move(report), cause, wish.where));
}

AcquireReport PoolImpl::report_of(const AcquireWish& wish, const Search& search) {
  AcquireReport report;
  report.pool = name_;
  report.counts = core_->slots().counts();
  if (!search.deadline.is_never()) {
    // The deadline of an acquire that must not wait may be the beginning of time.
    const bool no_waiting = search.deadline.at() <= search.began;
    report.allowed = no_waiting ? std::chrono::nanoseconds::zero()
                                : std::chrono::nanoseconds(search.deadline.at() - search.began);
  }
  report.allowed_by_config =
      (!wish.deadline || wish.configured) && config_.acquire_timeout.count() > 0;
  // The acquire waited for a connection, or for the answer to a ping.
  const bool may_wait = !report.allowed || report.allowed->count() > 0;
  if (search.since != decltype(search.since){} || (search.silent > 0 && may_wait)) {
    report.waited = std::chrono::steady_clock::now() - search.began;
  }
  report.silent = search.silent;
  auto longest = holders(1);
  if (!longest.empty()) report.longest = std::move(longest.front());
  const std::int32_t self = core::current_thread_id();
  if (count_leases(*core_, self, Known::last_user) == config_.max_size)
    report.own = holders_of(leases_held_by(*core_, self, Known::last_user));
  if (const auto failure = core_->last_failure()) {
    if (const auto* error = failure->as<ConnectError>()) report.last_connect = error->server_text();
  }
  return report;
}

// The holders of leases, the oldest first.
std::vector<LeaseHolder> PoolImpl::holders(std::size_t most) const {
  const auto& slots = core_->slots();
  std::vector<std::pair<core::Tick, std::uint32_t>> records;  // since when, which slot
  for (std::uint32_t i = 0; i < config_.max_size; ++i) {
    if (slots.slot(i).leased()) records.emplace_back(slots.slot(i).since(), i);
  }
  most = std::min(most, records.size());
  std::partial_sort(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(most),
                    records.end());
  records.resize(most);
  std::vector<LeaseHolder> holders;
  for (const auto& [since, slot] : records) {
    if (const auto lease = lease_of(*core_, slot)) holders.push_back(holder_of(*lease));
  }
  return holders;
}

ErrorValue PoolImpl::explain_connect(Errc error, const AcquireReport& acquire, Location where) {
  ConnectReport report;
  if (const auto failure = core_->last_failure()) {
    if (const auto* last = failure->as<ConnectError>()) {
      report = last->report();
    } else {
      report.failed_in = ConnectReport::Where::process;
      report.text = failure->what();
    }
  }
  const auto backoff = core_->openers().backoff();
  const auto now = std::chrono::steady_clock::now();
  report.pool = name_;
  report.at = now;
  if (backoff.failures > 0) {
    report.attempts = backoff.failures;
    report.since = backoff.since;
    report.next_in = std::max<std::chrono::nanoseconds>(backoff.next - now, 0ns);
  }
  report.allowed = acquire.allowed;
  report.waited = acquire.waited;
  return ErrorValue::of(ConnectError(error, std::move(report), where));
}

// Cheap to make, because a close may have to tell a thousand waiters: the text is built only when
// somebody reads it, from data that does not refer to the pool.
ErrorValue PoolImpl::explain_closed(Location where) {
  const std::shared_ptr<const ClosedReport> closed = closing_.closed();
  const auto now = std::chrono::steady_clock::now();
  const std::uint32_t outstanding = count_leases(*core_);
  return ErrorValue::lazy<PoolClosed>(Errc::closed, where, [closed, now, outstanding, where] {
    ClosedReport report = *closed;
    report.at = now;
    report.outstanding = outstanding;
    return PoolClosed(std::move(report), where);
  });
}

}  // namespace tidegate::detail
