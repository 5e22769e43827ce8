// Latency: a histogram of durations that many threads fill and one reads.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace service {

// Log-linear: 16 steps per power of two, so a percentile is at most 6 % off.
class Latency {
 public:
  void add(std::chrono::nanoseconds duration) {
    const auto ns = static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() : 0);
    counts_[bucket(ns)].fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
  }

  struct Percentiles {
    std::chrono::nanoseconds p50{};
    std::chrono::nanoseconds p99{};
  };
  // Of everything added since the last call.
  Percentiles take() {
    std::array<std::uint64_t, kBuckets> counts;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      counts[i] = counts_[i].exchange(0, std::memory_order_relaxed);
      total += counts[i];
    }
    const auto at = [&](std::uint64_t rank) {
      std::uint64_t seen = 0;
      for (std::size_t i = 0; i < kBuckets; ++i) {
        seen += counts[i];
        if (seen > rank) return std::chrono::nanoseconds(upper_bound(i));
      }
      return std::chrono::nanoseconds(0);
    };
    return {at(total / 2), at(total * 99 / 100)};
  }

 private:
  static constexpr std::size_t kSteps = 16;
  static constexpr std::size_t kBuckets = 48 * kSteps;

  static std::size_t bucket(std::uint64_t ns) {
    if (ns < kSteps) return static_cast<std::size_t>(ns);
    const auto power = static_cast<std::size_t>(std::bit_width(ns)) - 5;  // kSteps = 2^4
    const auto index = (power + 1) * kSteps + static_cast<std::size_t>(ns >> power) - kSteps;
    return index < kBuckets ? index : kBuckets - 1;
  }
  static std::int64_t upper_bound(std::size_t index) {
    if (index < kSteps) return static_cast<std::int64_t>(index);
    const std::size_t power = index / kSteps - 1;
    return static_cast<std::int64_t>((index % kSteps + kSteps + 1) << power);
  }

  std::array<std::atomic<std::uint64_t>, kBuckets> counts_{};
};

}  // namespace service
