#include <tidegate/base/histogram.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include <tidegate/base/error.hpp>

namespace tidegate {

Histogram::Histogram(std::vector<std::uint64_t> counts, nanoseconds sum)
    : counts_(std::move(counts)),
      count_(std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0})),
      sum_(sum) {
  while (!counts_.empty() && counts_.back() == 0) counts_.pop_back();
}

void Histogram::add(nanoseconds took, std::uint64_t times) {
  if (times == 0) return;
  const std::size_t bucket = bucket_of(took);
  if (counts_.size() <= bucket) counts_.resize(bucket + 1);
  counts_[bucket] += times;
  count_ += times;
  sum_ += std::max(took, nanoseconds::zero()) * static_cast<nanoseconds::rep>(times);
}

void Histogram::merge(const Histogram& other) {
  if (counts_.size() < other.counts_.size()) counts_.resize(other.counts_.size());
  for (std::size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
}

Histogram::nanoseconds Histogram::middle_of(std::size_t bucket) noexcept {
  if (bucket + 1 == kBuckets) return begin_of(bucket);
  return (begin_of(bucket) + begin_of(bucket + 1)) / 2;
}

Histogram::nanoseconds Histogram::quantile(double q) const {
  if (!(q >= 0 && q <= 1)) {
    throw UsageError("quantile: " + std::to_string(q) +
                     " is no share of a whole; 0.99 is that of "
                     "the 99th percentile");
  }
  if (count_ == 0) return {};
  const double wanted = std::ceil(q * static_cast<double>(count_));
  const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, count_);
  std::uint64_t so_far = 0;
  std::size_t bucket = 0;
  while (bucket + 1 < counts_.size() && (so_far += counts_[bucket]) < rank) ++bucket;
  return middle_of(bucket);
}

std::uint64_t Histogram::at_most(nanoseconds bound) const noexcept {
  std::uint64_t found = 0;
  for (std::size_t i = 0; i < counts_.size() && middle_of(i) <= bound; ++i) found += counts_[i];
  return found;
}

}  // namespace tidegate
