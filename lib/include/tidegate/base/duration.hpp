// Durations as people write them in configuration: 50us, 250ms, 1.5s, 1h30m.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>

namespace tidegate {

// Parses one or more NUMBER UNIT pairs without blanks, units h, m, s, ms, us, ns, each at most once
// and from large to small; numbers may have a decimal point. "0" needs no unit. A leading '-' makes
// the whole negative (so that a range check can name it).
// Promises: nullopt for anything else (a bare number, an unknown unit, more than 292 years);
// a fraction finer than a nanosecond is cut off.
TIDEGATE_API std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept;

// An exact spelling that parse_duration reads back: whole hours and minutes, then the rest in the
// largest unit of which it has one or more: "1h30m", "1m1.5s", "250ms", "0".
TIDEGATE_API std::string format_duration(std::chrono::nanoseconds duration);

// For people: `digits` significant digits (trailing zeros dropped) and the smallest unit up to h in
// which that is below 1000: "1.2 s", "250 ms", "3.1 us", "16.7 min".
TIDEGATE_API std::string brief_duration(std::chrono::nanoseconds duration, int digits = 3);

}  // namespace tidegate
