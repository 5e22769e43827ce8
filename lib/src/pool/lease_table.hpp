// The leases that are out, as others than their holders see them.
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
// All of them, the oldest first.
std::vector<LeaseInfo> leases_of(const PoolCore& core);
// How many there are. Reads the records alone, so what is docked, or only being checked, is none.
std::uint32_t count_leases(const PoolCore& core) noexcept;

// What is known of who has them.
enum class Known : std::uint8_t {
  last_user,  // the thread acquired it or used it last; by now another one may have it
  in_call,    // it is in a call of the pool that the thread is in: certain, if asked on that thread
};
bool is_of(const core::Slot& slot, std::int32_t thread, Known known) noexcept;
std::uint32_t count_leases(const PoolCore& core, std::int32_t thread, Known known) noexcept;
// Those of `thread`, the oldest first. Cheap when there is none.
std::vector<LeaseInfo> leases_held_by(const PoolCore& core, std::int32_t thread, Known known);

// The same as errors and reports tell it.
LeaseHolder holder_of(const LeaseInfo& lease);
std::vector<LeaseHolder> holders_of(const std::vector<LeaseInfo>& leases);

}  // namespace tidegate::detail
