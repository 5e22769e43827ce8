// The differences between two configurations, for people.
#pragma once

#include <string>
#include <vector>

#include <tidegate/pool/config.hpp>

namespace tidegate::detail {

// Returns each difference as a problem of `wanted`; `present` names the owner of the other value,
// as in "the open pool has". Compares what a pool would do: order and spelling of the conninfo do
// not count, nor does an unset member that computes to the same value. Secrets are compared, but
// not shown. Hooks and the observer are compared only as set or not set.
std::vector<ConfigError::Problem> differences(const PoolConfig& wanted, const PoolConfig& existing,
                                              const std::string& present);

}  // namespace tidegate::detail
