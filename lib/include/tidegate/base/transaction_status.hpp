// TransactionStatus: where a session stands between BEGIN and COMMIT.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate {

// As in libpq: active = a command is under way or its result is unread.
enum class TransactionStatus : std::uint8_t {
  idle,
  active,
  in_transaction,
  in_failed_transaction,
  unknown,
};

// "idle", "active", "in transaction", "in failed transaction", "unknown".
constexpr std::string_view to_string(TransactionStatus status) noexcept {
  switch (status) {
    case TransactionStatus::idle: return "idle";
    case TransactionStatus::active: return "active";
    case TransactionStatus::in_transaction: return "in transaction";
    case TransactionStatus::in_failed_transaction: return "in failed transaction";
    case TransactionStatus::unknown: break;
  }
  return "unknown";
}

}  // namespace tidegate
