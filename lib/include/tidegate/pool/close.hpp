// How a pool is closed, and what closing it has shown.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>

namespace tidegate {

struct CloseOptions {
  // How long to wait for leases and idle connections; unset: as configured; 0: not at all.
  std::optional<std::chrono::milliseconds> drain{};
  std::string reason{};  // for the errors that others get from here on
};

struct CloseReport {
  enum class Outcome {
    drained,   // every lease came back
    orphaned,  // leases were still out: they keep working, and end their connections when they end
  };
  Outcome outcome = Outcome::drained;
  CloseRecord closer{};                // of the first caller
  std::chrono::nanoseconds fence{};    // until no acquire could succeed and every waiter was told
  std::chrono::nanoseconds drain{};    // from then until the last lease was back, or given up
  std::chrono::nanoseconds total{};    // until close returned
  std::uint32_t leases_at_close = 0;   // out when the fence was set
  std::uint32_t leases_orphaned = 0;   // of those, still out at the end
  std::uint32_t idle_closed = 0;       // connections that nobody used
  std::uint32_t waiters_rejected = 0;  // acquires that waited, and got PoolClosed
};

// For a person at 3 a.m.; several lines.
TIDEGATE_API std::string to_string(const CloseReport& report);
TIDEGATE_API std::string_view to_string(CloseReport::Outcome outcome) noexcept;

}  // namespace tidegate
