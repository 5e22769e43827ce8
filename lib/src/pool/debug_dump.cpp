// Everything that a pool can tell of itself, for a person at a terminal.
#include <cstdint>
#include <string>

#include <tidegate/base/duration.hpp>

#include "base/printable.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"

namespace tidegate::detail {
namespace {

// "1234, half within 20 us, 99 % within 2.1 ms, the longest 12 ms"
std::string text_of(const Histogram& histogram) {
  if (histogram.count() == 0) return "none";
  return std::to_string(histogram.count()) + ", half within " +
         brief_duration(histogram.quantile(0.5)) + ", 99 % within " +
         brief_duration(histogram.quantile(0.99)) + ", the longest " +
         brief_duration(histogram.quantile(1));
}

std::string row_of(const PoolCore& core, std::uint32_t slot) {
  std::string row = core.slots().describe(slot);
  int pid = 0;
  core.visit(slot, [&pid](const PooledConnection& pooled, const core::Slot&) {
    pid = pooled.monitor.backend_pid();
  });
  if (pid != 0) row += ", pid " + std::to_string(pid);
  const std::uint64_t leases = core.slots().slot(slot).acquired();
  row += ", " + std::to_string(leases) + (leases == 1 ? " lease so far" : " leases so far");
  if (!core.slots().slot(slot).leased()) return row;
  if (const auto lease = lease_of(core, slot))
    row += "\n    " + indented(to_string(*lease), "    ");
  return row;
}

}  // namespace

std::string PoolImpl::debug_dump() const {
  const Stats now = stats();
  const Health verdict = health();
  std::string text = "pool \"" + one_line(name_) + "\" is " + tidegate::to_string(verdict);
  text += "\n  configured: " + one_line(config_.to_string());
  text += "\n  counted: " + tidegate::to_string(now);
  text += "\n  waits: " + text_of(now.waits);
  text += "\n  connects: " + text_of(now.connects);
  std::uint32_t empty = 0;
  for (std::uint32_t slot = 0; slot < config_.max_size; ++slot) {
    if (core_->slots().state(slot) == core::SlotState::empty) {
      ++empty;
    } else {
      text += "\n  slot " + std::to_string(slot) + ": " + row_of(*core_, slot);
    }
  }
  if (empty > 0)
    text += "\n  " + std::to_string(empty) + (empty == 1 ? " slot is empty" : " slots are empty");
  return text + '\n';
}

}  // namespace tidegate::detail
