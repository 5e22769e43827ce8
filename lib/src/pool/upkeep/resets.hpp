// Resets: connections that came back dirty, on their way to clean. Maintenance thread only.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include <tidegate/pool/config.hpp>

#include "pool/pooled_connection.hpp"
#include "pool/upkeep/rate_limit.hpp"
#include "pq/session_reset.hpp"

namespace tidegate::detail {

// Each reset has a deadline of its own (ping_timeout), and none waits for another. A connection
// that is not clean by then is retired. If the reason is a cancel request that may still strike,
// only so many are retired per second: a storm of timeouts must not become a storm of reconnects.
// The others stay here, unused, until their turn: to have none idle is better than a stray 57014.
class Resets {
 public:
  // How many connections may be retired per second because of their cancels.
  static constexpr std::uint32_t stray_retirements(std::uint32_t max_size) noexcept {
    return max_size < 8 ? 1 : max_size / 8;
  }

  Resets(const PoolConfig& config, PoolCore& core);

  // The slot in `checking` belongs to Resets until step() reports it done.
  void take(std::uint32_t slot) noexcept;

  // Adds what to wait for to `polled`; returns the time of the next deadline.
  Deadline add_polled(std::vector<pollfd>& polled) const;

  // Steps every reset; calls done(slot, result) for each that has ended, never with `pending`.
  template <class Done>
  void step(Done&& done) {
    std::erase_if(entries_, [&](Entry& entry) {
      const pq::SessionReset::Result result = step(entry);
      if (result == pq::SessionReset::Result::pending) return false;
      (result == pq::SessionReset::Result::clean ? clean_ : failed_)
          .fetch_add(1, std::memory_order_relaxed);
      done(entry.slot, result);
      return true;
    });
  }

  // Resets by result. Any thread.
  std::uint64_t clean() const noexcept { return clean_.load(std::memory_order_relaxed); }
  std::uint64_t failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    std::uint32_t slot;
    pq::SessionReset reset;
    bool condemned;  // a cancel may still strike: it waits for its turn to be retired
    bool quiet;      // the deadline is the end of the quiet time, and no server's fault
    Deadline deadline;
  };
  pq::SessionReset::Result step(Entry& entry) noexcept;

  // Fixed after construction.
  const pq::SessionReset::Order order_;
  const std::chrono::milliseconds timeout_;
  PoolCore& core_;

  std::vector<Entry> entries_;  // reserved for max_size
  RateLimit stray_retirements_;
  std::atomic<std::uint64_t> clean_{0};
  std::atomic<std::uint64_t> failed_{0};
};

}  // namespace tidegate::detail
