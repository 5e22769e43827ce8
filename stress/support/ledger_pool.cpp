#include "support/ledger_pool.hpp"

#include <tidegate/core/slot_pool_bodies.hpp>

namespace tidegate::stress {

template class LedgerPool<StressSync>;

}  // namespace tidegate::stress

template class tidegate::core::SlotPool<tidegate::stress::StressSync>;
