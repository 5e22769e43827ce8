// Maintenance: the pool's one permanent thread. It never blocks on a server.
#pragma once

#include <poll.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "pool/pooled_connection.hpp"
#include "pool/upkeep/leak_watch.hpp"
#include "pool/upkeep/ping_round.hpp"
#include "pool/upkeep/reaper.hpp"
#include "pool/upkeep/resets.hpp"
#include "pool/upkeep/termination.hpp"
#include "pq/forked_descriptors.hpp"

namespace tidegate::detail {

class PoolImpl;

// One poll loop over small state machines, each with a deadline of its own: connections that
// terminate (Termination), that are being pinged, and that came back dirty (Resets). While a
// connection is open it writes the coarse tick every 10 ms, and then looks at the floor and at
// connects past their time. Every health_period it does the housekeeping: expire, reap, ping
// (housekeeping.cpp).
class Maintenance {
 public:
  using Clock = std::chrono::steady_clock;

  // Throws std::system_error when the system gives no thread or no descriptor. `core` and `pool`
  // outlive stop(). The thread calls `on_close_wanted` once, after want_close().
  Maintenance(const PoolConfig& config, PoolCore& core, const PoolImpl& pool,
              std::function<void()> on_close_wanted);
  ~Maintenance() { join(); }
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // Tells the thread that there is work: a slot stands in `retiring` or wants a check, or a
  // connection was opened. Any thread, also under the wait mutex: one write to an eventfd.
  void wake() noexcept;
  // An opening found no thread: maintenance asks again, at the next tick if somebody waits.
  void no_thread() noexcept;
  // Counts a ping that an acquirer does by itself.
  void count_ping() noexcept { pings_.fetch_add(1, std::memory_order_relaxed); }
  // Does the housekeeping at the next pass, without waiting for the health_period.
  void hurry() noexcept;
  // An opening has failed: maintenance asks again when the next attempt may begin.
  void refill_at(Clock::time_point next_attempt) noexcept;
  // A connection was found dead: maintenance looks at the other idle ones, too.
  void suspect() noexcept;
  // For the slot's owner: when maintenance last had an answer on it. The slot carries this.
  Clock::time_point answered(std::uint32_t slot) const noexcept { return round_.last_answer(slot); }
  // Returns after the next pass of the loop, or at the deadline.
  void await_pass(Deadline deadline) noexcept;
  // From here on the pool opens only connections that somebody waits for. Any thread.
  void stop_refilling() noexcept;
  bool refills() const noexcept { return refills_.load(std::memory_order_relaxed); }
  // Async-signal-safe.
  void want_close() noexcept;
  // Ends the thread when nothing is retiring or checked any more, or at the deadline; the thread
  // may still be on its way out then. False: the thread had not ended at `give_up`, because an
  // observer holds it. Idempotent.
  // Needs: the core is closed, and drained or its leases orphaned, so that nothing new comes.
  bool stop(Deadline deadline, Deadline give_up) noexcept;
  // Like stop(), but does not wait. Also needs: nothing is retiring or checked any more, and there
  // is no observer that the thread might be in.
  void stop_soon(Deadline deadline) noexcept;
  // Ends the thread, unless it is detached, and waits for its end. Idempotent.
  void join() noexcept;
  // After a stop() in vain: does not wait for the thread any more. `keep` owns everything that the
  // thread touches.
  void detach(std::shared_ptr<void> keep) noexcept;
  long thread_id() const noexcept { return thread_id_.load(std::memory_order_relaxed); }

  // For a ForkHook: from then on nothing in the child wakes the parent's thread.
  void cut_off_in_child() noexcept { pq::cut_off_eventfd(wake_.get()); }

  std::uint64_t pings() const noexcept { return pings_.load(std::memory_order_relaxed); }
  std::uint64_t abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }
  std::uint64_t role_changes() const noexcept {
    return role_changes_.load(std::memory_order_relaxed);
  }
  std::uint32_t peak_leased() const noexcept { return peak_.load(std::memory_order_relaxed); }
  const Resets& resets() const noexcept { return resets_; }
  const LeakWatch& leaks() const noexcept { return leaks_; }

 private:
  struct Ping {
    std::uint32_t slot;
    bool of_round;  // maintenance chose the slot, not an acquirer
    Deadline deadline;
  };

  // maintenance.cpp
  void run() noexcept;
  void loop() noexcept;
  void take_work() noexcept;
  bool wait() noexcept;
  void refill_after_backoff() noexcept;
  void step_terminations() noexcept;
  void step_pings() noexcept;
  void step_resets() noexcept;
  void begin_termination(std::uint32_t slot) noexcept;
  void begin_ping(std::uint32_t slot, bool of_round, Clock::time_point since) noexcept;
  void end_ping(const Ping& ping, bool answered) noexcept;
  void retire(std::uint32_t slot, core::Retired reason) noexcept;
  void demoted(std::uint32_t slot) noexcept;
  void finish_rest() noexcept;

  // housekeeping.cpp
  void keep_time(Clock::time_point now) noexcept;
  std::uint32_t floor_with(std::uint32_t leased) const noexcept;
  void keep_floor(Clock::time_point now) noexcept;
  void do_housekeeping(Clock::time_point now) noexcept;
  void look_at_all_idle() noexcept;
  void expire() noexcept;
  void go_on_with_round(Clock::time_point now) noexcept;

  // Fixed after construction.
  const PoolConfig config_;
  PoolCore& core_;
  const PoolImpl& pool_;
  const std::function<void()> on_close_wanted_;
  pq::FileDescriptor wake_;
  // Maintenance thread only. The vectors are reserved for max_size, so nothing here allocates.
  std::vector<Termination> terminations_;
  std::vector<Ping> pinging_;
  Resets resets_;
  LeakWatch leaks_;
  PingRound round_;
  Reaper reaper_;
  std::vector<pollfd> polled_;
  Clock::time_point next_housekeeping_{};
  Clock::time_point last_housekeeping_{};
  Clock::time_point next_look_{};
  Clock::time_point next_role_change_{};
  std::uint32_t role_changes_in_a_row_ = 0;
  std::uint32_t floor_ = 0;  // the floor that the core was last told
  bool anything_open_ = false;
  // Shared.
  std::atomic<bool> hurry_{false};
  std::atomic<bool> suspect_{false};
  std::atomic<Clock::rep> refill_at_{0};  // steady; 0: nothing has failed since the last look
  std::atomic<bool> refills_{true};
  std::atomic<bool> close_wanted_{false};
  std::atomic<long> thread_id_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> stop_at_{0};  // steady ns; with stopping_
  std::atomic<std::uint64_t> pings_{0};
  std::atomic<std::uint64_t> abandoned_{0};
  std::atomic<std::uint64_t> role_changes_{0};
  std::atomic<std::uint32_t> peak_{0};
  Mutex<> pass_mutex_;
  std::condition_variable passed_;
  std::uint64_t passes_ TIDEGATE_GUARDED_BY(pass_mutex_) = 0;
  std::uint32_t awaiting_pass_ TIDEGATE_GUARDED_BY(pass_mutex_) = 0;
  bool ended_ TIDEGATE_GUARDED_BY(pass_mutex_) = false;
  std::shared_ptr<void> keep_ TIDEGATE_GUARDED_BY(pass_mutex_);  // see detach()
  std::thread thread_;
};

}  // namespace tidegate::detail
