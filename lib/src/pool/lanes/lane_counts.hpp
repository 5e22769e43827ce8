// LaneCounts: what the lanes of a pool have done.
#pragma once

#include <atomic>
#include <cstdint>

namespace tidegate::detail {

// Written by leaders, read by Stats. relaxed: each is a number of its own.
struct LaneCounts {
  using Count = std::atomic<std::uint64_t>;
  static void add(Count& count, std::uint64_t by = 1) noexcept {
    count.fetch_add(by, std::memory_order_relaxed);
  }

  Count statements{0};  // sent, each time it was
  Count rounds{0};
  Count moved{0};                      // left a slow lane before they were sent
  Count rerun{0};                      // their prepared form was stale
  Count struck{0};                     // run again because a neighbour's cancel had struck them
  std::atomic<std::uint32_t> open{0};  // lanes that have a connection now
};

}  // namespace tidegate::detail
