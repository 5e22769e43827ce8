#include "pool/laundry.hpp"

#include "pool/events.hpp"

namespace tidegate::detail {

using Result = pq::Wash::Result;
using namespace std::chrono_literals;

Laundry::Laundry(const PoolConfig& config, PoolCore& core)
    : order_{.verify = config.reset != ResetPolicy::none,
             .discard_all = config.reset == ResetPolicy::discard_all},
      timeout_(config.ping_timeout),
      core_(core),
      stray_retirements_(stray_retirements(config.max_size)) {
  loads_.reserve(config.max_size);
}

void Laundry::take(std::uint32_t slot) noexcept {
  const PooledConnection& pooled = core_.resource(slot);
  core_.slots().slot(slot).set_errand(core::Errand::reset);
  tell(pooled.rules->observer,
       [&](Observer& o) { o.reset_started(pooled.connection.backend_pid()); });
  loads_.push_back({.slot = slot,
                    .wash = pq::Wash(order_),
                    .condemned = false,
                    .quiet = false,
                    .deadline = Deadline(timeout_)});
}

Deadline Laundry::add_polled(std::vector<pollfd>& polled) const {
  Deadline next = Deadline::never();
  for (const Load& load : loads_) {
    if (load.condemned) {
      next = earlier(next, Deadline(stray_retirements_.next()));
      continue;
    }
    // Without events it waits for a cancel request to end; the socket is left out, since poll()
    // would tell of its end at every turn.
    const short events = load.wash.events();
    const int socket = events == 0 ? -1 : core_.resource(load.slot).connection.socket();
    polled.push_back({socket, events, 0});
    next = earlier(next, load.deadline);
  }
  return next;
}

Result Laundry::step(Load& load) noexcept {
  PooledConnection& pooled = core_.resource(load.slot);
  Connection& connection = pooled.connection;
  Result result = Result::failed;
  if (!core_.slots().closed()) {
    if (load.quiet && load.deadline.passed()) load.wash.end_quiet();
    if (!load.condemned) result = load.wash.step(connection);
    const auto quiet = result == Result::pending ? load.wash.quiet(connection) : 0ms;
    if (const bool now = quiet > 0ms; now != load.quiet) {
      load.quiet = now;
      load.deadline = Deadline(now ? quiet : timeout_);
    }
    if (result == Result::pending && !load.quiet && load.deadline.passed()) result = Result::failed;
    const bool bad = result == Result::failed || result == Result::stray;
    if (bad && connection.is_open() && connection.cancel_trace() != pq::CancelTrace::none) {
      load.condemned = !stray_retirements_.take(std::chrono::steady_clock::now());
      if (load.condemned) result = Result::pending;
    }
  }
  if (result != Result::pending) {
    tell(pooled.rules->observer, [&](Observer& o) {
      o.reset_ended({.acquired = core_.slots().slot(load.slot).record().site,
                     .backend_pid = connection.backend_pid(),
                     .clean = result == Result::clean});
    });
  }
  return result;
}

}  // namespace tidegate::detail
