// Tally: what all parts of the service together have done.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "latency.hpp"

namespace service {

// Errors of one kind: how many, and what the first one said.
class ErrorCount {
 public:
  void add(std::string_view text) {
    std::lock_guard lock(mutex_);
    if (count_++ == 0) first_ = text;
  }
  std::uint64_t count() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  std::string first() const {
    std::lock_guard lock(mutex_);
    return first_;
  }

 private:
  mutable std::mutex mutex_{};
  std::uint64_t count_ = 0;  // mutex_
  std::string first_{};      // mutex_
};

struct Tally {
  std::atomic<std::uint64_t> queries{0};
  Latency waits{};  // of acquires
  // What the clients have seen.
  std::atomic<std::uint64_t> requests{0};      // answered well
  std::atomic<std::uint64_t> acknowledged{0};  // of those, new orders
  std::atomic<std::uint64_t> turned_away{0};   // came when the server took no more
  ErrorCount request_failures{};               // all others; also why, as the service saw it
  // What the service has seen.
  ErrorCount failed_jobs{};
  ErrorCount closed_in_requests{};  // PoolClosed
  ErrorCount closed_in_jobs{};

  std::uint64_t closed_pool_errors() const {
    return closed_in_requests.count() + closed_in_jobs.count();
  }
};

}  // namespace service
