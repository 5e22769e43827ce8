// Count: how often something was seen, by whichever threads.
#pragma once

#include <atomic>
#include <cstdint>

namespace tidegate::stress {

// Relaxed: who counts must not order what the pool has to order, or ThreadSanitizer would not see a
// missing edge. A sum of several is exact once their threads have been joined, or met elsewhere.
class Count {
 public:
  // How many there were before.
  std::uint64_t add() noexcept { return count_.fetch_add(1, std::memory_order_relaxed); }
  operator std::uint64_t() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace tidegate::stress
