// Activity: what a connection does, as others may see it while it is in use.
#pragma once

#include <string>

#include <tidegate/base/transaction_status.hpp>

namespace tidegate {

struct Activity {
  // The state of the transaction; while a statement is under way, the state before that statement.
  // From native_handle() to the end of the lease it is `unknown`, and the other members tell
  // nothing.
  TransactionStatus transaction = TransactionStatus::unknown;
  bool busy = false;
  // The beginning of the statement under way, or of the last one of this lease: 120 bytes at most.
  std::string statement{};
  // How many statements are under way: more than one on a lane, of which `statement` is the first.
  // 255 at most.
  int under_way = 0;
};

}  // namespace tidegate
