#include <tidegate/watch/lease_info.hpp>

#include <tidegate/base/duration.hpp>
#include <tidegate/base/thread.hpp>

#include "base/printable.hpp"

namespace tidegate {

std::string to_string(const LeaseInfo& lease) {
  std::string text = lease.site.to_string() + " for " + brief_duration(lease.held) + " by " +
                     detail::thread_text(lease.thread_name, lease.thread_id);
  if (lease.backend_pid != 0) text += ", pid " + std::to_string(lease.backend_pid);
  text += lease.transaction == TransactionStatus::unknown
              ? ", in an unknown state"
              : ", " + std::string(to_string(lease.transaction));
  if (!lease.statement.empty() && lease.statement != "unknown") {
    text += (lease.busy ? ", running \"" : ", last statement \"") +
            detail::one_line(lease.statement) + '"';
    if (lease.under_way > 1) {
      text += " and " + std::to_string(lease.under_way - 1) + " more of other callers, on a lane";
    }
  }
  if (!lease.acquired_by.empty()) text += '\n' + lease.stack();
  return text;
}

}  // namespace tidegate
