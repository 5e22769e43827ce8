// LiveHistogram: a Histogram that many threads add to.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <tidegate/base/histogram.hpp>

namespace tidegate::detail {

// 9 KB. Adding is two additions to memory that threads share, so it is not for the warm path.
class LiveHistogram {
 public:
  void add(std::chrono::nanoseconds took) noexcept {
    // Relaxed: each is a number of its own.
    counts_[Histogram::bucket_of(took)].fetch_add(1, std::memory_order_relaxed);
    if (took.count() > 0) sum_.fetch_add(took.count(), std::memory_order_relaxed);
  }
  // Taken while others add: some of what they add may be missing, and of each it may be in the
  // counts but not yet in the sum.
  Histogram snapshot() const {
    std::vector<std::uint64_t> counts(counts_.size());
    for (std::size_t i = 0; i < counts.size(); ++i)
      counts[i] = counts_[i].load(std::memory_order_relaxed);
    return {std::move(counts), std::chrono::nanoseconds(sum_.load(std::memory_order_relaxed))};
  }

 private:
  std::array<std::atomic<std::uint64_t>, Histogram::kBuckets> counts_{};
  std::atomic<std::chrono::nanoseconds::rep> sum_{0};
};

}  // namespace tidegate::detail
