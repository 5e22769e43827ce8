#include "pool/upkeep/ping_round.hpp"

#include <algorithm>

namespace tidegate::detail {

PingRound::PingRound(const PoolConfig& config, PoolCore& core)
    : config_(config), core_(core), answered_(config.max_size) {
  slots_.reserve(config.max_size);
}

std::chrono::milliseconds PingRound::silent_for() const noexcept {
  return keepalive() ? config_.keepalive : std::max(config_.ping_after, config_.health_period);
}

bool PingRound::is_due(Clock::time_point now) noexcept {
  if (now < next_) return false;
  next_ = now + silent_for();
  return keepalive() || config_.ping_after.count() > 0;
}

void PingRound::plan(Clock::time_point now) noexcept {
  slots_.clear();
  for (std::uint32_t slot = 0; slot < config_.max_size; ++slot) {
    if (core_.slots().state(slot) != core::SlotState::idle) continue;
    const auto due = last_heard(slot) + silent_for();
    if (due <= now) {
      slots_.push_back(slot);
    } else {
      next_ = std::min(next_, due);
    }
  }
}

// When the server last gave a sign of life on this connection, as far as is known.
PingRound::Clock::time_point PingRound::last_heard(std::uint32_t slot) const noexcept {
  const Clock::time_point since{Clock::duration(core_.slots().slot(slot).since())};
  return std::max(since, answered_[slot]);
}

}  // namespace tidegate::detail
