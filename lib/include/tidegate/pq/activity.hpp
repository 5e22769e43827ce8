// Activity: what a connection does, as others may see it while it is in use.
#pragma once

#include <cstdint>
#include <string>

namespace tidegate {

// As libpq has it: active = a command is under way or its result is unread.
enum class TransactionStatus : std::uint8_t {
  idle,
  active,
  in_transaction,
  in_failed_transaction,
  unknown,
};

struct Activity {
  // When nothing is under way; of the moment before when something is. `unknown`, and nothing else
  // is told, from native_handle() to the end of the lease.
  TransactionStatus transaction = TransactionStatus::unknown;
  bool busy = false;
  // The beginning of the statement under way, or of the last one of this lease: 120 bytes at most.
  std::string statement{};
};

}  // namespace tidegate
