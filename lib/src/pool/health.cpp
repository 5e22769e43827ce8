// A pool's health: the evidence, gathered without a wait for any lease.
#include <tidegate/pool/health.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <tidegate/pool/connect_error.hpp>

#include "base/printable.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;  // where acquires have no timeout

std::string text_of(const CloseRecord& record) {
  std::string text = record.where.to_string();
  if (!record.reason.empty()) text += ", reason \"" + one_line(record.reason) + '"';
  return text;
}

// When a lease last began or ended, on any slot.
core::Tick last_lease(const PoolCore& core, std::uint32_t slots) noexcept {
  core::Tick last = 0;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const core::Slot& slot = core.slots().slot(i);
    if (slot.acquired() > 0) last = std::max(last, slot.since());
  }
  return last;
}

std::optional<std::uint32_t> oldest_lease(const PoolCore& core, std::uint32_t slots) noexcept {
  std::optional<std::uint32_t> oldest;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const auto since = [&core](std::uint32_t slot) { return core.slots().slot(slot).since(); };
    if (core.slots().slot(i).leased() && (!oldest || since(i) < since(*oldest))) oldest = i;
  }
  return oldest;
}

}  // namespace

Health PoolImpl::health() const {
  Health health;
  health.counts = core_->slots().counts();
  health.patience = config_.acquire_timeout.count() > 0
                        ? std::chrono::nanoseconds(config_.acquire_timeout)
                        : std::chrono::nanoseconds(kPatience);
  const auto now = std::chrono::steady_clock::now();
  if (const core::Tick last = last_lease(*core_, config_.max_size)) {
    health.last_lease =
        std::max(std::chrono::nanoseconds(now.time_since_epoch().count() - last), 0ns);
  }
  if (const auto slot = oldest_lease(*core_, config_.max_size))
    health.oldest_lease = lease_of(*core_, *slot);
  const auto backoff = core_->openers().backoff();
  if (backoff.failures > 0) {
    health.connects_failed = backoff.failures;
    health.failing_for = std::max<std::chrono::nanoseconds>(now - backoff.since, 0ns);
    if (const auto failure = core_->last_failure()) {
      const auto* const error = failure->as<ConnectError>();
      health.connect_error = error != nullptr ? error->server_text() : failure->what();
      if (error != nullptr) health.sqlstate = error->sqlstate();
    }
  }
  const Closing::Standing standing = closing_.standing();
  health.announced = standing.announced;
  health.fenced = core_->slots().closed();
  health.ended = standing.ended;
  if (standing.by) health.closed_by = text_of(*standing.by);
  judge(health);
  return health;
}

}  // namespace tidegate::detail
