// The parameters that a conninfo asks for and the session does not have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <tidegate/pq/connection.hpp>

namespace tidegate::pq {

struct DroppedParameter {
  unsigned number = 0;  // stands for the name: below 32, and always the same
  std::string name{};
  std::string asked{};
  std::string reported{};
};

// Of client_encoding, application_name and options (-c name=value): those that the server reports
// with another value than was asked for. A pooler may give each client an existing session as it
// is. Compares only what is reported, and only where the two values cannot mean the same: names are
// truncated, values are spelled in several ways, and a pooler may add the client's address to its
// name. `params`: ConnectOptions::params; a service and the environment fill in the rest. Throws:
// std::bad_alloc.
std::vector<DroppedParameter> dropped_parameters(
    const std::vector<std::pair<std::string, std::string>>& params, const Connection& connection);

}  // namespace tidegate::pq
