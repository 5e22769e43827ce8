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
  reaper_.note_leased(counts.leased);
  if (counts.leased > peak_leased()) peak_.store(counts.leased, std::memory_order_relaxed);
  // Asks again for an opening that got no thread, and for one that seemed unnecessary because a
  // connection would be back at once.
  if (counts.waiting > counts.connecting) core_.slots().grow();
}

std::uint32_t Maintenance::floor_with(std::uint32_t leased) const noexcept {
  return core::policy::floor_size(config_.min_size, config_.min_idle, leased, config_.max_size);
}

// The core keeps the floor by itself; but it does not hear of leases that come and go, and the pool
// wants spare connections on top of them. While a backoff runs this asks for nothing:
// refill_after_backoff() asks when the backoff ends.
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
  const PoolCounts fresh = core_.slots().places();
  reaper_.reap(now, fresh, floor_with(fresh.leased),
               [this](std::uint32_t slot) { retire(slot, Retired::idle); });
}

// One connection was found dead. A look at the sockets of the others finds those whose end has
// reached us; a ping finds the rest. No connection is closed without proof.
void Maintenance::look_at_all_idle() noexcept {
  round_.clear();
  core_.slots().check_each_idle([this](std::uint32_t slot) {
    Connection& connection = core_.resource(slot).connection;
    if (pq::PoolAccess(connection).check_socket() == pq::SocketCheck::dead)
      return retire(slot, Retired::broken);
    if (pq::PoolAccess(connection).role() == pq::Role::standby) return demoted(slot);
    if (pq::PoolAccess(connection).role() == pq::Role::doubtful) return resets_.take(slot);
    if (config_.ping_after.count() > 0) round_.add(slot);
    core_.slots().put_back(slot);
  });
}

// The reaper is told which connections are fresh.
void Maintenance::expire() noexcept {
  reaper_.clear();
  core_.slots().check_each_idle([this](std::uint32_t slot) {
    if (!core_.fresh(slot)) return retire(slot, core_.stale_reason(slot));
    reaper_.add(slot);
    core_.slots().put_back(slot);
  });
}

// ---- pings -----------------------------------------------------------------------------------

void Maintenance::go_on_with_round(Clock::time_point now) noexcept {
  if (round_.is_due(now)) {
    core_.slots().empty_docks();
    round_.plan(now);
  }
  const auto of_round = [](const Ping& ping) { return ping.of_round; };
  const auto under_way = std::count_if(pinging_.begin(), pinging_.end(), of_round);
  round_.go_on(static_cast<std::uint32_t>(under_way),
               [this](std::uint32_t slot) { begin_ping(slot, true, Clock::now()); });
}

}  // namespace tidegate::detail
