// In what two configurations differ, for people.
#pragma once

#include <string>
#include <vector>

#include <tidegate/pool/config.hpp>

namespace tidegate::detail {

// Each difference as a problem of `wanted`; `present`: who has the other value, as in "the open
// pool has". Compared is what a pool would do: order and spelling of the conninfo do not count, nor
// does an unset member that computes to the same. Secrets are compared, not shown. Hooks and the
// observer are compared as set or not set.
std::vector<ConfigError::Problem> differences(const PoolConfig& wanted, const PoolConfig& existing,
                                              const std::string& present);

}  // namespace tidegate::detail
