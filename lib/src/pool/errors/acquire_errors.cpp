#include <tidegate/pool/acquire_errors.hpp>

#include <algorithm>
#include <utility>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

using detail::counted;
using detail::no_connection;
using detail::one_line;
using detail::pool_text;
using detail::short_place;
using detail::this_acquire;
using detail::thread_text;

std::string counts_line(const PoolCounts& counts) {
  std::string text = "\n  used=" + std::to_string(counts.leased) + '/' + std::to_string(counts.max);
  text += " idle=" + std::to_string(counts.idle);
  text += " connecting=" + std::to_string(counts.connecting);
  if (counts.checking != 0) text += " checking=" + std::to_string(counts.checking);
  if (counts.retiring != 0) text += " retiring=" + std::to_string(counts.retiring);
  text += " waiting=" + std::to_string(counts.waiting);
  if (counts.waiting != 0) text += " (oldest " + brief_duration(counts.oldest_wait) + ")";
  return text;
}

// Where the connections are: "all 8 are leased", or how many are and what the others do. The counts
// were read after the acquire had ended, so a connection may have come free by then.
std::string places_text(const PoolCounts& counts) {
  if (counts.leased >= counts.max) return "all " + std::to_string(counts.max) + " are leased";
  std::string text =
      std::to_string(counts.leased) + " of " + std::to_string(counts.max) + " are leased";
  const auto add = [&text](std::uint32_t n, const char* what) {
    if (n != 0) text += ", " + std::to_string(n) + ' ' + what;
  };
  add(counts.connecting, "connecting");
  add(counts.checking, "being checked");
  add(counts.retiring, "being closed");
  add(counts.idle, "idle by now");
  add(counts.max - std::min(counts.max, counts.leased + counts.idle + counts.connecting +
                                            counts.checking + counts.retiring),
      "not open");
  return text;
}

std::string used_text(const AcquireReport& report) {
  std::string text = places_text(report.counts);
  if (const auto& longest = report.longest) {
    text += "; longest " + brief_duration(longest->held) + " by " +
            thread_text(longest->thread, longest->thread_id);
    if (longest->where.known()) text += " at " + short_place(longest->where);
  }
  return text;
}

// The text for a thread that has all leases, if nobody else may be there to give one back.
std::string own_text(const AcquireReport& report) {
  if (report.own.empty()) return {};
  return std::string("\n  likely: ") +
         (report.own.size() == 1 ? "the lease was" : "all leases were") +
         " acquired or last used by this very thread: " + describe_holders(report.own);
}

std::string cause_text(const AcquireReport& report, AcquireTimeout::Cause cause) {
  const PoolCounts& counts = report.counts;
  switch (cause) {
    case AcquireTimeout::Cause::exhausted:
    case AcquireTimeout::Cause::not_growing: return used_text(report);
    case AcquireTimeout::Cause::connecting_slow:
      // While connects fail, a connect that is wanted waits for its turn.
      return counted(counts.connecting, "connect") +
             (report.last_connect.empty()
                  ? " under way, none done in time"
                  : " under way or waiting to try again, none done in time");
    case AcquireTimeout::Cause::checking:
      return counted(counts.checking, "connection") +
             " being checked or cleaned, none done in time";
    case AcquireTimeout::Cause::retiring:
      return counted(counts.retiring, "connection") +
             " being closed, and the place is not free before the server has ended it; " +
             used_text(report);
  }
  return {};
}

// Whatever the cause is by now, the acquire spent its time on this.
std::string silent_text(const AcquireReport& report) {
  if (report.silent == 0) return {};
  return "; " + counted(report.silent, "idle connection") + " did not answer a ping";
}

// What the caller may raise to wait longer: "pool_acquire_timeout (250ms)".
std::string raise_time(const AcquireReport& report) {
  if (!report.allowed || report.allowed->count() <= 0) return "let this acquire wait";
  if (!report.allowed_by_config) return "raise the deadline of this acquire";
  return "raise pool_acquire_timeout (" + format_duration(*report.allowed) + ")";
}

std::string hint_text(const AcquireReport& report, AcquireTimeout::Cause cause) {
  const std::string size = "pool_max_conns (" + std::to_string(report.counts.max) + ")";
  const std::string time = raise_time(report);
  switch (cause) {
    case AcquireTimeout::Cause::exhausted: {
      constexpr std::string_view kRaise = "raise ";
      const bool same_verb = time.starts_with(kRaise);
      return std::string("a long transaction or a missing release ") +
             (report.longest ? "there" : "somewhere") + "; else raise " + size + " or " +
             (same_verb ? time.substr(kRaise.size()) : time);
    }
    case AcquireTimeout::Cause::connecting_slow:
      return (report.last_connect.empty() ? "a slow name look-up, TLS or log-in"
                                          : "the last connect says why") +
             std::string("; keep connections open with pool_min_conns, or ") + time;
    case AcquireTimeout::Cause::checking:
      return "the server is slow to answer a ping or a ROLLBACK, or leases come back dirty; else " +
             time;
    case AcquireTimeout::Cause::retiring:
      return "the server is slow to end a session, or a before_close hook to return; else raise " +
             size;
    case AcquireTimeout::Cause::not_growing:
      return (report.last_connect.empty()
                  ? "a connection was not to be had in that time; keep some open with "
                  : "the last connect says why; keep connections open with ") +
             std::string("pool_min_conns, or ") + time;
  }
  return {};
}

std::string timeout_text(const AcquireReport& report, AcquireTimeout::Cause cause, Location where) {
  std::string text = pool_text(report.pool) + ": " + no_connection(report.allowed, report.waited);
  text += counts_line(report.counts);
  text.append("\n  cause: ")
      .append(to_string(cause))
      .append(": ")
      .append(cause_text(report, cause))
      .append(silent_text(report));
  if (!report.last_connect.empty()) text += "\n  last connect: " + one_line(report.last_connect);
  text += own_text(report);
  text += "\n  hint: ";
  if (!report.own.empty()) {
    text +=
        "pass the connection down instead of acquiring again; if another thread has it by now, ";
  }
  text += hint_text(report, cause);
  return text + this_acquire(where);
}

std::string canceled_text(const AcquireReport& report, Location where) {
  return pool_text(report.pool) + ": acquire canceled by its stop token after " +
         brief_duration(report.waited, 4) + counts_line(report.counts) + own_text(report) +
         this_acquire(where);
}

std::string overloaded_text(const AcquireReport& report, std::uint32_t max_waiters,
                            Location where) {
  return pool_text(report.pool) + ": overloaded: " + std::to_string(report.counts.waiting) +
         " acquires wait already, pool_max_waiters is " + std::to_string(max_waiters) +
         counts_line(report.counts) + "\n  cause: " + used_text(report) + this_acquire(where);
}

}  // namespace

AcquireTimeout::AcquireTimeout(AcquireReport report, Cause cause, Location where)
    : Error(Errc::timeout, timeout_text(report, cause, where), where),
      report_(std::make_shared<const AcquireReport>(std::move(report))),
      cause_(cause) {}
AcquireTimeout::~AcquireTimeout() = default;

std::string_view to_string(AcquireTimeout::Cause cause) noexcept {
  switch (cause) {
    case AcquireTimeout::Cause::exhausted: return "exhausted";
    case AcquireTimeout::Cause::connecting_slow: return "connecting_slow";
    case AcquireTimeout::Cause::checking: return "checking";
    case AcquireTimeout::Cause::retiring: return "retiring";
    case AcquireTimeout::Cause::not_growing: return "not_growing";
  }
  return "unknown";
}

AcquireCanceled::AcquireCanceled(const AcquireReport& report, Location where)
    : Error(Errc::canceled, canceled_text(report, where), where),
      counts_(report.counts),
      waited_(report.waited) {}
AcquireCanceled::~AcquireCanceled() = default;

Overloaded::Overloaded(const AcquireReport& report, std::uint32_t max_waiters, Location where)
    : Error(Errc::overloaded, overloaded_text(report, max_waiters, where), where),
      counts_(report.counts),
      max_waiters_(max_waiters) {}
Overloaded::~Overloaded() = default;

}  // namespace tidegate
