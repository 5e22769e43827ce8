#include <tidegate/core/slot_pool_impl.hpp>

namespace tidegate::core {

template class SlotPool<StdSync>;

}  // namespace tidegate::core
