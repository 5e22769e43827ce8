// Pieces that the pool's error texts share.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/duration.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/thread.hpp>

#include "base/printable.hpp"

namespace tidegate::detail {

// `pool "orders"`.
inline std::string pool_text(std::string_view name) {
  return std::string("pool \"").append(one_line(name)).append("\"");
}

// "src/jobs.cpp:130".
inline std::string short_place(Location where) {
  return std::string(where.file()) + ':' + std::to_string(where.line());
}

// The line that ends a text: which call failed. Nothing when that is unknown.
inline std::string this_acquire(Location where, std::string_view indent = "  ") {
  if (!where.known()) return {};
  return std::string("\n").append(indent).append("this acquire: ").append(short_place(where));
}

// "1 lease", "2 leases".
inline std::string counted(std::uint64_t n, std::string_view noun) {
  return std::to_string(n).append(" ").append(noun).append(n == 1 ? "" : "s");
}

// How an acquire ended: "no connection within 250 ms (waited 250.3 ms)".
inline std::string no_connection(std::optional<std::chrono::nanoseconds> allowed,
                                 std::chrono::nanoseconds waited) {
  if (allowed && allowed->count() <= 0) return "no connection without waiting";
  const std::string spent = "(waited " + brief_duration(waited, 4) + ")";
  if (!allowed) return "no connection " + spent;
  return "no connection within " + brief_duration(*allowed) + " " + spent;
}

}  // namespace tidegate::detail
