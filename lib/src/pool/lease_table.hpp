// The leases that are out, for who looks at them from outside.
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
// How many there are; with a thread's id: how many that one holds. Reads the records alone, so what
// is docked, or only being checked, is none.
std::uint32_t count_leases(const PoolCore& core, std::int32_t thread = 0) noexcept;
// Those that `thread` holds, the oldest first. Cheap when there is none.
std::vector<LeaseInfo> leases_held_by(const PoolCore& core, std::int32_t thread);

// The same as errors and reports tell it.
LeaseHolder holder_of(const LeaseInfo& lease);
std::vector<LeaseHolder> holders_of(const std::vector<LeaseInfo>& leases);

}  // namespace tidegate::detail
