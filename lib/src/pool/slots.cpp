// What is in each slot.
#include <cstdint>
#include <vector>

#include <tidegate/watch/slot_info.hpp>

#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"

namespace tidegate::detail {

std::vector<SlotInfo> PoolImpl::slots() const {
  using Place = SlotInfo::Place;
  std::vector<SlotInfo> slots;
  for (std::uint32_t i = 0; i < config_.max_size; ++i) {
    const core::Slot& slot = core_->slots().slot(i);
    SlotInfo& info = slots.emplace_back(SlotInfo{.slot = i, .leases = slot.acquired()});
    switch (core_->slots().state(i)) {
      case core::SlotState::empty: break;
      case core::SlotState::opening: info.place = Place::connecting; break;
      case core::SlotState::idle: info.place = Place::idle; break;
      // Docked ones have no record, nor has one that somebody is about to lease.
      case core::SlotState::out: info.place = slot.leased() ? Place::leased : Place::idle; break;
      case core::SlotState::checking: info.place = Place::checking; break;
      case core::SlotState::retiring: info.place = Place::retiring; break;
    }
    if ((info.place == Place::checking || info.place == Place::retiring) &&
        slot.errand() != core::Errand::none) {
      info.errand = to_string(slot.errand());
    }
    core_->visit(i, [&info](const PooledConnection& pooled, const core::Slot&) {
      info.backend_pid = pooled.monitor.backend_pid();
    });
    if (info.place == Place::leased) info.lease = lease_of(*core_, i);
  }
  return slots;
}

}  // namespace tidegate::detail
