// Maintenance: the pool's one permanent thread. It never blocks on a server.
#pragma once

#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include <tidegate/pool/config.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "farewell.hpp"
#include "pooled_connection.hpp"

namespace tidegate::detail {

// One poll loop over small state machines, each with a deadline of its own: connections that are on
// the way out (Farewell), and connections that are being pinged. Beside them the chores: the coarse
// tick every 10 ms while a connection is open, and every health_period (sooner when something was
// retired): refill, expire, reap.
class Maintenance {
 public:
  // Throws std::system_error when there is no thread or no descriptor to be had. `core` outlives
  // stop().
  Maintenance(const PoolConfig& config, PoolCore& core);
  ~Maintenance() { stop(Deadline::now()); }
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // Something is to be done: a slot stands in `retiring`, or a connection was opened. Any thread,
  // also under the wait mutex: one write to an eventfd.
  void wake() noexcept;
  // An opening found no thread to run on: it is asked for again at the next tick.
  void no_thread() noexcept {
    if (std::this_thread::get_id() != thread_.get_id()) wake();
  }
  // Pings the connection of a slot in `checking`, then puts it back or retires it.
  void ping(std::uint32_t slot) noexcept;
  // An acquirer pings by itself.
  void count_ping() noexcept { pings_.fetch_add(1, std::memory_order_relaxed); }
  // Does the chores at the next turn, whatever the health_period.
  void hurry() noexcept;
  // Ends the thread when nothing is retiring any more, or at the deadline, and joins it. Needs: the
  // core is closed, and drained or abandoned, so that nothing new comes. Idempotent.
  void stop(Deadline deadline) noexcept;

  std::uint64_t pings() const noexcept { return pings_.load(std::memory_order_relaxed); }
  std::uint64_t abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }
  std::uint32_t peak_leased() const noexcept { return peak_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Ping {
    std::uint32_t slot;
    Deadline deadline;
  };

  void run() noexcept;
  void take_work() noexcept;
  bool wait() noexcept;
  void step_farewells() noexcept;
  void step_pings() noexcept;
  void keep_time(Clock::time_point now) noexcept;
  void do_chores(Clock::time_point now) noexcept;
  void expire_and_reap(Clock::time_point now) noexcept;
  void retire(std::uint32_t slot, core::Retired reason) noexcept;
  void finish_rest() noexcept;

  // Fixed after construction.
  const PoolConfig config_;
  PoolCore& core_;
  pq::FileDescriptor wake_;
  // Maintenance thread only. The vectors are reserved for max_size, so nothing here allocates.
  std::vector<Farewell> farewells_;
  std::vector<Ping> pinging_;
  std::vector<std::uint32_t> idle_;
  std::vector<pollfd> polled_;
  Clock::time_point next_chores_{};
  Clock::time_point last_chores_{};
  Clock::time_point window_began_{};
  std::uint32_t window_peak_ = 0;
  bool anything_open_ = false;
  // Shared.
  std::mutex mutex_;
  std::vector<std::uint32_t> to_ping_;  // mutex_
  std::atomic<bool> hurry_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> stop_at_{0};  // steady ns; with stopping_
  std::atomic<std::uint64_t> pings_{0};
  std::atomic<std::uint64_t> abandoned_{0};
  std::atomic<std::uint32_t> peak_{0};
  std::thread thread_;
};

}  // namespace tidegate::detail
