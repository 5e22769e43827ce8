#include "pool/lease_table.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <tidegate/base/thread.hpp>

namespace tidegate::detail {
namespace {

using Clock = std::chrono::steady_clock;

// What one look at a slot gives while other threads have the slot. The lease may end, and the next
// one begin, between two loads: the count of leases shows that, and the look is repeated.
struct Glimpse {
  core::Slot::Record record{};
  std::uint64_t number = 0;  // the lease's number among those of the slot
};
std::optional<Glimpse> glimpse_of(const core::Slot& slot) noexcept {
  constexpr int kTries = 4;
  Glimpse seen;
  for (int i = 0; i < kTries; ++i) {
    seen.number = slot.acquired();
    seen.record = slot.record();
    if (slot.acquired() == seen.number) break;
  }
  if (seen.record.holder == 0) return std::nullopt;
  return seen;
}

void sort_by_age(std::vector<LeaseInfo>& leases) {
  std::sort(leases.begin(), leases.end(),
            [](const LeaseInfo& a, const LeaseInfo& b) { return a.since < b.since; });
}

}  // namespace

std::optional<LeaseInfo> lease_of(const PoolCore& core, std::uint32_t slot) {
  std::optional<LeaseInfo> info;
  core.visit(slot, [&](const PooledConnection& pooled, const core::Slot& record) {
    const auto seen = glimpse_of(record);
    if (!seen) return;
    info.emplace();
    info->site = seen->record.site;
    info->thread_id = seen->record.holder;
    info->since = Clock::time_point(Clock::duration(seen->record.since));
    info->backend_pid = pooled.monitor.backend_pid();
    Activity activity = pooled.monitor.activity();
    info->transaction = activity.transaction;
    info->busy = activity.busy;
    info->statement = std::move(activity.statement);
    info->under_way = activity.under_way;
    if (pooled.stack) info->acquired_by = pooled.stack->of(seen->number);
  });
  if (info) {  // a visit must not read files
    info->thread_name = thread_name(info->thread_id);
    info->held = std::max(Clock::duration::zero(), Clock::now() - info->since);
    const bool hidden = info->transaction == TransactionStatus::unknown;
    if (hidden && info->statement.empty()) info->statement = "unknown";
  }
  return info;
}

std::vector<LeaseInfo> leases_of(const PoolCore& core) {
  std::vector<LeaseInfo> leases;
  for (std::uint32_t i = 0; i < core.slots().limits().max_size; ++i) {
    if (!core.slots().slot(i).leased()) continue;
    if (auto lease = lease_of(core, i)) leases.push_back(std::move(*lease));
  }
  sort_by_age(leases);
  return leases;
}

std::uint32_t count_leases(const PoolCore& core) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < core.slots().limits().max_size; ++i) {
    if (core.slots().slot(i).leased()) ++count;
  }
  return count;
}

bool is_of(const core::Slot& slot, std::int32_t thread, Known known) noexcept {
  return known == Known::in_call ? slot.in_call_of(thread) : slot.holder() == thread;
}

std::uint32_t count_leases(const PoolCore& core, std::int32_t thread, Known known) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < core.slots().limits().max_size; ++i) {
    if (is_of(core.slots().slot(i), thread, known)) ++count;
  }
  return count;
}

std::vector<LeaseInfo> leases_held_by(const PoolCore& core, std::int32_t thread, Known known) {
  std::vector<LeaseInfo> leases;
  for (std::uint32_t i = 0; i < core.slots().limits().max_size; ++i) {
    if (!is_of(core.slots().slot(i), thread, known)) continue;
    if (auto lease = lease_of(core, i)) leases.push_back(std::move(*lease));
  }
  sort_by_age(leases);
  return leases;
}

LeaseHolder holder_of(const LeaseInfo& lease) {
  LeaseHolder holder{.where = lease.site,
                     .thread = lease.thread_name,
                     .thread_id = lease.thread_id,
                     .held = lease.held,
                     .backend_pid = lease.backend_pid};
  if (lease.transaction != TransactionStatus::idle) holder.session = to_string(lease.transaction);
  if (lease.transaction == TransactionStatus::unknown) holder.session = "in an unknown state";
  if (lease.busy) holder.session += holder.session.empty() ? "busy" : ", busy";
  return holder;
}

std::vector<LeaseHolder> holders_of(const std::vector<LeaseInfo>& leases) {
  std::vector<LeaseHolder> holders;
  std::transform(leases.begin(), leases.end(), std::back_inserter(holders), holder_of);
  return holders;
}

}  // namespace tidegate::detail
