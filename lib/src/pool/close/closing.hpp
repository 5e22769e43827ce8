// Closing: the end of a pool, from the first caller to the report that every caller gets.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/closed_error.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pq/cancel_group.hpp>
#include <tidegate/pq/session_monitor.hpp>

#include "pool/lease_table.hpp"
#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

class AttachedUsers;
class Maintenance;
class PoolImpl;

// The first caller of run() does the work, phase by phase, on its own thread. Callers that come
// meanwhile may shorten a phase, and wait for the same report.
//
//   open -> fence -> drain -> cancel -> force -> done | orphaned
//
// The record of the first caller, or of request(), is written before the fence is set, so every
// thread that meets the fence finds the record.
class Closing {
 public:
  // What a Closing closes; all of it outlives the Closing.
  struct Parts {
    const PoolConfig& config;
    const std::string& name;
    PoolCore& core;
    Maintenance& maintenance;
    pq::CancelGroup& cancels;
    const AttachedUsers& users;
  };
  explicit Closing(Parts parts) : parts_(parts) {}

  // What stuck threads refer to, and hold from then on. Not a std::weak_ptr<void>: to make one of
  // this owns the pool for a moment, and if that is the last to do so, the pool ends on a thread of
  // its own, which waits for itself.
  using Keep = std::weak_ptr<PoolImpl>;

  // Writes the record and sets the fence; run() must follow. Async-signal-safe. Keeps `reason` as a
  // pointer. False: somebody else came first.
  bool request(const char* reason, Location where) noexcept;

  // True: the calling thread is closing the pool, and this call comes from inside that, so run()
  // would wait for itself.
  bool runs_here() const;

  // True the first time. This does not tell the leases.
  bool announce(std::string_view reason, Location where);

  // Needs: no phase is negative, and no call that the calling thread is in has a lease.
  CloseReport run(const CloseOptions& options, Location where, const Keep& keep);

  // For the destructor, which cannot be refused. It does not wait for leases in calls that its
  // thread is in, because that is surely in vain. It waits until the end of drain for leases that
  // its thread used last, because others may have them by now; then it leaves them as they are.
  CloseReport run_last(const CloseOptions& options, Location where, const Keep& keep);

  // Does what request() left to be done, on a thread of the pool.
  CloseReport run_requested(const Keep& keep);

  // Both throw std::bad_alloc; the close is then partly done, and the next caller goes on with it.
  // Or this ends it, which needs no memory and comes last: leases that are out end by themselves,
  // and stuck threads hold `keep`.
  void end_without_report(const std::shared_ptr<void>& keep) noexcept;

  // True: the connection to be retired may be that of the last lease; the closing thread, which
  // this lease is about to wake, then terminates it by itself. Called by the thread that retires it
  // and is still admitted; if the lease was not the last, maintenance finds it at its next tick.
  bool takes_the_last() const noexcept;

  struct Standing {
    bool announced = false;
    bool ended = false;
    std::optional<CloseRecord> by{};  // who closed the pool, or announced that
  };
  Standing standing() const;

  // What errors tell of the close. Never null once the fence is set.
  std::shared_ptr<const ClosedReport> closed();

 private:
  using Clock = std::chrono::steady_clock;
  using Outcome = CloseReport::Outcome;

  // How long each phase may still take; for the phase under way, until_ counts.
  struct Plan {
    std::chrono::milliseconds drain{};
    std::chrono::milliseconds cancel{};
    std::chrono::milliseconds force{};
  };

  enum class Caller : std::uint8_t { user, pool, destructor };
  // One run under way; it ends with the run, whatever happened.
  class Turn;
  CloseReport run(const CloseOptions& options, Location where, const Keep& keep, Caller caller);
  bool publish(std::string reason, Location where) TIDEGATE_REQUIRES(mutex_);
  CloseRecord record_of(std::string reason, Location where) const;
  void shorten(const CloseOptions& options) TIDEGATE_REQUIRES(mutex_);
  void leave_out(std::int32_t thread, Known known) noexcept TIDEGATE_REQUIRES(mutex_);
  bool is_left_out(std::uint32_t slot) const noexcept;
  bool has_less_to_leave_out(std::uint32_t own) noexcept;
  void hurry() noexcept;
  Deadline until() const noexcept;

  void enter(std::string_view phase, std::chrono::milliseconds Plan::* bound);
  bool skips(std::chrono::milliseconds Plan::* bound) const;
  bool await(std::chrono::milliseconds look_every, const std::function<void()>& look);
  bool drain();
  bool cancel();
  bool force();
  void note_left();
  void note_own() noexcept;
  void end_of_patience() noexcept;
  void tell_if_suspicious() const noexcept;
  void note_ended(const char* phase);
  void note_canceled();
  bool still_out(std::uint32_t slot) const;
  template <class Visit>
  void for_each_left(Visit&& visit);
  bool tells_nobody() const noexcept;
  bool end_by_itself(Deadline deadline);
  void end_rest(const Keep& keep);
  CloseReport finish();
  std::uint32_t orphan_leases() noexcept;

  const Parts parts_;

  // Written once, by the request() that changes the state to `written`.
  enum class Request : int { none, writing, written };
  std::atomic<Request> request_{Request::none};
  const char* request_reason_ = nullptr;
  Location request_where_{};
  Clock::time_point request_when_{};
  std::int32_t request_thread_ = 0;

  std::atomic<bool> hurry_{false};
  // When the phase under way has to end; steady ns. Relaxed: poke_drain() carries it.
  std::atomic<Clock::rep> until_{0};
  std::atomic<bool> draining_{false};
  std::atomic<bool> takes_the_last_{false};  // relaxed: a miss only wakes maintenance

  mutable Mutex<> mutex_;
  std::condition_variable ended_;
  std::shared_ptr<ClosedReport> closed_ TIDEGATE_GUARDED_BY(mutex_);  // null = open
  bool running_ TIDEGATE_GUARDED_BY(mutex_) = false;
  std::int32_t runner_ TIDEGATE_GUARDED_BY(mutex_) = 0;  // the thread, while running_
  Plan plan_ TIDEGATE_GUARDED_BY(mutex_){};
  std::vector<CloseRecord> later_ TIDEGATE_GUARDED_BY(mutex_){};
  std::optional<CloseReport> report_ TIDEGATE_GUARDED_BY(mutex_){};  // set = close has ended
  std::optional<CloseRecord> announced_ TIDEGATE_GUARDED_BY(mutex_){};
  bool drain_over_ TIDEGATE_GUARDED_BY(mutex_) = false;  // of the run under way

  // The destructor's thread, how many of its leases are not waited for, and which. Relaxed:
  // poke_drain() carries them.
  std::atomic<std::int32_t> last_{0};
  std::atomic<std::uint32_t> own_{0};
  std::atomic<Known> own_known_{Known::in_call};

  // Used only by the thread that runs the close.
  Clock::time_point began_{};
  Location where_{};
  std::optional<std::uint32_t> orphaned_{};  // how many leases, once they were given up
  // A lease that drain left over, as in result_.remaining.
  struct Left {
    std::uint32_t slot;
    pq::SessionMonitor session;
    pq::CancelTally before_cancel{};
    bool asked_to_cancel = false;
  };
  std::vector<Left> left_{};
  std::vector<bool> noted_{};  // by slot: it is in left_
  CloseReport result_{};
};

}  // namespace tidegate::detail
