// What a conninfo asks for and the session does not have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <tidegate/pq/connection.hpp>

namespace tidegate::pq {

struct DroppedParameter {
  unsigned number = 0;  // of the name: below 32, and the same each time
  std::string name{};
  std::string asked{};
  std::string reported{};
};

// Of client_encoding, application_name and options (-c name=value): what the server reports
// otherwise than it was asked for. A pooler may give each client the session that it has, as it is.
// Only what is reported, and only where the two cannot mean the same: names are truncated, values
// spelled in several ways, and a pooler may add the client's address to its name.
// `params`: ConnectOptions::params; a service and the environment fill in the rest. Throws:
// std::bad_alloc.
std::vector<DroppedParameter> dropped_parameters(
    const std::vector<std::pair<std::string, std::string>>& params, const Connection& connection);

}  // namespace tidegate::pq
