// Conversions of booleans, numbers, text, bytes, uuid, json. Included by convert.hpp.
#pragma once

#include <tidegate/pq/convert_trait.hpp>

namespace tidegate {

namespace pq {
// Readers of the server's text and binary forms. Throw QueryError when the value is not of that
// form or is out of range.
TIDEGATE_API std::string read_text(const Field& in);
TIDEGATE_API std::string_view view_text(const Field& in);
TIDEGATE_API bool read_bool(const Field& in);
TIDEGATE_API long long read_signed(const Field& in, long long min, long long max);
TIDEGATE_API unsigned long long read_unsigned(const Field& in, unsigned long long max);
TIDEGATE_API float read_float(const Field& in);
TIDEGATE_API double read_double(const Field& in);
TIDEGATE_API std::vector<std::byte> read_bytes(const Field& in);
TIDEGATE_API Uuid read_uuid(const Field& in);
TIDEGATE_API void write_uuid(const Uuid& value, Params& out);

// Compilers do not agree on the names of the integer types.
template <Integer T>
constexpr std::string_view integer_name() noexcept {
  if constexpr (std::same_as<T, short>) return "short";
  if constexpr (std::same_as<T, int>) return "int";
  if constexpr (std::same_as<T, long>) return "long";
  if constexpr (std::same_as<T, long long>) return "long long";
  if constexpr (std::same_as<T, unsigned short>) return "unsigned short";
  if constexpr (std::same_as<T, unsigned>) return "unsigned";
  if constexpr (std::same_as<T, unsigned long>) return "unsigned long";
  return "unsigned long long";
}
}  // namespace pq

template <>
struct Convert<bool> {
  static void encode(bool value, Params& out) { out.boolean(value); }
  static bool decode(const Field& in) { return pq::read_bool(in); }
};

// Range-checked: a value that does not fit is refused, never cut.
template <pq::Integer T>
struct Convert<T> {
  static std::string_view name() { return pq::integer_name<T>(); }
  static void encode(T value, Params& out) {
    if constexpr (std::is_signed_v<T>) {
      out.integer(static_cast<long long>(value), sizeof value);
    } else {
      out.integer(static_cast<unsigned long long>(value));
    }
  }
  static T decode(const Field& in) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(pq::read_signed(in, Limits::min(), Limits::max()));
    } else {
      return static_cast<T>(pq::read_unsigned(in, Limits::max()));
    }
  }
};

// Rounded to the nearest, as in the language; refused where it would become infinite or zero.
template <>
struct Convert<float> {
  static void encode(float value, Params& out) { out.floating(value); }
  static float decode(const Field& in) { return pq::read_float(in); }
};
template <>
struct Convert<double> {
  static void encode(double value, Params& out) { out.floating(value); }
  static double decode(const Field& in) { return pq::read_double(in); }
};

// Any type of the server can be read as its text.
template <>
struct Convert<std::string> {
  static std::string_view name() { return "std::string"; }
  static void encode(const std::string& value, Params& out) {
    out.text_in_place(value.c_str(), value.size());
  }
  static std::string decode(const Field& in) { return pq::read_text(in); }
};
// Read: a view into the Rows.
template <>
struct Convert<std::string_view> {
  static std::string_view name() { return "std::string_view"; }
  static void encode(std::string_view value, Params& out) { out.text(value); }
  static std::string_view decode(const Field& in) { return pq::view_text(in); }
};
// A null pointer is NULL.
template <>
struct Convert<const char*> {
  static void encode(const char* value, Params& out) {
    value == nullptr ? out.null() : out.text_in_place(value, std::char_traits<char>::length(value));
  }
};
template <>
struct Convert<char*> : Convert<const char*> {};
// A literal or a buffer: up to its first NUL, or all of it.
template <std::size_t N>
struct Convert<char[N]> {
  static void encode(const char (&value)[N], Params& out) {
    const std::string_view all(value, N);
    const std::size_t size = all.find('\0');
    size == all.npos ? out.text(all) : out.text_in_place(value, size);
  }
};

template <>
struct Convert<std::nullptr_t> {
  static void encode(std::nullptr_t, Params& out) { out.null(); }
};
template <>
struct Convert<std::nullopt_t> {
  static void encode(std::nullopt_t, Params& out) { out.null(); }
};

// bytea.
template <>
struct Convert<std::span<const std::byte>> {
  static void encode(std::span<const std::byte> value, Params& out) { out.bytes(value); }
};
template <>
struct Convert<std::vector<std::byte>> {
  static std::string_view name() { return "std::vector<std::byte>"; }
  static void encode(const std::vector<std::byte>& value, Params& out) { out.bytes(value); }
  static std::vector<std::byte> decode(const Field& in) { return pq::read_bytes(in); }
};

template <>
struct Convert<Uuid> {
  static void encode(const Uuid& value, Params& out) { pq::write_uuid(value, out); }
  static Uuid decode(const Field& in) { return pq::read_uuid(in); }
};
template <>
struct Convert<Json> {
  static void encode(const Json& value, Params& out) {
    Convert<std::string>::encode(value.text, out);
  }
  static Json decode(const Field& in) { return {pq::read_text(in)}; }
};
template <>
struct Convert<Numeric> {
  static void encode(const Numeric& value, Params& out) {
    Convert<std::string>::encode(value.text, out);
  }
  static Numeric decode(const Field& in) { return {pq::read_text(in)}; }
};

}  // namespace tidegate
