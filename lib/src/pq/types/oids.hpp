// The server's built-in types, as far as the library tells them apart (pg_type.dat; these numbers
// never change).
#pragma once

#include <cstdint>
#include <string>

namespace tidegate::pq {

namespace oid {
inline constexpr std::uint32_t kBool = 16;
inline constexpr std::uint32_t kBytea = 17;
inline constexpr std::uint32_t kChar = 18;
inline constexpr std::uint32_t kName = 19;
inline constexpr std::uint32_t kInt8 = 20;
inline constexpr std::uint32_t kInt2 = 21;
inline constexpr std::uint32_t kInt4 = 23;
inline constexpr std::uint32_t kText = 25;
inline constexpr std::uint32_t kOid = 26;
inline constexpr std::uint32_t kJson = 114;
inline constexpr std::uint32_t kFloat4 = 700;
inline constexpr std::uint32_t kFloat8 = 701;
inline constexpr std::uint32_t kUnknown = 705;
inline constexpr std::uint32_t kByteaArray = 1001;
inline constexpr std::uint32_t kBpchar = 1042;
inline constexpr std::uint32_t kVarchar = 1043;
inline constexpr std::uint32_t kDate = 1082;
inline constexpr std::uint32_t kTimestamp = 1114;
inline constexpr std::uint32_t kTimestampArray = 1115;
inline constexpr std::uint32_t kTimestamptz = 1184;
inline constexpr std::uint32_t kTimestamptzArray = 1185;
inline constexpr std::uint32_t kNumeric = 1700;
inline constexpr std::uint32_t kVoid = 2278;
inline constexpr std::uint32_t kUuid = 2950;
inline constexpr std::uint32_t kJsonb = 3802;
}  // namespace oid

// "int8", "text[]"; "type with OID 16385" for what is not built in.
std::string type_name(std::uint32_t type);

// The type of an array's elements, where the conversions depend on it; else 0.
std::uint32_t element_type(std::uint32_t array) noexcept;

}  // namespace tidegate::pq
