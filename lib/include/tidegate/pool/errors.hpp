// All errors of a pool. Those of queries are in pq/errors.hpp.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pool/acquire_errors.hpp>
#include <tidegate/pool/closed_error.hpp>
#include <tidegate/pool/config_error.hpp>
#include <tidegate/pool/connect_error.hpp>

namespace tidegate {

// A hook said fail, or threw. The exception that the hook threw or passed is nested
// (std::rethrow_if_nested); without one, the exception that the constructing thread is handling is
// nested, as std::nested_exception does.
class TIDEGATE_API HookError : public Error, public std::nested_exception {
 public:
  HookError(const std::string& pool, const std::string& hook, std::exception_ptr cause,
            Location where = {});
  // The hook gave a text and no exception.
  HookError(const std::string& pool, const std::string& hook, const std::string& reason,
            Location where = {});
  HookError(const HookError&) = default;
  HookError& operator=(const HookError&) = default;
  ~HookError() override;

  const std::string& hook() const noexcept { return *hook_; }

 private:
  std::shared_ptr<const std::string> hook_;
};

// Only the calling thread could end the wait that it asks for. Nothing was changed.
class TIDEGATE_API WouldDeadlock : public Error {
 public:
  enum class Situation {
    acquire,               // the thread would wait, and it is inside calls that have every lease
    acquire_in_hook,       // the thread would wait in a hook, while the pool waits for the hook
    nested_acquire,        // the thread holds a lease, and PoolConfig::nested_acquire says fail
    close_with_lease,      // the thread closes in a call whose lease close would wait for
    close_on_pool_thread,  // the thread closes from a hook, or is a thread of the pool
  };
  // `held`: the calling thread's leases, the oldest first.
  WouldDeadlock(const std::string& pool, Situation situation, const std::vector<LeaseHolder>& held,
                Location where = {});
  ~WouldDeadlock() override;

  Situation situation() const noexcept { return situation_; }

 private:
  Situation situation_;
};

}  // namespace tidegate
