// LeakWatch: leases that are out for longer than PoolConfig::leak_threshold.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <tidegate/pool/config.hpp>
#include <tidegate/pool/observer.hpp>
#include <tidegate/watch/lease_info.hpp>

#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

// Costs an acquire and a release nothing: it finds an overdue lease by the slot's record, and sees
// at its next look that the lease has ended. Maintenance thread only, except the counts.
class LeakWatch {
 public:
  using Clock = std::chrono::steady_clock;

  LeakWatch(const PoolConfig& config, const PoolCore& core);

  // At every tick while a lease is out. Looks at all slots only when one of them may be overdue.
  void look(Clock::time_point now) noexcept;

  // Any thread. Leases warned about, and those of them that have ended since.
  std::uint64_t suspected() const noexcept { return suspected_.load(std::memory_order_relaxed); }
  std::uint64_t returned() const noexcept { return returned_.load(std::memory_order_relaxed); }

 private:
  struct Suspect {
    std::uint32_t slot;
    std::uint64_t number;  // the lease's number among those of the slot
    LeaseInfo lease;       // as it was when it was suspected
  };
  bool is_out(const Suspect& suspect) const noexcept;
  bool is_known(std::uint32_t slot) const noexcept;
  void suspect(std::uint32_t slot) noexcept;
  void tell_returned(Suspect& suspect, Clock::time_point now) noexcept;

  // Fixed after construction.
  const std::chrono::nanoseconds threshold_;  // 0: off
  const std::shared_ptr<Observer> observer_;
  const PoolCore& core_;

  std::vector<Suspect> suspects_;  // reserved for max_size
  Clock::time_point next_look_{};  // no other lease is overdue before this
  std::atomic<std::uint64_t> suspected_{0};
  std::atomic<std::uint64_t> returned_{0};
};

}  // namespace tidegate::detail
