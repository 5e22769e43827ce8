// Splits a connection string by libpq's own rules, so that the pool's keys can be taken out and
// faults reported by position, without an echo of what may be a password.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::detail {

// One keyword=value, or one parameter behind the '?' of a URI.
struct ConninfoPart {
  std::size_t position = 0;  // of the part's first byte in the string, from 1
  std::string_view text{};   // as written
  std::string key{};         // decoded
  std::string value{};       // decoded
};

struct ConninfoFault {
  std::size_t position = 0;  // from 1
  std::string rule{};        // which rule is broken; never a piece of the string
};

// Views into the string that was split.
struct ConninfoSplit {
  bool uri = false;
  // Of a URI: "postgresql://", "user:password" (when there is an '@'), "host:5432/db".
  std::string_view scheme{};
  std::optional<std::string_view> userinfo{};
  std::string_view target{};

  std::vector<ConninfoPart> parts{};
  // The first fault; `parts` then holds what came before it.
  std::optional<ConninfoFault> fault{};
  // A URI has an '@' where a password that is not percent-encoded would put one, so any part of it
  // may belong to the password.
  bool doubtful = false;
};

// Promises: the same parts that libpq would find (conninfo_parse, conninfo_uri_parse_options in
// fe-connect.c), and a fault wherever libpq would find one in the syntax. A raw '@' behind the user
// part of a URI, in host or database, is a fault, too: it comes from a password that was not
// percent-encoded, and libpq would take a piece of that password for the host's name.
ConninfoSplit split_conninfo(std::string_view conninfo);

// The string again, with `parts` (each as written) instead of its own.
std::string join_conninfo(const ConninfoSplit& split, const std::vector<std::string>& parts);

// key=value, quoted or percent-encoded as the form of the string wants it.
std::string write_part(bool uri, std::string_view key, std::string_view value);

}  // namespace tidegate::detail
