#include <tidegate/pq/convert_time.hpp>

#include <charconv>
#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>

#include "pq/types/binary.hpp"
#include "pq/types/oids.hpp"

// The server's form is that of DateStyle ISO: 2024-01-31 10:20:30.123456+01, and " BC" at the end
// for years before 1. std::chrono::year ends at 32767, timestamps do not, so years are moved by
// whole 400-year cycles (146097 days each, after which the calendar repeats) into its range.
namespace tidegate::pq {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::month;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr long long kCycleYears = 400;
constexpr long long kCycleDays = 146097;
constexpr long long kMicrosPerDay = 86'400'000'000;

constexpr long long floor_div(long long a, long long b) noexcept {
  return a / b - (a % b < 0 ? 1 : 0);
}

struct Date {
  long long year = 0;  // astronomical: 0 is 1 BC
  unsigned month = 0;
  unsigned day = 0;
};

// Days since 1970-01-01; nullopt when there is no such day.
std::optional<long long> days_of(Date date) noexcept {
  const long long cycle = floor_div(date.year, kCycleYears);
  const year_month_day in_cycle(year(static_cast<int>(date.year - cycle * kCycleYears)),
                                month(date.month), day(date.day));
  if (!in_cycle.ok()) return std::nullopt;
  return sys_days(in_cycle).time_since_epoch().count() + cycle * kCycleDays;
}

Date date_of(long long days_since_1970) noexcept {
  const long long cycle = floor_div(days_since_1970, kCycleDays);
  const year_month_day in_cycle(
      sys_days(days(static_cast<int>(days_since_1970 - cycle * kCycleDays))));
  return {static_cast<int>(in_cycle.year()) + cycle * kCycleYears,
          static_cast<unsigned>(in_cycle.month()), static_cast<unsigned>(in_cycle.day())};
}

// Reads a text from left to right; each step says whether it found what it looked for.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : rest_(text) {}

  bool done() const noexcept { return rest_.empty(); }
  bool skip(std::string_view expected) noexcept {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  // `least` to `most` digits.
  bool number(long long& value, std::size_t least, std::size_t most) noexcept {
    std::size_t length = 0;
    while (length < rest_.size() && length < most && rest_[length] >= '0' && rest_[length] <= '9') {
      ++length;
    }
    if (length < least) return false;
    const char* digits = rest_.data();
    std::from_chars(digits, digits + length, value);
    rest_.remove_prefix(length);
    return true;
  }
  // One to six digits after the point, as microseconds.
  bool fraction(long long& micros) noexcept {
    const std::size_t before = rest_.size();
    if (!number(micros, 1, 6)) return false;
    for (std::size_t digits = before - rest_.size(); digits < 6; ++digits) micros *= 10;
    return true;
  }

 private:
  std::string_view rest_;
};

bool scan_date(Scanner& in, Date& date) noexcept {
  long long month = 0;
  long long day = 0;
  if (!in.number(date.year, 4, 7) || !in.skip("-") || !in.number(month, 2, 2) || !in.skip("-") ||
      !in.number(day, 2, 2)) {
    return false;
  }
  date.month = static_cast<unsigned>(month);
  date.day = static_cast<unsigned>(day);
  return true;
}

// Reads the " BC" that may end the text.
bool scan_end(Scanner& in, Date& date) noexcept {
  if (in.skip(" BC")) date.year = 1 - date.year;
  return in.done();
}

bool scan_time(Scanner& in, long long& micros) noexcept {
  long long h = 0;
  long long m = 0;
  long long s = 0;
  long long fraction = 0;
  if (!in.number(h, 2, 2) || !in.skip(":") || !in.number(m, 2, 2) || !in.skip(":") ||
      !in.number(s, 2, 2)) {
    return false;
  }
  if (in.skip(".") && !in.fraction(fraction)) return false;
  micros = Micros(hours(h) + minutes(m) + seconds(s)).count() + fraction;
  return true;
}

// +HH, +HH:MM or +HH:MM:SS (local mean time, before there were time zones).
bool scan_zone(Scanner& in, long long& micros) noexcept {
  const bool west = in.skip("-");
  if (!west && !in.skip("+")) return false;
  long long h = 0;
  long long m = 0;
  long long s = 0;
  if (!in.number(h, 2, 2)) return false;
  if (in.skip(":") && !in.number(m, 2, 2)) return false;
  if (in.skip(":") && !in.number(s, 2, 2)) return false;
  micros = Micros(hours(h) + minutes(m) + seconds(s)).count() * (west ? -1 : 1);
  return true;
}

constexpr const char* kInfinite = "it is infinite";

void refuse_infinity(const Field& in) {
  if (in.text() == "infinity" || in.text() == "-infinity") in.refuse(kInfinite);
}

constexpr const char* kOutOfRange = "it is out of range";

// days * kMicrosPerDay + micros, refused where 64 bits do not hold it (after the year 294247).
Micros to_micros(const Field& in, long long day_count, long long micros) {
  long long all = 0;
  if (__builtin_mul_overflow(day_count, kMicrosPerDay, &all) ||
      __builtin_add_overflow(all, micros, &all)) {
    in.refuse(kOutOfRange);
  }
  return Micros(all);
}

constexpr const char* kNotIso = "it is not in the form of DateStyle ISO";

Micros read_point(const Field& in, bool with_zone) {
  refuse_infinity(in);
  Scanner scanner(in.text());
  Date date;
  long long time = 0;
  long long zone = 0;
  if (!scan_date(scanner, date) || !scanner.skip(" ") || !scan_time(scanner, time) ||
      (with_zone && !scan_zone(scanner, zone)) || !scan_end(scanner, date)) {
    in.refuse(kNotIso);
  }
  const auto day_count = days_of(date);
  if (!day_count) in.refuse(kNotIso);
  return to_micros(in, *day_count, time - zone);
}

void write_date_part(Date date, char (&text)[64], int& length) {
  const long long shown = date.year > 0 ? date.year : 1 - date.year;
  length = std::snprintf(text, sizeof text, "%04lld-%02u-%02u", shown, date.month, date.day);
}

void write_point(Micros value, const char* zone, Params& out) {
  const long long day_count = floor_div(value.count(), kMicrosPerDay);
  const long long micros = value.count() - day_count * kMicrosPerDay;
  const long long s = micros / 1'000'000;
  const Date date = date_of(day_count);
  char text[64];
  int length = 0;
  write_date_part(date, text, length);
  const auto used = static_cast<std::size_t>(length);
  length +=
      std::snprintf(text + used, sizeof text - used, " %02lld:%02lld:%02lld.%06lld%s%s", s / 3600,
                    s / 60 % 60, s % 60, micros % 1'000'000, zone, date.year > 0 ? "" : " BC");
  out.text({text, static_cast<std::size_t>(length)});
}

// The same for a binary form, if `in` has one: an integer, two values of which are the infinities.
template <class T>
std::optional<long long> read_wire(const Field& in, std::uint32_t type) {
  if (!in.binary() || in.type() != type || in.text().size() != sizeof(T)) return std::nullopt;
  const auto value = from_network<T>(in.text());
  using Limits = std::numeric_limits<T>;
  if (value == Limits::max() || value == Limits::min()) in.refuse(kInfinite);
  return value;
}

// Converts a point in time from the server's clock to ours.
Micros from_epoch(const Field& in, long long micros) {
  if (micros > std::numeric_limits<long long>::max() - kEpochMicros) in.refuse(kOutOfRange);
  return Micros(micros + kEpochMicros);
}

bool write_wire(Micros value, std::uint32_t type, Params& out) {
  if (value.count() < std::numeric_limits<long long>::min() + kEpochMicros) return false;
  return out.binary(type, to_network<std::int64_t>(value.count() - kEpochMicros));
}

}  // namespace

std::chrono::sys_time<Micros> read_timestamptz(const Field& in) {
  if (in.type() == oid::kTimestamp) {
    in.refuse("it has no time zone; read it as std::chrono::local_time");
  }
  if (const auto micros = read_wire<std::int64_t>(in, oid::kTimestamptz)) {
    return std::chrono::sys_time<Micros>(from_epoch(in, *micros));
  }
  return std::chrono::sys_time<Micros>(read_point(in, true));
}

std::chrono::local_time<Micros> read_timestamp(const Field& in) {
  if (in.type() == oid::kTimestamptz) {
    in.refuse("it has a time zone; read it as std::chrono::sys_time");
  }
  if (const auto micros = read_wire<std::int64_t>(in, oid::kTimestamp)) {
    return std::chrono::local_time<Micros>(from_epoch(in, *micros));
  }
  return std::chrono::local_time<Micros>(read_point(in, false));
}

year_month_day read_date(const Field& in) {
  Date date;
  refuse_infinity(in);
  Scanner scanner(in.text());
  if (const auto day_count = read_wire<std::int32_t>(in, oid::kDate)) {
    date = date_of(*day_count + kEpochDays);
  } else if (!scan_date(scanner, date) || !scan_end(scanner, date)) {
    in.refuse(kNotIso);
  }
  if (date.year > static_cast<int>(year::max()) || date.year < static_cast<int>(year::min())) {
    in.refuse("its year is out of range");
  }
  const year_month_day value(year(static_cast<int>(date.year)), month(date.month), day(date.day));
  if (!value.ok()) in.refuse(kNotIso);  // there is no such day
  return value;
}

void write_timestamptz(std::chrono::sys_time<Micros> value, Params& out) {
  if (write_wire(value.time_since_epoch(), oid::kTimestamptz, out)) return;
  write_point(value.time_since_epoch(), "+00", out);
}

void write_timestamp(std::chrono::local_time<Micros> value, Params& out) {
  if (write_wire(value.time_since_epoch(), oid::kTimestamp, out)) return;
  write_point(value.time_since_epoch(), "", out);
}

void write_date(year_month_day value, Params& out) {
  if (!value.ok()) out.refuse("is not a date");
  const auto day_count = sys_days(value).time_since_epoch().count() - kEpochDays;
  if (out.binary(oid::kDate, to_network(static_cast<std::int32_t>(day_count)))) return;
  const Date date{static_cast<int>(value.year()), static_cast<unsigned>(value.month()),
                  static_cast<unsigned>(value.day())};
  char text[64];
  int length = 0;
  write_date_part(date, text, length);
  const auto used = static_cast<std::size_t>(length);
  length += std::snprintf(text + used, sizeof text - used, "%s", date.year > 0 ? "" : " BC");
  out.text({text, static_cast<std::size_t>(length)});
}

}  // namespace tidegate::pq
