// The server's built-in types, as far as the library tells them apart (pg_type.dat; these numbers
// never change).
#pragma once

#include <cstdint>
#include <string>

namespace tidegate::pq {

namespace oid {
inline constexpr std::uint32_t kBytea = 17;
inline constexpr std::uint32_t kByteaArray = 1001;
inline constexpr std::uint32_t kTimestamp = 1114;
inline constexpr std::uint32_t kTimestampArray = 1115;
inline constexpr std::uint32_t kTimestamptz = 1184;
inline constexpr std::uint32_t kTimestamptzArray = 1185;
}  // namespace oid

// "int8", "text[]"; "type with OID 16385" for what is not built in.
std::string type_name(std::uint32_t type);

// The type of an array's elements, where the conversions depend on it; else 0.
std::uint32_t element_type(std::uint32_t array) noexcept;

}  // namespace tidegate::pq
