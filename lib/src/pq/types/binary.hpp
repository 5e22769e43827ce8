// The server's binary forms: numbers in network byte order, and what the conversions build on them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include <tidegate/pq/field.hpp>

namespace tidegate::pq {

// Whether every C++ type that reads this type's text also reads its binary form. Arrays do not.
bool has_binary_reader(std::uint32_t type) noexcept;

// Whether every C++ type, std::string and views included, also reads the same from both forms,
// whatever the session's settings. Not so for rounded numbers and dates, whose text depends on the
// settings. A bytea read as text is in hex form.
bool reads_alike(std::uint32_t type) noexcept;

// The text that the server would have sent for `in`, which is in binary form; numbers in their
// shortest form. Throws: QueryError for dates and times, whose text depends on the session.
std::string text_of_binary(const Field& in);

// Integers from and to the wire. Needs: bytes.size() == sizeof(T).
template <class T>
T from_network(std::string_view bytes) noexcept {
  std::make_unsigned_t<T> value = 0;
  for (const char c : bytes) {
    value = static_cast<std::make_unsigned_t<T>>((value << 8U) | static_cast<unsigned char>(c));
  }
  return static_cast<T>(value);
}
template <class T>
std::array<std::byte, sizeof(T)> to_network(T value) noexcept {
  std::array<std::byte, sizeof(T)> bytes{};
  auto left = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = sizeof(T); i-- > 0; left = static_cast<decltype(left)>(left >> 8U)) {
    bytes[i] = static_cast<std::byte>(left & 0xFFU);
  }
  return bytes;
}

// Where PostgreSQL's clocks begin, 2000-01-01, counted from 1970-01-01.
inline constexpr std::int64_t kEpochDays = 10957;
inline constexpr std::int64_t kEpochMicros = kEpochDays * 86'400'000'000;

}  // namespace tidegate::pq
