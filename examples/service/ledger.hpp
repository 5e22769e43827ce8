// Ledger: which requests the service has begun to read, and which of them have their answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_set>

namespace service {

// The server writes in what it reads, the clients cross out what was answered well. What remains at
// the end was let down. All members from any thread.
class Ledger {
 public:
  using Id = std::uint64_t;

  Id next() { return last_.fetch_add(1) + 1; }
  void admit(Id id) {
    std::lock_guard lock(mutex_);
    open_.insert(id);
  }
  void answered(Id id) {
    std::lock_guard lock(mutex_);
    open_.erase(id);
  }
  std::uint64_t unanswered() const {
    std::lock_guard lock(mutex_);
    return open_.size();
  }

 private:
  std::atomic<Id> last_{0};
  mutable std::mutex mutex_{};
  std::unordered_set<Id> open_{};  // mutex_
};

}  // namespace service
