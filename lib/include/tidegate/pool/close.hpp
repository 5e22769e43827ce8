// How a pool is closed, and the report of the close.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

// A pool closes in phases, each with a bound: fence (no acquire succeeds any more, every waiter is
// told), drain (the pool waits for the leases), cancel (it cancels their statements on the server),
// force (it shuts their sockets down). Unset: the configured bound; in a call while the pool
// closes: the current bound. 0: the phase is skipped. A later call may only shorten a phase.
struct CloseOptions {
  std::optional<std::chrono::milliseconds> drain{};
  std::optional<std::chrono::milliseconds> cancel{};
  std::optional<std::chrono::milliseconds> force{};
  std::string reason{};     // shown in the errors that others get from now on
  std::stop_token hurry{};  // when it fires, drain ends; cancel and force keep their bounds
};

struct CloseReport {
  enum class Outcome {
    drained,               // every lease came back by itself
    drained_after_cancel,  // the last lease came back when its statement was canceled
    drained_after_force,   // the last lease came back when its socket was shut down
    orphaned,  // some leases are still out: they work on, and end their connections at their end
  };
  // A lease that was still out when drain ended.
  struct Remaining {
    LeaseInfo lease{};      // as the lease was when drain ended
    bool canceled = false;  // the server canceled its statement
    // How far the cancel requests for this lease have come: "not sent", "sent, not answered",
    // "sent, outcome unknown" (the request's connection was reset), "answered"; empty: no request
    // was made, because nothing ran that could be canceled.
    std::string cancel_request{};
    bool forced = false;     // its socket was shut down
    std::string ended_in{};  // "cancel" or "force"; empty: the lease is still out
  };
  // A thread of the pool that did not return from its call; close left it behind.
  struct StuckThread {
    std::string role{};  // "opener", "maintenance"
    std::string in{};    // "hook after_connect", ...
    std::chrono::nanoseconds stuck{};
    long thread_id = 0;
  };

  Outcome outcome = Outcome::drained;
  CloseRecord closer{};                      // the first caller
  std::vector<CloseRecord> later_callers{};  // who called close while the pool was closing
  std::optional<CloseRecord> announced{};    // who announced the shutdown, if anyone did
  std::chrono::nanoseconds fence{};  // time until no acquire succeeds and every waiter was told
  std::chrono::nanoseconds drain{};  // how long each phase took; 0: not needed, or skipped
  std::chrono::nanoseconds cancel{};
  std::chrono::nanoseconds force{};
  std::chrono::nanoseconds total{};   // time until close returned
  std::uint32_t leases_at_close = 0;  // leases that were out when the fence was set
  std::uint32_t leases_orphaned = 0;  // leases that were still out at the end
  // How many of `remaining` the closing thread had acquired or last used, and waited for. If the
  // closing thread still had them, it waited in vain.
  std::uint32_t leases_of_closer = 0;
  std::uint32_t idle_closed = 0;       // connections that nobody used
  std::uint32_t waiters_rejected = 0;  // waiting acquires that got PoolClosed
  std::uint32_t connects_aborted = 0;  // connects that were under way
  std::uint64_t cancels_sent = 0;
  std::uint64_t cancels_failed = 0;           // sent, but not known to have arrived
  std::uint64_t cancels_unsent = 0;           // not sent: no server could be reached
  std::uint64_t cancels_stuck = 0;            // sent or not: their end was awaited in vain
  std::vector<std::string> still_attached{};  // users still attached: "jobs (src/main.cpp:12)"
  std::vector<Remaining> remaining{};         // the oldest first
  std::vector<StuckThread> stuck_threads{};
};

// For a person at 3 a.m.; several lines.
TIDEGATE_API std::string to_string(const CloseReport& report);
// One object; durations in seconds.
TIDEGATE_API std::string to_json(const CloseReport& report);
TIDEGATE_API std::string_view to_string(CloseReport::Outcome outcome) noexcept;

}  // namespace tidegate
