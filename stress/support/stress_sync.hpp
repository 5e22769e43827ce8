// StressSync: production's Sync, with docks as narrow or as wide as a scenario chooses.
#pragma once

#include <atomic>

#include <tidegate/core/sync.hpp>

#include "support/verdict.hpp"

namespace tidegate::stress {

// In production all slots of a small pool dock together, and the way of a release whose dock is
// taken is rare: here it is not.
class StressSync : public core::StdSync {
 public:
  static unsigned dock_shift() noexcept { return shift_.load(std::memory_order_relaxed); }

  // For the life of a pool. Pools that live at the same time have the same docks.
  class Docks {
   public:
    explicit Docks(unsigned shift) {
      require(pools_++ == 0 || shift == dock_shift(), "stress",
              "two pools live that want different docks: ", shift, " and ", dock_shift());
      shift_ = shift;
    }
    ~Docks() { --pools_; }
    Docks(const Docks&) = delete;
    Docks& operator=(const Docks&) = delete;
  };

 private:
  static inline std::atomic<unsigned> shift_{core::StdSync::dock_shift()};
  static inline std::atomic<int> pools_{0};
};

}  // namespace tidegate::stress
