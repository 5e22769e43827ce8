#include "support/ledger_pool.hpp"

namespace tidegate::stress {

template class LedgerPool<core::StdSync>;

}  // namespace tidegate::stress
