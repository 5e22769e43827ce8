#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <tidegate/pq/convert.hpp>

#include "pq/result.hpp"
#include "pq/types/binary.hpp"
#include "pq/types/oids.hpp"

namespace tidegate::pq {
namespace {

// The server's text for `in`, in `storage` where it came in binary form.
std::string_view text_form(const Field& in, std::string& storage) {
  if (!in.binary()) return in.text();
  storage = text_of_binary(in);
  return storage;
}

// Reads all of `in` as a number. Says "is out of range" only of what is a number.
template <class T>
T read_number(const Field& in, const char* what) {
  std::string storage;
  const std::string_view text = text_form(in, storage);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) in.refuse(what);
  if (error == std::errc::result_out_of_range) in.refuse("it is out of range");
  return value;
}

// The binary form of a number, if the server's type is that of the number; else null.
template <class T>
const char* wire(const Field& in, std::uint32_t type) noexcept {
  return in.binary() && in.type() == type && in.text().size() == sizeof(T) ? in.text().data()
                                                                           : nullptr;
}

constexpr const char* kNoInteger = "it is not a whole number";
constexpr const char* kNoNumber = "it is not a number";

long long read_integer(const Field& in) {
  if (wire<std::int32_t>(in, oid::kInt4) != nullptr) return from_network<std::int32_t>(in.text());
  if (wire<std::int64_t>(in, oid::kInt8) != nullptr) return from_network<std::int64_t>(in.text());
  return read_number<long long>(in, kNoInteger);
}

std::optional<unsigned> hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

std::optional<std::byte> hex_byte(char high, char low) noexcept {
  const auto h = hex_digit(high);
  const auto l = hex_digit(low);
  if (!h || !l) return std::nullopt;
  return static_cast<std::byte>(*h * 16 + *l);
}

bool is_octal(char c, char last) noexcept { return c >= '0' && c <= last; }

// bytea_output = escape: printable bytes as they are, `\\` for a backslash, `\ooo` for the rest.
bool read_escaped(std::string_view text, std::vector<std::byte>& bytes) {
  while (!text.empty()) {
    if (text[0] != '\\') {
      bytes.push_back(static_cast<std::byte>(text[0]));
      text.remove_prefix(1);
    } else if (text.size() >= 2 && text[1] == '\\') {
      bytes.push_back(std::byte{'\\'});
      text.remove_prefix(2);
    } else if (text.size() >= 4 && is_octal(text[1], '3') && is_octal(text[2], '7') &&
               is_octal(text[3], '7')) {
      bytes.push_back(
          static_cast<std::byte>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0')));
      text.remove_prefix(4);
    } else {
      return false;
    }
  }
  return true;
}

bool read_hex(std::string_view digits, std::vector<std::byte>& bytes) {
  if (digits.size() % 2 != 0) return false;
  bytes.reserve(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const auto byte = hex_byte(digits[i], digits[i + 1]);
    if (!byte) return false;
    bytes.push_back(*byte);
  }
  return true;
}

}  // namespace

std::string read_text(const Field& in) {
  return in.binary() ? text_of_binary(in) : std::string(in.text());
}

std::string_view view_text(const Field& in) {
  if (!in.binary()) return in.text();
  switch (in.type()) {
    case oid::kText:
    case oid::kVarchar:
    case oid::kBpchar:
    case oid::kName:
    case oid::kJson: return in.text();
    case oid::kJsonb: return in.text().substr(in.text().empty() ? 0 : 1);
    default: return in.result_->texts.keep(in.row_, in.column_, text_of_binary(in));
  }
}

bool read_bool(const Field& in) {
  std::string storage;
  const std::string_view text = text_form(in, storage);
  if (text == "t") return true;
  if (text == "f") return false;
  in.refuse("it is not a boolean");
}

long long read_signed(const Field& in, long long min, long long max) {
  const auto value = read_integer(in);
  if (value < min || value > max) in.refuse("it is out of range");
  return value;
}

unsigned long long read_unsigned(const Field& in, unsigned long long max) {
  // from_chars() reads no sign into an unsigned; a negative number is out of range.
  std::string storage;
  if (text_form(in, storage).starts_with('-')) {
    read_number<long long>(in, kNoInteger);
    in.refuse("it is out of range");
  }
  const auto value = read_number<unsigned long long>(in, kNoInteger);
  if (value > max) in.refuse("it is out of range");
  return value;
}

float read_float(const Field& in) {
  if (wire<float>(in, oid::kFloat4) != nullptr) {
    return std::bit_cast<float>(from_network<std::uint32_t>(in.text()));
  }
  return read_number<float>(in, kNoNumber);
}
double read_double(const Field& in) {
  if (wire<double>(in, oid::kFloat8) != nullptr) {
    return std::bit_cast<double>(from_network<std::uint64_t>(in.text()));
  }
  return read_number<double>(in, kNoNumber);
}

std::vector<std::byte> read_bytes(const Field& in) {
  // Text is not taken for bytes, because nobody could tell it from a bytea's own text form.
  if (in.type() != oid::kBytea) in.refuse("it is not a bytea");
  const std::string_view text = in.text();
  std::vector<std::byte> bytes;
  if (in.binary()) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    bytes.assign(data, data + text.size());
    return bytes;
  }
  const bool read =
      text.starts_with("\\x") ? read_hex(text.substr(2), bytes) : read_escaped(text, bytes);
  if (!read) in.refuse("it is not in a text form of bytea");
  return bytes;
}

Uuid read_uuid(const Field& in) {
  if (wire<Uuid>(in, oid::kUuid) != nullptr) {
    Uuid uuid;
    std::memcpy(uuid.bytes.data(), in.text().data(), sizeof uuid.bytes);
    return uuid;
  }
  std::string storage;
  const auto uuid = Uuid::parse(text_form(in, storage));
  if (!uuid) in.refuse("it is not a uuid");
  return *uuid;
}

void write_uuid(const Uuid& value, Params& out) {
  if (!out.binary(oid::kUuid, value.bytes)) out.text(value.to_string());
}

}  // namespace tidegate::pq

namespace tidegate {
namespace {

constexpr std::size_t kUuidText = 36;
constexpr bool is_hyphen_place(std::size_t i) noexcept {
  return i == 8 || i == 13 || i == 18 || i == 23;
}

}  // namespace

std::optional<Uuid> Uuid::parse(std::string_view text) noexcept {
  if (text.size() != kUuidText) return std::nullopt;
  Uuid uuid;
  std::size_t filled = 0;
  for (std::size_t i = 0; i < kUuidText;) {
    if (is_hyphen_place(i)) {
      if (text[i] != '-') return std::nullopt;
      ++i;
      continue;
    }
    const auto byte = pq::hex_byte(text[i], text[i + 1]);
    if (!byte) return std::nullopt;
    uuid.bytes[filled++] = *byte;
    i += 2;
  }
  return uuid;
}

std::string Uuid::to_string() const {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  text.reserve(kUuidText);
  for (const std::byte b : bytes) {
    if (is_hyphen_place(text.size())) text += '-';
    text += kHex[std::to_integer<unsigned>(b) >> 4U];
    text += kHex[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

}  // namespace tidegate
