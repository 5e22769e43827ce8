// LeaseInfo: one lease that is out, described for a person.
#pragma once

#include <chrono>
#include <string>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/transaction_status.hpp>
#include <tidegate/watch/stack.hpp>

namespace tidegate {

// Plain data, taken at the moment of the call; does not refer to the pool.
struct LeaseInfo {
  Location site{};                                // the acquire that began the lease
  long thread_id = 0;                             // of the holder, which acquired or used it last
  std::string thread_name{};                      // empty when the thread has no name, or is gone
  std::chrono::steady_clock::time_point since{};  // to within 10 ms, like `held`
  std::chrono::nanoseconds held{};
  int backend_pid = 0;
  // After native_handle() nobody knows what the user does with the connection: the status and the
  // statement are "unknown", and `busy` is false. While a statement is under way, the status is the
  // one before that statement.
  TransactionStatus transaction = TransactionStatus::unknown;
  bool busy = false;  // a statement is under way
  // The statement under way or the lease's last: its first 120 bytes, no parameters. Empty: none.
  std::string statement{};
  // How many statements are under way: more than one on a lane (docs/lanes.md), 255 at most. They
  // are those of as many callers; `statement` is the first, and the thread leads them.
  int under_way = 0;
  Stack acquired_by{};  // the stack of the acquire, with PoolConfig::capture_stack

  // The text of acquired_by, with names looked up; empty without capture_stack.
  std::string stack() const { return acquired_by.to_string(); }
};

// `OrderRepo::load (src/repo.cpp:41) for 3.1 s by thread "worker-3", pid 4711, in transaction, last
// statement "select 1"`, and the stack below it where there is one.
TIDEGATE_API std::string to_string(const LeaseInfo& lease);

}  // namespace tidegate
