// Histogram: how long things took, as counts in buckets that grow with the duration.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <tidegate/base/export.hpp>

namespace tidegate {

// Log-linear: 32 buckets for each power of two, from 1.024 us to 73 min; below that, buckets of
// 32 ns. What it tells of a duration is at most 1.6 % off (below 1.024 us: 16 ns). Plain data, and
// at most 9 KB of it; two of them merge without loss.
class TIDEGATE_API Histogram {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  static constexpr std::size_t kBuckets = 33 * 32 + 1;

  // The bucket of a duration; one below 0 counts as 0, and the last bucket takes what is longer
  // than 73 min.
  static constexpr std::size_t bucket_of(nanoseconds took) noexcept {
    const auto value = static_cast<std::uint64_t>(took.count() > 0 ? took.count() : 0);
    if (value < 32 * kFinest) return value / kFinest;
    const auto power = static_cast<std::size_t>(std::bit_width(value)) - 1;  // 10 or more
    if (power >= 10 + 32) return kBuckets - 1;
    const std::size_t part = (value >> (power - 5)) & 31;
    return (power - 9) * 32 + part;
  }
  // Its first duration; the first of the next one ends it.
  static constexpr nanoseconds begin_of(std::size_t bucket) noexcept {
    const std::size_t power = bucket / 32;
    const std::uint64_t part = bucket % 32;
    const std::uint64_t begin =
        power == 0 ? part * kFinest : (std::uint64_t{32} + part) << (power + 4);
    return nanoseconds(static_cast<nanoseconds::rep>(begin));
  }

  Histogram() = default;
  // With so many in each bucket, from the first one on. Needs: no more than kBuckets.
  Histogram(std::vector<std::uint64_t> counts, nanoseconds sum);

  void add(nanoseconds took, std::uint64_t times = 1);
  void merge(const Histogram& other);

  std::uint64_t count() const noexcept { return count_; }
  nanoseconds sum() const noexcept { return sum_; }
  // The duration that the share `q` of all, 0 to 1, did not exceed: 0.99 for the 99th percentile. 0
  // when there are none. Throws: UsageError for another q.
  nanoseconds quantile(double q) const;
  // How many took no longer than `bound`, as far as the buckets tell: a bucket counts if its middle
  // is no longer.
  std::uint64_t at_most(nanoseconds bound) const noexcept;
  // How many are in a bucket.
  std::uint64_t in_bucket(std::size_t bucket) const noexcept {
    return bucket < counts_.size() ? counts_[bucket] : 0;
  }

  bool operator==(const Histogram&) const = default;

 private:
  static constexpr std::uint64_t kFinest = 32;  // ns
  static nanoseconds middle_of(std::size_t bucket) noexcept;

  std::vector<std::uint64_t> counts_{};  // up to the last bucket that is not empty
  std::uint64_t count_ = 0;
  nanoseconds sum_{};
};

}  // namespace tidegate
