// Finds what is wrong with a configuration. Collects everything; nothing here throws ConfigError.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tidegate/pool/config.hpp>
#include <tidegate/pq/conninfo.hpp>

#include "pool/config/conninfo_split.hpp"

namespace tidegate::detail {

using Problems = std::vector<ConfigError::Problem>;
using KnownOptions = std::vector<pq::ConninfoOption>;  // pq::conninfo_defaults()

// Stands in place of a value that must not be shown.
inline constexpr std::string_view kHidden = "***";

bool is_pool_key(std::string_view key) noexcept;

// Adds what is wrong with the libpq part of a split string (it skips the pool_* parts). Promises:
// no value of the string appears, and no keyword that may be a piece of a password.
void check_conninfo(const ConninfoSplit& split, const KnownOptions& known, Problems& problems);

// Adds what is wrong with the other members, each by itself and together. Skips fields that
// `problems` names already.
void check_members(const PoolConfig& config, Problems& problems);

// For each part: whether an error may show its key even if the key is unknown. A password with an
// unquoted blank in it looks like a value with a further keyword behind it. So an unknown keyword
// is shown only if it is close to a known one and no secret or strange keyword stands before it (up
// to the next known keyword). A keyword that begins with pool_ is surely meant as a key: there one
// of the two conditions is enough.
std::vector<bool> showable_keys(const ConninfoSplit& split, const KnownOptions& known);

// Whether a value may hold another keyword with its value: a password, if that keyword stands
// behind a value that was left empty ("pool_max_conns= password=x": by libpq's rules this is one
// word).
bool may_hold_keyword(std::string_view key, std::string_view value) noexcept;

// A value as an error may show it: on one line, not too long, and hidden if it may hold a keyword.
std::string shown_value(std::string_view value);

}  // namespace tidegate::detail
