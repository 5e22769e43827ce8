// Conversions of points in time and dates. Included by convert.hpp.
#pragma once

#include <chrono>

#include <tidegate/pq/convert_trait.hpp>

namespace tidegate {

namespace pq {
using Micros = std::chrono::microseconds;

// Throw QueryError when the value has another form (infinity, a DateStyle other than ISO).
TIDEGATE_API std::chrono::sys_time<Micros> read_timestamptz(const Field& in);
TIDEGATE_API std::chrono::local_time<Micros> read_timestamp(const Field& in);
TIDEGATE_API std::chrono::year_month_day read_date(const Field& in);
TIDEGATE_API void write_timestamptz(std::chrono::sys_time<Micros> value, Params& out);
TIDEGATE_API void write_timestamp(std::chrono::local_time<Micros> value, Params& out);
TIDEGATE_API void write_date(std::chrono::year_month_day value, Params& out);

// Converts `value` to the unit To, which is not coarser; refused where it does not fit.
template <class To>
To checked_cast(Micros value, const Field& in) {
  static_assert(std::ratio_divide<std::micro, typename To::period>::den == 1,
                "tidegate: a unit coarser than microseconds would lose part of the value");
  constexpr auto kFactor = std::ratio_divide<std::micro, typename To::period>::num;
  using Limits = std::numeric_limits<typename To::rep>;
  if constexpr (kFactor > 1) {
    if (value.count() > Limits::max() / kFactor || value.count() < Limits::min() / kFactor) {
      in.refuse("it is out of range");
    }
  }
  return To(value);
}
}  // namespace pq

// timestamptz. Sent in microseconds; a finer part is cut off (towards the past).
template <class D>
struct Convert<std::chrono::sys_time<D>> {
  static std::string_view name() { return "std::chrono::sys_time"; }
  static void encode(std::chrono::sys_time<D> value, Params& out) {
    pq::write_timestamptz(std::chrono::floor<pq::Micros>(value), out);
  }
  static std::chrono::sys_time<D> decode(const Field& in) {
    const auto value = pq::read_timestamptz(in);
    return std::chrono::sys_time<D>(pq::checked_cast<D>(value.time_since_epoch(), in));
  }
};

// timestamp (without time zone): what a wall clock shows.
template <>
struct Convert<std::chrono::local_time<pq::Micros>> {
  static std::string_view name() { return "std::chrono::local_time"; }
  static void encode(std::chrono::local_time<pq::Micros> value, Params& out) {
    pq::write_timestamp(value, out);
  }
  static std::chrono::local_time<pq::Micros> decode(const Field& in) {
    return pq::read_timestamp(in);
  }
};

// date.
template <>
struct Convert<std::chrono::year_month_day> {
  static std::string_view name() { return "std::chrono::year_month_day"; }
  static void encode(std::chrono::year_month_day value, Params& out) { pq::write_date(value, out); }
  static std::chrono::year_month_day decode(const Field& in) { return pq::read_date(in); }
};

}  // namespace tidegate
