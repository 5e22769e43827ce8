#include "pq/types/binary.hpp"

#include <bit>
#include <charconv>
#include <cmath>

#include <tidegate/pq/types.hpp>

#include "pq/types/oids.hpp"

namespace tidegate::pq {
namespace {

// Refused unless it has that size; the server never sends another.
void require_size(const Field& in, std::size_t size) {
  if (in.text().size() != size) in.refuse("it is not in the binary form of its type");
}

template <class T>
T integer(const Field& in) {
  require_size(in, sizeof(T));
  return from_network<T>(in.text());
}

template <class T>
std::string float_text(T value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return {digits.data(), end};
}

std::string bytea_text(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "\\x";
  text.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    text += kHex[static_cast<unsigned char>(c) >> 4U];
    text += kHex[static_cast<unsigned char>(c) & 15U];
  }
  return text;
}

std::string uuid_text(const Field& in) {
  require_size(in, sizeof(Uuid::bytes));
  Uuid uuid;
  std::memcpy(uuid.bytes.data(), in.text().data(), sizeof(Uuid::bytes));
  return uuid.to_string();
}

// numeric: digits of base 10000, the first of weight 10000^weight, shown with `scale` places after
// the point (src/backend/utils/adt/numeric.c, numeric_send).
std::string numeric_text(const Field& in) {
  const std::string_view bytes = in.text();
  const auto word = [&](std::size_t i) {
    return i * 2 + 2 <= bytes.size() ? from_network<std::uint16_t>(bytes.substr(i * 2, 2))
                                     : std::uint16_t{0};
  };
  const std::size_t digits = word(0);
  const int weight = static_cast<std::int16_t>(word(1));
  const unsigned sign = word(2);
  const int scale = word(3);
  require_size(in, 8 + 2 * digits);
  switch (sign) {
    case 0xC000: return "NaN";
    case 0xD000: return "Infinity";
    case 0xF000: return "-Infinity";
    default: break;
  }
  // Adds the group of four decimal digits of weight 10000^w.
  std::string whole;
  const auto add_group = [&](std::string& text, int w) {
    const int at = weight - w;
    const unsigned value =
        at >= 0 && at < static_cast<int>(digits) ? word(4 + static_cast<std::size_t>(at)) : 0;
    for (unsigned unit = 1000; unit > 0; unit /= 10) {
      text.push_back(static_cast<char>('0' + value / unit % 10));
    }
  };
  for (int w = weight; w >= 0; --w) add_group(whole, w);
  whole.erase(0, whole.find_first_not_of('0'));
  std::string fraction;
  for (int w = -1; static_cast<int>(fraction.size()) < scale; --w) add_group(fraction, w);
  fraction.resize(static_cast<std::size_t>(scale));

  std::string text = sign == 0x4000 ? "-" : "";
  text.append(whole.empty() ? "0" : whole);
  if (scale > 0) text.append(".").append(fraction);
  return text;
}

bool is_text(std::uint32_t type) noexcept {
  switch (type) {
    case oid::kChar:
    case oid::kName:
    case oid::kText:
    case oid::kJson:
    case oid::kUnknown:
    case oid::kBpchar:
    case oid::kVarchar:
    case oid::kVoid: return true;
    default: return false;
  }
}

}  // namespace

bool has_binary_reader(std::uint32_t type) noexcept {
  switch (type) {
    case oid::kBool:
    case oid::kBytea:
    case oid::kInt8:
    case oid::kInt2:
    case oid::kInt4:
    case oid::kOid:
    case oid::kFloat4:
    case oid::kFloat8:
    case oid::kDate:
    case oid::kTimestamp:
    case oid::kTimestamptz:
    case oid::kNumeric:
    case oid::kUuid:
    case oid::kJsonb: return true;
    default: return is_text(type);
  }
}

bool reads_alike(std::uint32_t type) noexcept {
  switch (type) {
    case oid::kBool:
    case oid::kBytea:
    case oid::kInt8:
    case oid::kInt2:
    case oid::kInt4:
    case oid::kOid:
    case oid::kNumeric:
    case oid::kUuid:
    case oid::kJsonb: return true;
    case oid::kChar: return false;  // a byte that its text may escape
    default: return is_text(type);
  }
}

std::string text_of_binary(const Field& in) {
  switch (in.type()) {
    case oid::kBool: return integer<std::uint8_t>(in) != 0 ? "t" : "f";
    case oid::kInt2: return std::to_string(integer<std::int16_t>(in));
    case oid::kInt4: return std::to_string(integer<std::int32_t>(in));
    case oid::kInt8: return std::to_string(integer<std::int64_t>(in));
    case oid::kOid: return std::to_string(integer<std::uint32_t>(in));
    case oid::kFloat4: return float_text(std::bit_cast<float>(integer<std::uint32_t>(in)));
    case oid::kFloat8: return float_text(std::bit_cast<double>(integer<std::uint64_t>(in)));
    case oid::kBytea: return bytea_text(in.text());
    case oid::kUuid: return uuid_text(in);
    case oid::kNumeric: return numeric_text(in);
    // A version number, 1, then the text.
    case oid::kJsonb: return std::string(in.text().substr(in.text().empty() ? 0 : 1));
    default: break;
  }
  if (is_text(in.type())) return std::string(in.text());
  in.refuse(
      "it came in binary form, and its text depends on the session: ask for "
      "ResultFormat::text");
}

}  // namespace tidegate::pq
