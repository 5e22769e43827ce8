// How a pool is closed, and what closing it has shown.
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

// A pool ends in phases, each with a bound: fence (no acquire succeeds any more, every waiter is
// told), drain (leases are waited for), cancel (their statements are canceled on the server), force
// (their sockets are shut down). Unset: as configured; in a call that comes while the pool closes:
// as it is. 0: that phase is skipped. A later call may only shorten a phase.
struct CloseOptions {
  std::optional<std::chrono::milliseconds> drain{};
  std::optional<std::chrono::milliseconds> cancel{};
  std::optional<std::chrono::milliseconds> force{};
  std::string reason{};     // for the errors that others get from here on
  std::stop_token hurry{};  // when it fires, drain ends; cancel and force keep their bounds
};

struct CloseReport {
  enum class Outcome {
    drained,               // every lease came back by itself
    drained_after_cancel,  // the last one when its statement was canceled
    drained_after_force,   // the last one when its socket was shut down
    orphaned,  // leases were still out: they keep working, and end their connections when they end
  };
  // A lease that drain did not see coming back.
  struct Remaining {
    LeaseInfo lease{};      // as it was when drain ended
    bool canceled = false;  // the server canceled its statement
    // How far the cancel requests for it have come: "not sent", "sent, not answered", "sent,
    // outcome unknown" (its connection was reset), "answered"; empty: none was made, since nothing
    // ran that could be canceled.
    std::string cancel_request{};
    bool forced = false;     // its socket was shut down
    std::string ended_in{};  // "cancel" or "force"; empty: it is still out
  };
  // A thread of the pool that did not come back from what it was in; it was left behind.
  struct StuckThread {
    std::string role{};  // "opener", "maintenance"
    std::string in{};    // "hook after_connect", ...
    std::chrono::nanoseconds stuck{};
    long thread_id = 0;
  };

  Outcome outcome = Outcome::drained;
  CloseRecord closer{};                      // of the first caller
  std::vector<CloseRecord> later_callers{};  // who called while it closed
  std::optional<CloseRecord> announced{};    // who announced the shutdown, if somebody did
  std::chrono::nanoseconds fence{};  // until no acquire could succeed and every waiter was told
  std::chrono::nanoseconds drain{};  // how long each phase took; 0: it was not needed, or skipped
  std::chrono::nanoseconds cancel{};
  std::chrono::nanoseconds force{};
  std::chrono::nanoseconds total{};   // until close returned
  std::uint32_t leases_at_close = 0;  // out when the fence was set
  std::uint32_t leases_orphaned = 0;  // of those, still out at the end
  // Of `remaining`: acquired, or last used, by the thread that closed and waited for them. If it
  // had them itself it waited in vain.
  std::uint32_t leases_of_closer = 0;
  std::uint32_t idle_closed = 0;       // connections that nobody used
  std::uint32_t waiters_rejected = 0;  // acquires that waited, and got PoolClosed
  std::uint32_t connects_aborted = 0;  // connects that were under way
  std::uint64_t cancels_sent = 0;
  std::uint64_t cancels_failed = 0;           // of those: it is not known that they have arrived
  std::uint64_t cancels_unsent = 0;           // no server could be reached for them
  std::uint64_t cancels_stuck = 0;            // sent or not: nobody could wait for their end
  std::vector<std::string> still_attached{};  // users when it was closed: "jobs (src/main.cpp:12)"
  std::vector<Remaining> remaining{};         // the oldest first
  std::vector<StuckThread> stuck_threads{};
};

// For a person at 3 a.m.; several lines.
TIDEGATE_API std::string to_string(const CloseReport& report);
// One object; durations in seconds.
TIDEGATE_API std::string to_json(const CloseReport& report);
TIDEGATE_API std::string_view to_string(CloseReport::Outcome outcome) noexcept;

}  // namespace tidegate
