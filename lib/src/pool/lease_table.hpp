// The leases that are out, as threads other than their holders see them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <tidegate/pool/closed_error.hpp>
#include <tidegate/watch/lease_info.hpp>

#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

// The lease of a slot, or nothing when it has none. Any thread; the lease may end meanwhile.
// Throws: std::bad_alloc.
std::optional<LeaseInfo> lease_of(const PoolCore& core, std::uint32_t slot);
// All leases, the oldest first.
std::vector<LeaseInfo> leases_of(const PoolCore& core);
// How many leases there are. Reads the records alone: a docked or checked slot does not count.
std::uint32_t count_leases(const PoolCore& core) noexcept;

// How surely a thread is known to have a lease.
enum class Known : std::uint8_t {
  last_user,  // the thread acquired it or used it last; another may have it by now
  in_call,    // the thread is in a call that has it: certain, if asked on that thread
};
bool is_of(const core::Slot& slot, std::int32_t thread, Known known) noexcept;
std::uint32_t count_leases(const PoolCore& core, std::int32_t thread, Known known) noexcept;
// The leases of `thread`, the oldest first. Cheap when there are none.
std::vector<LeaseInfo> leases_held_by(const PoolCore& core, std::int32_t thread, Known known);

// The same leases, in the form that errors and reports use.
LeaseHolder holder_of(const LeaseInfo& lease);
std::vector<LeaseHolder> holders_of(const std::vector<LeaseInfo>& leases);

}  // namespace tidegate::detail
