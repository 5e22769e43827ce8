// SlotPool's bodies: included where it is instantiated.
#pragma once

#include <thread>

#include <tidegate/core/policy.hpp>
#include <tidegate/core/slot_pool.hpp>
#include <tidegate/core/slot_pool_acquire.hpp>
#include <tidegate/core/slot_pool_close.hpp>
#include <tidegate/core/slot_pool_describe.hpp>
#include <tidegate/core/slot_pool_open.hpp>
#include <tidegate/core/slot_pool_release.hpp>
#include <tidegate/core/slot_pool_upkeep.hpp>

namespace tidegate::core {

template <class Sync>
SlotPool<Sync>::SlotPool(const SlotPoolLimits& limits, SlotOwner& owner)
    : limits_(limits),
      gate_mask_((limits.gates != 0
                      ? limits.gates
                      : policy::gate_count(std::thread::hardware_concurrency(), limits.max_size)) -
                 1),
      owner_(owner),
      gates_(new Gate<Sync>[gate_mask_ + 1]),
      slots_(new Slot[limits.max_size]),
      states_(limits.max_size),
      queue_(limits.max_size, 2 * (gate_mask_ + 1)),
      books_(states_),
      drain_(gates_.get(), gate_mask_ + 1) {}

}  // namespace tidegate::core
