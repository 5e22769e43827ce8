// SlotInfo: one place for a connection, and what is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

// Plain data, taken at the moment of the call; does not refer to the pool.
struct SlotInfo {
  enum class Place : std::uint8_t {
    empty,
    connecting,
    idle,
    leased,
    checking,  // pinged, cleaned, or in a hook
    retiring,  // being closed
  };
  std::uint32_t slot = 0;
  Place place = Place::empty;
  // Why it is in `checking` or `retiring`: "ping", "reset", "after_release", "before_close",
  // "termination"; else empty. Static text.
  std::string_view errand{};
  int backend_pid = 0;               // 0: no connection
  std::uint64_t leases = 0;          // begun on this slot so far, on whichever connection
  std::optional<LeaseInfo> lease{};  // the one that is out
};

TIDEGATE_API std::string_view to_string(SlotInfo::Place place) noexcept;

// One JSON object; durations are numbers of seconds.
TIDEGATE_API std::string to_json(const LeaseInfo& lease);
TIDEGATE_API std::string to_json(const SlotInfo& slot);

}  // namespace tidegate
