// TxOptions: what may be said about a transaction when it begins.
#pragma once

#include <cstdint>
#include <optional>

#include <tidegate/base/deadline.hpp>

namespace tidegate {

enum class Isolation : std::uint8_t {
  server_default,  // default_transaction_isolation
  read_uncommitted,
  read_committed,
  repeatable_read,
  serializable,
};

struct TxOptions {
  Isolation isolation = Isolation::server_default;
  // Unset: the server's default (default_transaction_read_only).
  std::optional<bool> read_only{};
  // A serializable, read-only transaction that waits for a snapshot which cannot fail.
  bool deferrable = false;
  // BEGIN, every statement inside and COMMIT end at this time at the latest. A ROLLBACK may take a
  // second longer.
  Deadline by{};
};

}  // namespace tidegate
