// What maintenance does by the clock: refill, expire, reap, ping.
#include <algorithm>

#include <tidegate/core/policy.hpp>

#include "pool/upkeep/maintenance.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {

using core::Retired;

void Maintenance::keep_time(Clock::time_point now) noexcept {
  core_.slots().set_tick(now.time_since_epoch().count());
  const PoolCounts counts = core_.slots().counts();
  anything_open_ =
      counts.idle + counts.leased + counts.connecting + counts.checking + counts.waiting > 0;
  if (counts.connecting > 0) core_.openers().give_up_overdue(now);
  window_peak_ = std::max(window_peak_, counts.leased);
  if (counts.leased > peak_leased()) peak_.store(counts.leased, std::memory_order_relaxed);
  // Asked for again: an opening that got no thread; and one that there seemed to be no need of,
  // because a connection would be back at once.
  if (counts.waiting > counts.connecting) core_.slots().grow();
}

std::uint32_t Maintenance::floor_with(std::uint32_t leased) const noexcept {
  return core::policy::floor_size(config_.min_size, config_.min_idle, leased, config_.max_size);
}

// The core keeps the floor by itself; but leases come and go without a word, and spare connections
// are wanted on top of them. While a backoff runs nothing is asked for: refill_after_backoff() does
// when it ends.
void Maintenance::keep_floor(Clock::time_point now) noexcept {
  if (!refills() || floor_with(0) == 0) return;
  const PoolCounts counts = core_.slots().places();
  const std::uint32_t floor = floor_with(counts.leased);
  const std::uint32_t have = counts.idle + counts.leased + counts.checking + counts.connecting;
  if (floor == floor_ && have >= floor) return;
  const auto backoff = core_.openers().backoff();
  if (backoff.failures > 0 && now < backoff.next) return;
  floor_ = floor;
  core_.slots().grow_to(floor);
}

void Maintenance::do_housekeeping(Clock::time_point now) noexcept {
  last_housekeeping_ = now;
  next_housekeeping_ = now + config_.health_period;
  const PoolCounts counts = core_.slots().places();
  if (refills()) {
    floor_ = floor_with(counts.leased);
    core_.slots().grow_to(floor_);
  }
  expire();
  reap(now);
}

// A docked connection may sit there for hours, and its state does not say that it is idle.
void Maintenance::empty_docks() noexcept {
  auto& slots = core_.slots();
  for (std::uint32_t g = 0; g < slots.gate_count(); ++g) {
    if (const auto slot = slots.try_check_docked(g)) slots.put_back(*slot);
  }
}

// Takes every idle connection in hand for a moment, one at a time: look(slot) puts it back or
// retires it.
template <class Look>
void Maintenance::for_each_idle(Look&& look) noexcept {
  empty_docks();
  for (std::uint32_t slot = 0; slot < config_.max_size; ++slot) {
    if (core_.slots().try_check(slot)) look(slot);
  }
}

// One connection was found dead. A look at the others' sockets finds those whose end has come to
// us; a ping the rest. None is closed without proof.
void Maintenance::look_at_all_idle() noexcept {
  round_.clear();
  for_each_idle([this](std::uint32_t slot) {
    Connection& connection = core_.resource(slot).connection;
    if (pq::PoolAccess(connection).check_socket() == pq::SocketCheck::dead)
      return retire(slot, Retired::broken);
    if (pq::PoolAccess(connection).role() == pq::Role::standby) return demoted(slot);
    if (pq::PoolAccess(connection).role() == pq::Role::doubtful) return resets_.take(slot);
    if (config_.ping_after.count() > 0) round_.push_back(slot);
    core_.slots().put_back(slot);
  });
}

// Leaves what is fresh in idle_.
void Maintenance::expire() noexcept {
  idle_.clear();
  for_each_idle([this](std::uint32_t slot) {
    if (!core_.fresh(slot)) return retire(slot, core_.stale_reason(slot));
    idle_.push_back({slot, core_.slots().slot(slot).since()});
    core_.slots().put_back(slot);
  });
}

void Maintenance::reap(Clock::time_point now) noexcept {
  if (config_.max_idle_time.count() == 0) return;
  auto& slots = core_.slots();
  const auto limit = std::chrono::nanoseconds(config_.max_idle_time);
  const core::Tick oldest_kept = (now - limit).time_since_epoch().count();
  const PoolCounts counts = slots.places();
  core::policy::Reap reap{.open = counts.idle + counts.leased + counts.checking,
                          .floor = floor_with(counts.leased)};
  for (const Idle& idle : idle_) {
    if (idle.since <= oldest_kept) ++reap.aged;
  }
  // Under rotation through the queue every connection is used now and then; what the busiest
  // moment of a whole window did not need is surplus all the same.
  if (now - window_began_ >= limit) {
    reap.surplus = reap.open > window_peak_ ? reap.open - window_peak_ : 0;
    window_began_ = now;
    window_peak_ = counts.leased;
  }
  std::uint32_t left = core::policy::to_reap(reap);
  std::sort(idle_.begin(), idle_.end(),
            [](const Idle& a, const Idle& b) { return a.since < b.since; });
  for (const Idle& idle : idle_) {
    if (left == 0) return;
    if (!slots.try_check(idle.slot)) continue;  // somebody has it by now
    retire(idle.slot, Retired::idle);
    --left;
  }
}

// ---- pings -----------------------------------------------------------------------------------

// When the server last gave a sign of life on this connection, as far as we know.
Maintenance::Clock::time_point Maintenance::last_heard(std::uint32_t slot) const noexcept {
  const Clock::time_point since{Clock::duration(core_.slots().slot(slot).since())};
  return std::max(since, answered_[slot]);
}

// Who is to be pinged now: with keepalive, all that have been silent for that long; else those that
// have been so since the last housekeeping. And when to look again.
void Maintenance::plan_round(Clock::time_point now) noexcept {
  const bool keepalive = config_.keepalive.count() > 0;
  const auto silent =
      keepalive ? config_.keepalive : std::max(config_.ping_after, config_.health_period);
  next_round_ = now + silent;
  if (!keepalive && config_.ping_after.count() == 0) return;
  empty_docks();
  round_.clear();
  for (std::uint32_t slot = 0; slot < config_.max_size; ++slot) {
    if (core_.slots().state(slot) != core::SlotState::idle) continue;
    const auto due = last_heard(slot) + silent;
    if (due <= now) {
      round_.push_back(slot);
    } else {
      next_round_ = std::min(next_round_, due);
    }
  }
}

// As many at once as leave acquirers enough.
void Maintenance::go_on_with_round() noexcept {
  if (round_.empty()) return;
  const auto of_round = [](const Ping& ping) { return ping.of_round; };
  auto under_way =
      static_cast<std::uint32_t>(std::count_if(pinging_.begin(), pinging_.end(), of_round));
  const std::uint32_t idle = core_.slots().places().idle + under_way;
  while (!round_.empty() && under_way < core::policy::checked_at_once(idle)) {
    const std::uint32_t slot = round_.back();
    round_.pop_back();
    if (!core_.slots().try_check(slot)) continue;  // somebody has it: proof enough
    begin_ping(slot, true, Clock::now());
    ++under_way;
  }
}

}  // namespace tidegate::detail
