#include <tidegate/pq/params.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include <tidegate/base/error.hpp>

#include "pq/throw_usage.hpp"
#include "pq/types/binary.hpp"
#include "pq/types/oids.hpp"

namespace tidegate {
namespace {

// The largest value PostgreSQL takes.
constexpr std::size_t kLargestValue = (std::size_t{1} << 30) - 1;
// How much a connection keeps for the next call; a larger statement's memory is given back.
constexpr std::size_t kKeptText = std::size_t{64} * 1024;
constexpr std::size_t kKeptParams = 1024;

constexpr char kHex[] = "0123456789abcdef";

}  // namespace

void Params::null() {
  if (in_array_) {
    if (!first_element_) text_ += ',';
    first_element_ = false;
    text_ += "NULL";
    return;
  }
  add(nullptr, kElsewhere, 0, 0, Format::text);
}

void Params::text(std::string_view value) {
  check_text(value);
  if (in_array_) return add_element(value);
  const std::size_t offset = text_.size();
  text_.append(value).push_back('\0');
  add(nullptr, offset, value.size(), 0, Format::text);
}

void Params::text_in_place(const char* text, std::size_t size) {
  const std::string_view value(text, size);
  if (copy_all_) return this->text(value);
  check_text(value);
  if (in_array_) return add_element(value);
  add(text, kElsewhere, size, 0, Format::text);
}

void Params::bytes(std::span<const std::byte> value) {
  if (value.size() > kLargestValue) refuse("is larger than 1 GiB");
  if (in_array_) {
    std::string hex = "\\x";
    hex.reserve(2 + 2 * value.size());
    for (const std::byte b : value) {
      hex += kHex[std::to_integer<unsigned>(b) >> 4U];
      hex += kHex[std::to_integer<unsigned>(b) & 15U];
    }
    return add_element(hex);
  }
  if (copy_all_) {
    const std::size_t offset = text_.size();
    text_.append(reinterpret_cast<const char*>(value.data()), value.size()).push_back('\0');
    return add(nullptr, offset, value.size(), pq::oid::kBytea, Format::binary);
  }
  // A null pointer would mean NULL, and an empty span may have one.
  const char* data = value.empty() ? "" : reinterpret_cast<const char*>(value.data());
  add(data, kElsewhere, value.size(), pq::oid::kBytea, Format::binary);
}

bool Params::binary(std::uint32_t type, std::span<const std::byte> value) {
  if (in_array_ || count() >= expected_.size() || expected_[count()] != type) return false;
  const std::size_t offset = text_.size();
  text_.append(reinterpret_cast<const char*>(value.data()), value.size());
  add(nullptr, offset, value.size(), type, Format::binary);
  return true;
}

void Params::boolean(bool value) {
  const std::byte byte{static_cast<unsigned char>(value)};
  if (binary(pq::oid::kBool, {&byte, 1})) return;
  value ? text_in_place("true", 4) : text_in_place("false", 5);
}

void Params::integer(long long value, std::size_t size) {
  const bool sent =
      size == 2   ? binary(pq::oid::kInt2, pq::to_network(static_cast<std::int16_t>(value)))
      : size == 4 ? binary(pq::oid::kInt4, pq::to_network(static_cast<std::int32_t>(value)))
                  : binary(pq::oid::kInt8, pq::to_network(static_cast<std::int64_t>(value)));
  if (sent) return;
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  text({digits, static_cast<std::size_t>(end - digits)});
}

void Params::integer(unsigned long long value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  text({digits, static_cast<std::size_t>(end - digits)});
}

namespace {

// The shortest text that reads back as the same value; NaN and infinities as PostgreSQL has them.
template <class T>
std::string_view spell(T value, char (&digits)[32]) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return {digits, static_cast<std::size_t>(end - digits)};
}

}  // namespace

void Params::floating(float value) {
  if (binary(pq::oid::kFloat4, pq::to_network(std::bit_cast<std::uint32_t>(value)))) return;
  char digits[32];
  text(spell(value, digits));
}

void Params::floating(double value) {
  if (binary(pq::oid::kFloat8, pq::to_network(std::bit_cast<std::uint64_t>(value)))) return;
  char digits[32];
  text(spell(value, digits));
}

void Params::begin_array() {
  if (in_array_) refuse("is an array of arrays");
  in_array_ = true;
  first_element_ = true;
  array_start_ = text_.size();
  text_ += '{';
}

void Params::end_array() {
  in_array_ = false;
  text_ += '}';
  const std::size_t size = text_.size() - array_start_;
  if (size > kLargestValue) refuse("is larger than 1 GiB");
  text_ += '\0';
  add(nullptr, array_start_, size, 0, Format::text);
}

// Always quoted, so that no element can be taken for NULL or for structure.
void Params::add_element(std::string_view value) {
  if (!first_element_) text_ += ',';
  first_element_ = false;
  text_ += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
}

void Params::add(const char* data, std::size_t offset, std::size_t size, std::uint32_t type,
                 Format format) {
  arrays_.add({.value = data,
               .entry = offset,
               .type = type,
               .length = static_cast<int>(size),
               .format = static_cast<int>(format)});
}

void Params::check_text(std::string_view value) const {
  if (value.find('\0') != std::string_view::npos) {
    refuse("holds a NUL byte, which PostgreSQL text cannot");
  }
  if (value.size() > kLargestValue) refuse("is larger than 1 GiB");
}

void Params::check_bound(std::size_t before) const {
  if (!in_array_ && count() == before + 1) return;
  throw UsageError("Convert<T>::encode must write exactly one value for " + name_of(before),
                   where_);
}

std::string Params::name_of(std::size_t value) const {
  const std::string number = std::to_string(value - first_ + 1);
  if (line_ == 0) return "parameter $" + number;
  return "line " + std::to_string(line_) + " of the COPY, column " + number + ",";
}

void Params::refuse(std::string_view why) const {
  std::string text = name_of(count());
  text.append(" ").append(why);
  pq::throw_usage(std::move(text), where_);
}

void Params::clear(Location where) noexcept {
  if (text_.capacity() > kKeptText || arrays_.capacity() > kKeptParams) *this = Params();
  arrays_.shorten(0);
  text_.clear();
  copy_all_ = false;
  first_ = 0;
  line_ = 0;
  in_array_ = false;
  expected_ = {};
  where_ = where;
}

void Params::begin_another(std::size_t keep, Location where) noexcept {
  arrays_.shorten(keep);
  copy_all_ = true;
  first_ = static_cast<std::uint32_t>(keep);
  in_array_ = false;
  where_ = where;
}

void Params::begin_line(std::uint64_t line, Location where) noexcept {
  clear(where);
  line_ = line;
}

void Params::seal() noexcept {
  // text_ does not grow any more, so its addresses hold from here on.
  const std::size_t* const entries = arrays_.entries();
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    if (entries[i] != kElsewhere) arrays_.values()[i] = text_.data() + entries[i];
  }
}

}  // namespace tidegate
