#include "pool/upkeep/leak_watch.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pool/events.hpp"
#include "pool/lease_table.hpp"

namespace tidegate::detail {

LeakWatch::LeakWatch(const PoolConfig& config, const PoolCore& core)
    : threshold_(config.leak_threshold), observer_(config.observer), core_(core) {
  if (threshold_.count() > 0) suspects_.reserve(config.max_size);
}

bool LeakWatch::is_out(const Suspect& suspect) const noexcept {
  const core::Slot& slot = core_.slots().slot(suspect.slot);
  return slot.leased() && slot.acquired() == suspect.number;
}

bool LeakWatch::is_known(std::uint32_t slot) const noexcept {
  return std::any_of(suspects_.begin(), suspects_.end(),
                     [slot](const Suspect& suspect) { return suspect.slot == slot; });
}

void LeakWatch::look(Clock::time_point now) noexcept {
  if (threshold_.count() == 0) return;
  std::erase_if(suspects_, [&](Suspect& suspect) {
    if (is_out(suspect)) return false;
    tell_returned(suspect, now);
    return true;
  });
  if (now < next_look_) return;
  next_look_ = now + threshold_;  // for leases that begin from here on
  for (std::uint32_t i = 0; i < core_.slots().limits().max_size; ++i) {
    const core::Slot::Record record = core_.slots().slot(i).record();
    if (record.holder == 0 || is_known(i)) continue;
    const Clock::time_point due{Clock::duration(record.since) + threshold_};
    if (due > now) {
      next_look_ = std::min(next_look_, due);
    } else {
      suspect(i);
    }
  }
}

void LeakWatch::suspect(std::uint32_t slot) noexcept {
  const std::uint64_t number = core_.slots().slot(slot).acquired();
  try {
    auto lease = lease_of(core_, slot);
    if (!lease || lease->held < threshold_) return;  // it has ended meanwhile
    suspects_.push_back({slot, number, std::move(*lease)});
  } catch (const std::bad_alloc&) {
    return;  // it stays overdue: the next look finds it
  }
  suspected_.fetch_add(1, std::memory_order_relaxed);
  tell(observer_, [&](Observer& o) { o.leak_suspected(suspects_.back().lease); });
}

void LeakWatch::tell_returned(Suspect& suspect, Clock::time_point now) noexcept {
  returned_.fetch_add(1, std::memory_order_relaxed);
  suspect.lease.held = now - suspect.lease.since;
  tell(observer_, [&](Observer& o) { o.leak_returned(suspect.lease); });
}

}  // namespace tidegate::detail
