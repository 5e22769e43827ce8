// Health: whether a pool can serve, and how one knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>
#include <tidegate/core/counts.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

// Plain data, taken at the moment of the call; does not refer to the pool.
struct Health {
  enum class State {
    ok,
    busy,     // the next acquire waits, or some do; leases come and go
    stuck,    // some wait, and for `patience` no lease has begun or ended
    down,     // there is no connection, and none can be opened
    closing,  // the shutdown was announced, or the close is under way
    closed,
  };
  State state = State::ok;
  std::string reason{};  // for people; one line

  // The evidence.
  PoolCounts counts{};
  // How long ago a lease began or ended last, to within 10 ms. None: no lease so far.
  std::optional<std::chrono::nanoseconds> last_lease{};
  // PoolConfig::acquire_timeout, 30 s if that is 0.
  std::chrono::nanoseconds patience{};
  std::optional<LeaseInfo> oldest_lease{};
  // Connects that failed in a row, since when, and the last error. The text is the server's, the
  // system's or ours, never a password; empty when none has failed since the last that succeeded.
  std::uint32_t connects_failed = 0;
  std::chrono::nanoseconds failing_for{};
  std::string connect_error{};
  std::string sqlstate{};   // empty when no server answered
  bool announced = false;   // Pool::announce_shutdown
  bool fenced = false;      // the pool is closed for acquires
  bool ended = false;       // the close has ended
  std::string closed_by{};  // of an announced shutdown or a close: who and where, for people

  // A readiness probe's answer.
  bool serves() const noexcept { return state == State::ok || state == State::busy; }
};

TIDEGATE_API std::string_view to_string(Health::State state) noexcept;
// `busy: all 8 connections are used, 41 acquires wait, the oldest for 249 ms`.
TIDEGATE_API std::string to_string(const Health& health);
// One JSON object; durations are numbers of seconds.
TIDEGATE_API std::string to_json(const Health& health);

namespace detail {
// Fills in `state` and `reason` from the evidence.
void judge(Health& health);
}  // namespace detail

}  // namespace tidegate
