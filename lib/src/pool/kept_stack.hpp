// KeptStack: the stack of the acquire that has a connection now, beside the connection.
#pragma once

#include <cstdint>

#include <tidegate/base/mutex.hpp>
#include <tidegate/watch/stack.hpp>

namespace tidegate::detail {

// One per slot if PoolConfig::capture_stack asks for it, so that keeping a stack allocates nothing.
class KeptStack {
 public:
  // Keeps the stack of the slot's `lease`th lease. The acquirer calls this before the lease begins.
  void keep(const Stack& stack, std::uint64_t lease) noexcept {
    const Lock lock(mutex_);
    stack_ = stack;
    lease_ = lease;
  }
  // The stack of that lease, or an empty one if another lease's is kept by now. Any thread.
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
