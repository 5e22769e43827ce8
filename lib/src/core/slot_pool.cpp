#include <tidegate/core/slot_pool_bodies.hpp>

namespace tidegate::core {

template class SlotPool<StdSync>;

}  // namespace tidegate::core
