// Durations: parse_duration() takes what its contract says, computed here a second time, and what
// format_duration() writes is read back as it was.
#include <tidegate/base/duration.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "target.hpp"

namespace tidegate::fuzz {
namespace {

using std::chrono::nanoseconds;
__extension__ using Wide = __int128;

// The contract again, in the plainest way: 128 bits hold every sum, and digits are read one by one.
std::optional<nanoseconds> by_the_contract(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> kUnits{{
      {"h", 3'600'000'000'000},
      {"m", 60'000'000'000},
      {"s", 1'000'000'000},
      {"ms", 1'000'000},
      {"us", 1'000},
      {"ns", 1},
  }};
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool negative = !text.empty() && text.front() == '-';
  std::size_t at = negative ? 1 : 0;
  if (text.substr(at) == "0") return nanoseconds(0);
  Wide total = 0;
  std::size_t unit = 0;
  bool any = false;
  while (at < text.size()) {
    Wide whole = 0;
    std::size_t digits = 0;
    for (; at < text.size() && is_digit(text[at]); ++at, ++digits) {
      whole = whole * 10 + (text[at] - '0');
      if (whole > std::numeric_limits<std::int64_t>::max()) whole = Wide{1} << 64;
    }
    if (digits == 0) return std::nullopt;
    std::string_view fraction;
    if (at < text.size() && text[at] == '.') {
      const std::size_t start = ++at;
      while (at < text.size() && is_digit(text[at])) ++at;
      fraction = text.substr(start, at - start);
      if (fraction.empty()) return std::nullopt;
    }
    const std::size_t start = at;
    while (at < text.size() && text[at] >= 'a' && text[at] <= 'z') ++at;
    const std::string_view name = text.substr(start, at - start);
    while (unit < kUnits.size() && kUnits[unit].first != name) ++unit;
    if (unit == kUnits.size()) return std::nullopt;
    Wide part = whole * kUnits[unit].second;
    // The fraction times the unit, as one multiplies by hand: what is carried out is whole.
    Wide carry = 0;
    for (std::size_t i = fraction.size(); i-- > 0;) {
      carry = ((fraction[i] - '0') * Wide{kUnits[unit].second} + carry) / 10;
    }
    part += carry;
    total += part;
    if (total > Wide{1} << 64) total = Wide{1} << 64;
    ++unit;
    any = true;
  }
  const Wide most = Wide{std::numeric_limits<std::int64_t>::max()} + (negative ? 1 : 0);
  if (!any || total > most) return std::nullopt;
  return nanoseconds(static_cast<std::int64_t>(negative ? -total : total));
}

std::string text_of(std::optional<nanoseconds> value) {
  return value ? std::to_string(value->count()) + " ns" : "refused";
}

void check_spelling(nanoseconds value) {
  const std::string spelled = format_duration(value);
  expect(parse_duration(spelled) == value, "what format_duration() writes is read back",
         std::to_string(value.count()) + " ns, written " + spelled);
  for (const int digits : {1, 3, 6}) {
    expect(!brief_duration(value, digits).empty(), "every duration has a short text", spelled);
  }
}

}  // namespace

void duration(std::string_view bytes) {
  const auto parsed = parse_duration(bytes);
  const auto expected = by_the_contract(bytes);
  expect(parsed == expected, "parse_duration() keeps its contract",
         printable(bytes) + " is " + text_of(parsed) + ", expected " + text_of(expected));
  if (parsed) check_spelling(*parsed);

  std::int64_t count = 0;
  std::memcpy(&count, bytes.data(), std::min(bytes.size(), sizeof count));
  check_spelling(nanoseconds(count));
}

}  // namespace tidegate::fuzz
