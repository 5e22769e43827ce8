// PingRound: pings idle connections that have been silent for long, a few at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <tidegate/core/policy.hpp>
#include <tidegate/pool/config.hpp>

#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

// Decides which connections to ping, and how many at once; maintenance does the pings. Maintenance
// thread only, except for last_answer().
class PingRound {
 public:
  using Clock = std::chrono::steady_clock;

  PingRound(const PoolConfig& config, PoolCore& core);

  // When to call is_due() again.
  Clock::time_point next() const noexcept { return next_; }
  void begin(Clock::time_point now) noexcept { next_ = now; }
  // Is a plan() due? Called at least once after next().
  bool is_due(Clock::time_point now) noexcept;
  // Plans the pings: with keepalive, for all connections that have been silent for that long; else
  // for those silent for ping_after, or for a health_period where that is longer. A docked
  // connection does not look idle, and is passed over.
  void plan(Clock::time_point now) noexcept;
  // Without a plan: for connections that another part of maintenance wants pinged.
  void clear() noexcept { slots_.clear(); }
  void add(std::uint32_t slot) noexcept { slots_.push_back(slot); }

  // Pings as many at once as leave acquirers enough: calls begin(slot) for each, which is then in
  // `checking` and belongs to the caller. `under_way`: pings of the round that have not ended.
  template <class Begin>
  void go_on(std::uint32_t under_way, Begin&& begin) noexcept {
    if (slots_.empty()) return;
    const std::uint32_t idle = core_.slots().places().idle + under_way;
    while (!slots_.empty() && under_way < core::policy::checked_at_once(idle)) {
      const std::uint32_t slot = slots_.back();
      slots_.pop_back();
      if (!core_.slots().try_check(slot)) continue;  // somebody has it: proof enough
      begin(slot);
      ++under_way;
    }
  }

  // The server has answered a ping on this connection. The slot carries this and the next.
  void answered(std::uint32_t slot) noexcept { answered_[slot] = Clock::now(); }
  // For the owner of the slot, which may be an acquirer: when such an answer last came.
  Clock::time_point last_answer(std::uint32_t slot) const noexcept { return answered_[slot]; }

 private:
  bool keepalive() const noexcept { return config_.keepalive.count() > 0; }
  std::chrono::milliseconds silent_for() const noexcept;
  Clock::time_point last_heard(std::uint32_t slot) const noexcept;

  // Fixed after construction.
  const PoolConfig& config_;
  PoolCore& core_;

  std::vector<std::uint32_t> slots_;  // still to be pinged; reserved for max_size
  std::vector<Clock::time_point> answered_;
  Clock::time_point next_{};
};

}  // namespace tidegate::detail
