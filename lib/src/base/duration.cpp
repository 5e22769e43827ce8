#include <tidegate/base/duration.hpp>

#include <charconv>
#include <cstdint>
#include <limits>

namespace tidegate {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t nanos;
};

constexpr Unit kUnits[] = {
    {"h", 3'600'000'000'000}, {"m", 60'000'000'000}, {"s", 1'000'000'000},
    {"ms", 1'000'000},        {"us", 1'000},         {"ns", 1},
};

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

template <class Is>
std::string_view take_while(std::string_view& text, Is is) {
  std::size_t n = 0;
  while (n < text.size() && is(text[n])) ++n;
  const auto taken = text.substr(0, n);
  text.remove_prefix(n);
  return taken;
}

// whole * unit + floor(0.fraction * unit); nullopt on overflow.
// The fraction is summed from its last digit: floors nest, so cutting at each step is exact.
std::optional<std::uint64_t> scaled(std::string_view whole, std::string_view fraction,
                                    std::uint64_t unit) {
  std::uint64_t value = 0;
  for (const char c : whole) {
    if (__builtin_mul_overflow(value, 10U, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, static_cast<unsigned>(c - '0'), &value)) return std::nullopt;
  }
  if (__builtin_mul_overflow(value, unit, &value)) return std::nullopt;

  std::uint64_t part = 0;
  for (std::size_t i = fraction.size(); i-- > 0;) {
    part = (static_cast<unsigned>(fraction[i] - '0') * unit + part) / 10;
  }
  if (__builtin_add_overflow(value, part, &value)) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_magnitude(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    const auto whole = take_while(text, is_digit);
    if (whole.empty()) return std::nullopt;
    std::string_view fraction;
    if (text.starts_with('.')) {
      text.remove_prefix(1);
      fraction = take_while(text, is_digit);
      if (fraction.empty()) return std::nullopt;
    }
    const auto name = take_while(text, is_letter);
    while (next_unit < std::size(kUnits) && kUnits[next_unit].name != name) ++next_unit;
    if (next_unit == std::size(kUnits)) return std::nullopt;
    const auto part = scaled(whole, fraction, kUnits[next_unit].nanos);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
    ++next_unit;
  }
  return total;
}

constexpr std::uint64_t magnitude(std::chrono::nanoseconds duration) {
  const auto count = static_cast<std::uint64_t>(duration.count());
  return duration.count() < 0 ? 0 - count : count;
}

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto value = parse_magnitude(text);
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  // One more below zero than above it.
  if (!value || *value > kMax + (negative ? 1 : 0)) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(negative ? 0 - *value : *value));
}

std::string format_duration(std::chrono::nanoseconds duration) {
  std::uint64_t left = magnitude(duration);
  if (left == 0) return "0";
  std::string text = duration.count() < 0 ? "-" : "";
  for (const auto& unit : kUnits) {
    if (left < unit.nanos) continue;
    text += std::to_string(left / unit.nanos);
    left %= unit.nanos;
    const bool takes_the_rest = unit.nanos <= 1'000'000'000;
    if (takes_the_rest && left != 0) {
      std::string fraction = std::to_string(unit.nanos + left).substr(1);  // keeps leading zeros
      fraction.erase(fraction.find_last_not_of('0') + 1);
      text += '.' + fraction;
      left = 0;
    }
    text += unit.name;
  }
  return text;
}

std::string brief_duration(std::chrono::nanoseconds duration, int digits) {
  static constexpr Unit kBrief[] = {{" ns", 1},
                                    {" us", 1'000},
                                    {" ms", 1'000'000},
                                    {" s", 1'000'000'000},
                                    {" min", 60'000'000'000},
                                    {" h", 3'600'000'000'000}};
  if (duration.count() == 0) return "0 s";
  const auto exact = static_cast<double>(magnitude(duration));
  for (const auto& unit : kBrief) {
    const double value = exact / static_cast<double>(unit.nanos);
    const int whole_digits = value < 10 ? 1 : value < 100 ? 2 : 3;
    const int decimals = digits > whole_digits ? digits - whole_digits : 0;
    // to_chars, not printf: no locale may turn the point into a comma.
    char text[64];
    const auto end =
        std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr;
    std::string_view number(text, static_cast<std::size_t>(end - text));
    if (number.find('.') != number.npos) {
      number = number.substr(0, number.find_last_not_of('0') + 1);
      if (number.ends_with('.')) number.remove_suffix(1);
    }
    // After rounding: 999.96 ms is 1 s.
    const bool below_1000 = number.substr(0, number.find('.')).size() <= 3;
    if (!below_1000 && &unit != std::end(kBrief) - 1) continue;
    return (duration.count() < 0 ? "-" : "") + std::string(number) + std::string(unit.name);
  }
  return {};  // not reached: the last unit takes everything
}

}  // namespace tidegate
