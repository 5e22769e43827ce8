// LeaseInfo: one lease that is out, as a person wants to know it.
#pragma once

#include <chrono>
#include <string>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/transaction_status.hpp>
#include <tidegate/watch/stack.hpp>

namespace tidegate {

// Plain data, of the moment it was asked for; does not refer to the pool.
struct LeaseInfo {
  Location site{};                                // its acquire
  long thread_id = 0;                             // of the holder: who acquired it or used it last
  std::string thread_name{};                      // empty when it has none, or is gone
  std::chrono::steady_clock::time_point since{};  // to within 10 ms, as `held`
  std::chrono::nanoseconds held{};
  int backend_pid = 0;
  // From native_handle() on nobody knows what is done with the connection: the status and the
  // statement are "unknown", and it does not look busy. The status is the one before the statement
  // under way while it is busy.
  TransactionStatus transaction = TransactionStatus::unknown;
  bool busy = false;  // a statement is under way
  // That one, or the last one of this lease: its first 120 bytes, never parameters. Empty: none.
  std::string statement{};
  Stack acquired_by{};  // of the acquire, with PoolConfig::capture_stack

  // acquired_by with its names looked up; empty without capture_stack.
  std::string stack() const { return acquired_by.to_string(); }
};

// `OrderRepo::load (src/repo.cpp:41) for 3.1 s by thread "worker-3", pid 4711, in transaction, last
// statement "select 1"`, and the stack below it where there is one.
TIDEGATE_API std::string to_string(const LeaseInfo& lease);

}  // namespace tidegate
