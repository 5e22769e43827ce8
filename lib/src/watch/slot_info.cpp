#include <tidegate/watch/slot_info.hpp>

#include "base/json.hpp"

namespace tidegate {

using detail::JsonObject;

std::string_view to_string(SlotInfo::Place place) noexcept {
  switch (place) {
    case SlotInfo::Place::empty: return "empty";
    case SlotInfo::Place::connecting: return "connecting";
    case SlotInfo::Place::idle: return "idle";
    case SlotInfo::Place::leased: return "leased";
    case SlotInfo::Place::checking: return "checking";
    case SlotInfo::Place::retiring: return "retiring";
  }
  return "?";
}

std::string to_json(const LeaseInfo& lease) {
  return JsonObject()
      .text("acquired", lease.site.to_string())
      .text("thread", lease.thread_name)
      .number("thread_id", lease.thread_id)
      .seconds("held_seconds", lease.held)
      .number("backend_pid", lease.backend_pid)
      .text("transaction", to_string(lease.transaction))
      .flag("busy", lease.busy)
      .text("statement", lease.statement)
      .number("under_way", lease.under_way)
      .done();
}

std::string to_json(const SlotInfo& slot) {
  return JsonObject()
      .number("slot", slot.slot)
      .text("place", to_string(slot.place))
      .text("errand", slot.errand)
      .number("backend_pid", slot.backend_pid)
      .number("leases", slot.leases)
      .add("lease", slot.lease ? to_json(*slot.lease) : "null")
      .done();
}

}  // namespace tidegate
