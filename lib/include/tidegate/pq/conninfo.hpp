// libpq's connection options: which ones it knows, their defaults, and its parser.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tidegate/base/export.hpp>

namespace tidegate::pq {

// One connection option as libpq names it ("host", "sslmode", ...).
struct ConninfoOption {
  std::string keyword{};
  std::string value{};  // empty: not set (libpq also treats an empty value so)
  bool secret = false;  // libpq's dispchar is '*': never to be shown
};

// Every option this libpq knows, each with its default for this process: built in, PG* environment,
// service file.
// Promises: a service file that cannot be read costs only its defaults, not the list.
// Throws:   std::bad_alloc.
TIDEGATE_API std::vector<ConninfoOption> conninfo_defaults();

// Parses a conninfo (keyword/value or URI) that holds libpq's own keys only, without defaults.
// Promises: the options that were given a value, each once, in libpq's order; nullopt when libpq
//           refuses the string or it holds a NUL. libpq's message is not passed on, because it
//           echoes fragments of the string, passwords included.
// Throws:   std::bad_alloc.
TIDEGATE_API std::optional<std::vector<ConninfoOption>> parse_conninfo(const std::string& conninfo);

}  // namespace tidegate::pq
