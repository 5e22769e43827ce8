// What a slot of a Pool holds, and the core that holds it.
#pragma once

#include <cstdint>
#include <memory>

#include <tidegate/base/fork.hpp>
#include <tidegate/core/resource_core.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/file_descriptor.hpp>
#include <tidegate/pq/session_monitor.hpp>

#include "pool/kept_stack.hpp"

namespace tidegate::detail {

// What the end of a lease must know of its pool, because the pool may be gone by then. Fixed.
struct ReleaseRules {
  ResetPolicy reset = ResetPolicy::rollback;
  bool after_release = false;  // the hook is set
  std::shared_ptr<Observer> observer{};
  bool tells_releases = false;  // to the observer
  std::uint32_t forks = ForkHook::forks();

  // This process is a child of the one that has the pool: there the end of a lease does nothing.
  bool inherited() const noexcept { return forks != ForkHook::forks(); }
  // Even a clean connection needs more than to be given back.
  bool concern_clean() const noexcept {
    return reset == ResetPolicy::discard_all || after_release || tells_releases;
  }
};

// Threads other than the slot's owner may use only `monitor`, `duplicate` and `stack`
// (ResourceCore::visit()): these stay the same from the opening to the end, whatever becomes of the
// connection. With the flag of its std::optional a PooledConnection fills 64 bytes, like a Slot:
// the warm path finds both by one shift.
struct PooledConnection {
  Connection connection{};
  // A duplicate of the connection's socket. It shows when the server has ended the session after
  // our side is closed, and its number cannot be reused behind our back, whatever libpq closes.
  pq::FileDescriptor duplicate{};
  bool rules_concern_clean = false;
  // How long an acquirer has waited for the answer to the ping that maintenance takes over. It
  // stops at the maximum: after a longer wait little time is left, or the timeout is long anyhow.
  std::uint16_t pinged_for_ms = 0;
  std::shared_ptr<const ReleaseRules> rules{};
  pq::SessionMonitor monitor{};
  std::unique_ptr<KeptStack> stack{};  // null: no stacks are captured
};

// What happens to a connection whose lease ends.
struct Release {
  enum class How : std::uint8_t { give_back, give_to_maintenance, discard };
  How how = How::give_back;
  core::Retired reason{};  // of a discard
  core::Errand errand{};   // for maintenance
  bool clean = false;
};
Release plan_release(PooledConnection& pooled) noexcept;

}  // namespace tidegate::detail

namespace tidegate::core {

extern template class ResourceCore<tidegate::detail::PooledConnection, StdSync>;

}  // namespace tidegate::core
