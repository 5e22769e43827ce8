// Finds options that libpq refuses, without a network, and in whatever language libpq speaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pq/connect/attempt.hpp"

namespace tidegate::pq {

// What libpq says of `params` when it refuses them before it dials: a service that no file has, an
// unknown value of sslmode, of a TLS version, of require_auth. Nothing when it would dial.
// Promises: no network, no look-up of a host. Throws: std::bad_alloc.
std::optional<std::string> refusal_of(const ConnectParams& params);

// "15.18".
std::string libpq_version();
// Whether this libpq has an option of that name.
bool knows_option(std::string_view keyword);

// Whether an option that libpq reads late should be a whole number, and is none.
bool is_broken_number(const std::string& value) noexcept;

}  // namespace tidegate::pq
