#include "pool/upkeep/resets.hpp"

#include "pool/events.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {

using Result = pq::SessionReset::Result;
using namespace std::chrono_literals;

Resets::Resets(const PoolConfig& config, PoolCore& core)
    : order_{.verify = config.reset != ResetPolicy::none,
             .discard_all = config.reset == ResetPolicy::discard_all},
      timeout_(config.ping_timeout),
      core_(core),
      stray_retirements_(stray_retirements(config.max_size)) {
  entries_.reserve(config.max_size);
}

void Resets::take(std::uint32_t slot) noexcept {
  const PooledConnection& pooled = core_.resource(slot);
  core_.slots().slot(slot).set_errand(core::Errand::reset);
  tell(pooled.rules->observer,
       [&](Observer& o) { o.reset_started(pooled.connection.backend_pid()); });
  entries_.push_back({.slot = slot,
                      .reset = pq::SessionReset(order_),
                      .condemned = false,
                      .quiet = false,
                      .deadline = Deadline(timeout_)});
}

Deadline Resets::add_polled(std::vector<pollfd>& polled) const {
  Deadline next = Deadline::never();
  for (const Entry& entry : entries_) {
    if (entry.condemned) {
      next = earlier(next, Deadline(stray_retirements_.next()));
      continue;
    }
    // Without events the reset waits for a cancel request to end; the socket is left out, because
    // poll() would report its end at every turn.
    const short events = entry.reset.events();
    const int socket =
        events == 0 ? -1 : pq::PoolAccess(core_.resource(entry.slot).connection).socket();
    polled.push_back({socket, events, 0});
    next = earlier(next, entry.deadline);
  }
  return next;
}

Result Resets::step(Entry& entry) noexcept {
  PooledConnection& pooled = core_.resource(entry.slot);
  Connection& connection = pooled.connection;
  Result result = Result::failed;
  if (!core_.slots().closed()) {
    if (entry.quiet && entry.deadline.passed()) entry.reset.end_quiet();
    if (!entry.condemned) result = entry.reset.step(connection);
    const auto quiet = result == Result::pending ? entry.reset.quiet(connection) : 0ms;
    if (const bool now = quiet > 0ms; now != entry.quiet) {
      entry.quiet = now;
      entry.deadline = Deadline(now ? quiet : timeout_);
    }
    if (result == Result::pending && !entry.quiet && entry.deadline.passed())
      result = Result::failed;
    const bool bad = result == Result::failed || result == Result::stray;
    if (bad && connection.is_open() &&
        pq::PoolAccess(connection).cancel_trace() != pq::CancelTrace::none) {
      entry.condemned = !stray_retirements_.take(std::chrono::steady_clock::now());
      if (entry.condemned) result = Result::pending;
    }
  }
  if (result != Result::pending) {
    tell(pooled.rules->observer, [&](Observer& o) {
      o.reset_ended({.acquired = core_.slots().slot(entry.slot).record().site,
                     .backend_pid = connection.backend_pid(),
                     .clean = result == Result::clean});
    });
  }
  return result;
}

}  // namespace tidegate::detail
