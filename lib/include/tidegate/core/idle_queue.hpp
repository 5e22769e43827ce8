// IdleQueue: holds idle slots that are not docked. It is an accelerator, never the truth.
#pragma once

#include <cstdint>
#include <memory>

#include <tidegate/base/export.hpp>

namespace tidegate::core {

// A lock-free MPMC queue of slot indices (moodycamel::ConcurrentQueue inside). It takes all its
// memory at construction. It may refuse an index (no room at hand) and may say "empty" while it
// holds an element; neither loses a slot, since the slot states say what is idle.
class TIDEGATE_API IdleQueue {
 public:
  // Room for at least `slots` indices under even use; `producers` threads may enqueue at once.
  IdleQueue(std::uint32_t slots, std::uint32_t producers);
  ~IdleQueue();
  IdleQueue(const IdleQueue&) = delete;
  IdleQueue& operator=(const IdleQueue&) = delete;

  // `hint` spreads callers over producers (the gate's index). Never allocates, never waits.
  bool try_enqueue(std::uint32_t slot, std::uint32_t hint) noexcept;
  bool try_dequeue(std::uint32_t& slot) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate::core
