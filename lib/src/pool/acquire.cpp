// The slow part of an acquire: the check before hand-out, and the words when there is no connection.
#include <algorithm>
#include <utility>

#include "pool_impl.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;
using core::Found;
using core::Retired;

// Idle for longer than this, a connection's socket is looked at before it is handed out.
constexpr std::chrono::nanoseconds kLookAfter = 20ms;

}  // namespace

Expected<core::Ticket> PoolImpl::acquire(Entered entered, const AcquireWish& wish) {
  Search search;
  search.began = std::chrono::steady_clock::now();
  search.stop = wish.stop;
  if (wish.deadline) {
    search.deadline = *wish.deadline;
  } else if (config_.acquire_timeout.count() > 0) {
    search.deadline = Deadline(search.began) + config_.acquire_timeout;
  }
  const Found found =
      core_->acquire(entered, search, [&](const Found& at) { return check(at, search); });
  if (found.error) return explain(*found.error, wish, search);
  return found.ticket;
}

// Check before hand-out, the cheapest sufficient tier. The clock is read here, not the tick: this
// is the slow path, and the tick may have stood still.
bool PoolImpl::check(const Found& found, const Search& search) {
  const core::Ticket ticket = found.ticket;
  Connection& connection = core_->resource(ticket.slot()).connection;
  const auto replace = [&](Retired reason) {
    core_->replace(ticket, reason);
    return false;
  };
  // Tier 1: what is known.
  if (!core_->fresh(ticket.slot())) return replace(core_->stale_reason(ticket.slot()));
  if (!connection.usable()) return replace(Retired::broken);

  const auto now = std::chrono::steady_clock::now();
  const std::chrono::nanoseconds idle(now.time_since_epoch().count() -
                                      core_->slots().slot(ticket.slot()).since());
  if (idle < kLookAfter) return true;
  // Tier 2: what the socket shows.
  if (connection.check_socket() == pq::SocketCheck::dead) {
    maintenance_.hurry();  // it will not be the only one
    return replace(Retired::broken);
  }
  if (config_.ping_after.count() == 0 || idle <= config_.ping_after) return true;
  // Tier 3: a round trip. Not for one who may not wait: the connection is pinged by maintenance and
  // the next one tried. Not for one who was granted it: it was in use a moment ago.
  if (found.waited) return true;
  const Deadline until = earlier(search.deadline, Deadline(config_.ping_timeout));
  if (!search.deadline.passed()) {
    maintenance_.count_ping();
    if (connection.ping(until)) return true;
  }
  if (!connection.is_open()) return replace(Retired::ping);
  // No answer yet. It may be our deadline that was short, so maintenance goes on waiting for it.
  core_->slots().set_aside(ticket);
  maintenance_.ping(ticket.slot());
  return false;
}

// ---- words -----------------------------------------------------------------------------------

ErrorValue PoolImpl::refuse_stopped(const AcquireWish& wish) {
  const Errc error = core_->slots().closed() ? Errc::closed : Errc::canceled;
  core_->count_failed({error, {}, false});
  return explain(error, wish, Search{{}, std::chrono::steady_clock::now()});
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
      return ErrorValue::of(WouldDeadlock(name_, WouldDeadlock::Situation::acquire,
                                          holders(config_.max_size), wish.where));
    default: break;
  }
  const auto cause = report.counts.checking > 0     ? AcquireTimeout::Cause::checking
                     : report.counts.connecting > 0 ? AcquireTimeout::Cause::connecting_slow
                                                    : AcquireTimeout::Cause::exhausted;
  return ErrorValue::of(AcquireTimeout(std::move(report), cause, wish.where));
}

AcquireReport PoolImpl::report_of(const AcquireWish& wish, const Search& search) {
  AcquireReport report;
  report.pool = name_;
  report.counts = core_->slots().counts();
  if (!search.deadline.is_never()) {
    const auto allowed = search.deadline.at() - search.began;
    report.allowed = search.deadline.passed() && search.since == decltype(search.since){}
                         ? std::chrono::nanoseconds::zero()
                         : std::chrono::nanoseconds(allowed);
  }
  report.allowed_by_config = !wish.deadline && config_.acquire_timeout.count() > 0;
  if (search.since != decltype(search.since){}) {
    report.waited = std::chrono::steady_clock::now() - search.began;
  }
  auto longest = holders(1);
  if (!longest.empty()) report.longest = std::move(longest.front());
  if (const auto failure = core_->last_failure()) {
    if (const auto* error = failure->as<ConnectError>()) report.last_connect = error->server_text();
  }
  return report;
}

// Who holds leases, the oldest first.
std::vector<LeaseHolder> PoolImpl::holders(std::size_t most) const {
  const auto& slots = core_->slots();
  std::vector<core::Slot::Record> records;
  for (std::uint32_t i = 0; i < config_.max_size; ++i) {
    if (const auto record = slots.slot(i).record(); record.holder != 0) records.push_back(record);
  }
  most = std::min(most, records.size());
  std::partial_sort(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(most),
                    records.end(),
                    [](const auto& a, const auto& b) { return a.since < b.since; });
  records.resize(most);
  const core::Tick now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::vector<LeaseHolder> holders;
  for (const auto& record : records) {
    LeaseHolder holder;
    holder.where = record.site;
    holder.thread_id = record.holder;
    holder.thread = thread_name(record.holder);
    holder.held = std::chrono::nanoseconds(std::max<core::Tick>(0, now - record.since));
    holders.push_back(std::move(holder));
  }
  return holders;
}

ErrorValue PoolImpl::explain_connect(Errc error, const AcquireReport& acquire, Location where) {
  ConnectReport report;
  if (const auto failure = core_->last_failure()) {
    if (const auto* last = failure->as<ConnectError>()) report = last->report();
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

// Cheap to make, because a close may be told to a thousand waiters: the text is built only for
// those who read it, from data that does not refer to the pool.
ErrorValue PoolImpl::explain_closed(Location where) {
  std::shared_ptr<const ClosedReport> closed;
  {
    std::lock_guard lock(close_mutex_);
    closed = closed_;
  }
  const auto now = std::chrono::steady_clock::now();
  const std::uint32_t outstanding = core_->slots().places().leased;
  return ErrorValue::lazy<PoolClosed>(Errc::closed, where, [closed, now, outstanding, where] {
    ClosedReport report = *closed;
    report.at = now;
    report.outstanding = outstanding;
    return PoolClosed(std::move(report), where);
  });
}

}  // namespace tidegate::detail
