// KeptStack: the stack of the acquire that has a connection now, beside the connection.
#pragma once

#include <cstdint>

#include <tidegate/base/mutex.hpp>
#include <tidegate/watch/stack.hpp>

namespace tidegate::detail {

// One per slot where PoolConfig::capture_stack asks for it, so that keeping a stack allocates
// nothing.
class KeptStack {
 public:
  // For the lease with this number among those of the slot. The acquirer, before the lease begins.
  void keep(const Stack& stack, std::uint64_t lease) noexcept {
    const Lock lock(mutex_);
    stack_ = stack;
    lease_ = lease;
  }
  // That of the lease, or an empty one when another lease is kept by now. Any thread.
  Stack of(std::uint64_t lease) const noexcept {
    const Lock lock(mutex_);
    return lease == lease_ ? stack_ : Stack();
  }

 private:
  mutable Mutex<> mutex_;
  Stack stack_ TIDEGATE_GUARDED_BY(mutex_){};
  std::uint64_t lease_ TIDEGATE_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidegate::detail
