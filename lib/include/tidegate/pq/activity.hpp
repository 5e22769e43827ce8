// Activity: what a connection does, as others may see it while it is in use.
#pragma once

#include <string>

#include <tidegate/base/transaction_status.hpp>

namespace tidegate {

struct Activity {
  // When nothing is under way; of the moment before when something is. `unknown`, and nothing else
  // is told, from native_handle() to the end of the lease.
  TransactionStatus transaction = TransactionStatus::unknown;
  bool busy = false;
  // The beginning of the statement under way, or of the last one of this lease: 120 bytes at most.
  std::string statement{};
};

}  // namespace tidegate
