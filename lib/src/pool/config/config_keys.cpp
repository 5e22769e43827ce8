#include "pool/config/config_keys.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/core/ticket.hpp>

#include "base/printable.hpp"
#include "pool/config/config_check.hpp"

namespace tidegate::detail {
namespace {

constexpr std::int64_t kLimit = core::kMostSlots;
constexpr std::int64_t kAnyCount = std::numeric_limits<std::uint32_t>::max();
// A hundred years, in milliseconds: sums of a few of these and of now stay within the clock.
constexpr std::int64_t kLong = std::int64_t{876'000} * 3'600'000;
constexpr std::int64_t kSecond = 1'000'000;  // in microseconds

using C = PoolConfig;
constexpr ConfigKey kKeys[] = {
    {"pool_name", "name", &C::name},
    {"pool_require_auth", "require_auth", &C::require_auth},
    {"pool_max_conns", "max_size", &C::max_size, 1, kLimit},
    {"pool_min_conns", "min_size", &C::min_size, 0, kLimit},
    {"pool_min_idle_conns", "min_idle", &C::min_idle, 0, kLimit},
    {"pool_acquire_timeout", "acquire_timeout", &C::acquire_timeout, 0, kLong},
    {"pool_max_waiters", "max_waiters", &C::max_waiters, 0, kAnyCount},
    {"pool_barge_window", "barge_window", &C::barge_window, 0, kSecond},
    {"pool_max_connecting", "max_connecting", &C::max_connecting, 1, kLimit},
    {"pool_connect_timeout", "connect_timeout", &C::connect_timeout, 1, kLong},
    {"pool_connect_backoff_min", "connect_backoff_min", &C::connect_backoff_min, 1, kLong},
    {"pool_connect_backoff_max", "connect_backoff_max", &C::connect_backoff_max, 1, kLong},
    {"pool_max_conn_lifetime", "max_lifetime", &C::max_lifetime, 0, kLong},
    {"pool_max_conn_lifetime_jitter", "max_lifetime_jitter", &C::max_lifetime_jitter, 0, kLong},
    {"pool_max_conn_idle_time", "max_idle_time", &C::max_idle_time, 0, kLong},
    {"pool_health_check_period", "health_period", &C::health_period, 1, kLong},
    {"pool_keepalive", "keepalive", &C::keepalive, 0, kLong},
    {"pool_ping_after", "ping_after", &C::ping_after, 0, kLong},
    {"pool_ping_timeout", "ping_timeout", &C::ping_timeout, 1, kLong},
    {"pool_reset", "reset", &C::reset},
    {"pool_statement_cache", "statement_cache", &C::statement_cache, 0, kAnyCount},
    {"pool_lanes", "lanes", &C::lanes, 0, 64},
    {"pool_lane_limit", "lane_limit", &C::lane_limit, 1, kLong},
    {"pool_cancel_rate", "cancel_rate", &C::cancel_rate, 1, kAnyCount},
    {"pool_cancel_quiet", "cancel_quiet", &C::cancel_quiet, 0, 3'600'000},
    {"pool_leak_threshold", "leak_threshold", &C::leak_threshold, 0, kLong},
    {"pool_slow_acquire", "slow_acquire", &C::slow_acquire, 0, kLong},
    {"pool_slow_statement", "slow_statement", &C::slow_statement, 0, kLong},
    {"pool_strict_parameters", "strict_parameters", &C::strict_parameters},
    {"pool_capture_stack", "capture_stack", &C::capture_stack},
    {"pool_nested_acquire", "nested_acquire", &C::nested_acquire},
    {"pool_close_drain", "close_drain", &C::close_drain, 0, kLong},
    {"pool_close_cancel", "close_cancel", &C::close_cancel, 0, kLong},
    {"pool_close_force", "close_force", &C::close_force, 0, kLong},
    {"pool_gates", "gates", &C::gates, 1, 64, true},
};

// Each kind of value below has read(text, value, key), check(value, key) and write(value); read and
// check return what is wrong, or nothing.
using Wrong = std::optional<std::string>;

Wrong not_in(const ConfigKey& key, std::int64_t value, const std::string& min,
             const std::string& max) {
  if (value >= key.min && value <= key.max) return {};
  return "allowed: " + min + " to " + max;
}

// Counts.
Wrong check(std::int64_t count, const ConfigKey& key) {
  return not_in(key, count, std::to_string(key.min), std::to_string(key.max));
}
std::string write(std::uint32_t count) { return std::to_string(count); }
Wrong read(std::string_view text, std::uint32_t& value, const ConfigKey& key) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (text.empty() || end != text.data() + text.size()) return "not a whole number";
  if (error == std::errc::result_out_of_range) count = std::numeric_limits<std::int64_t>::max();
  Wrong wrong = check(count, key);
  if (!wrong) value = static_cast<std::uint32_t>(count);
  return wrong;
}

// Durations.
template <class Rep, class Period>
Wrong check(std::chrono::duration<Rep, Period> value, const ConfigKey& key) {
  using D = std::chrono::duration<Rep, Period>;
  return not_in(key, value.count(), format_duration(D(key.min)), format_duration(D(key.max)));
}
// A value beyond the range of nanoseconds can only be out of range: the error shows the limit.
template <class Rep, class Period>
std::string write(std::chrono::duration<Rep, Period> value) {
  using D = std::chrono::duration<Rep, Period>;
  constexpr auto kMost = std::chrono::duration_cast<D>(std::chrono::nanoseconds::max());
  return format_duration(std::clamp(value, -kMost, kMost));
}
template <class Rep, class Period>
Wrong read(std::string_view text, std::chrono::duration<Rep, Period>& value, const ConfigKey& key) {
  using D = std::chrono::duration<Rep, Period>;
  const auto exact = parse_duration(text);
  if (!exact) {
    const bool number = !text.empty() && text.find_first_not_of("0123456789.") == text.npos;
    return std::string(number ? "a duration needs a unit" : "not a duration") +
           "; write it as 50us, 250ms, 1.5s, 1h30m";
  }
  const auto rounded = std::chrono::floor<D>(*exact);
  if (rounded != *exact) return "finer than " + format_duration(D(1));
  Wrong wrong = check(rounded, key);
  if (!wrong) value = rounded;
  return wrong;
}

// Text: a name.
Wrong check(const std::string& text, const ConfigKey&) {
  if (text.empty()) return "must not be empty";
  if (std::any_of(text.begin(), text.end(), is_control)) {
    return "must not hold control characters";
  }
  if (may_hold_keyword("pool_name", text)) return "must not hold '='; an empty value is written ''";
  return {};
}
std::string write(const std::string& text) { return text; }
Wrong read(std::string_view text, std::string& value, const ConfigKey& key) {
  Wrong wrong = check(std::string(text), key);
  if (!wrong) value = text;
  return wrong;
}

// One of a few words, in the order of the values.
template <class T>
constexpr std::string_view kWords[1] = {};
template <>
constexpr std::string_view kWords<bool>[] = {"false", "true"};
template <>
constexpr std::string_view kWords<ResetPolicy>[] = {"none", "rollback", "discard_all", "destroy"};
template <>
constexpr std::string_view kWords<NestedAcquire>[] = {"off", "warn", "fail"};
template <class T>
concept Worded = std::size(kWords<T>) > 1;

template <Worded T>
Wrong not_a_word() {
  std::string text = "allowed: ";
  for (const auto word : kWords<T>) text.append(text.back() == ' ' ? "" : ", ").append(word);
  return text;
}
template <Worded T>
Wrong check(T value, const ConfigKey&) {
  if (static_cast<std::size_t>(value) < std::size(kWords<T>)) return {};
  return not_a_word<T>();
}
template <Worded T>
std::string write(T value) {
  const auto index = static_cast<std::size_t>(value);
  return index < std::size(kWords<T>) ? std::string(kWords<T>[index]) : std::to_string(index);
}
template <Worded T>
Wrong read(std::string_view text, T& value, const ConfigKey&) {
  const auto* const found = std::find(std::begin(kWords<T>), std::end(kWords<T>), text);
  if (found == std::end(kWords<T>)) return not_a_word<T>();
  value = static_cast<T>(found - std::begin(kWords<T>));
  return {};
}

// Optional values. Counts have a word for "unset".
template <class T>
Wrong check(const std::optional<T>& value, const ConfigKey& key) {
  return value ? check(*value, key) : Wrong{};
}
Wrong check(const std::optional<std::uint32_t>& count, const ConfigKey& key) {
  if (!count ||
      ((!key.power_of_two || std::has_single_bit(*count)) && !check(std::int64_t{*count}, key))) {
    return {};
  }
  return std::string("allowed: auto, or ") +
         (key.power_of_two ? "a power of two from " : "a number from ") + std::to_string(key.min) +
         " to " + std::to_string(key.max);
}
template <class T>
Wrong read(std::string_view text, std::optional<T>& value, const ConfigKey& key) {
  T given{};
  Wrong wrong = read(text, given, key);
  if (!wrong) value = std::move(given);
  return wrong;
}
Wrong read(std::string_view text, std::optional<std::uint32_t>& value, const ConfigKey& key) {
  std::optional<std::uint32_t> given;
  if (text != "auto") {
    std::uint32_t count = 0;
    Wrong wrong = read(text, count, key);
    if (wrong) return key.min > 0 ? check(std::optional<std::uint32_t>(0), key) : wrong;
    given = count;
  }
  Wrong wrong = check(given, key);
  if (!wrong) value = given;
  return wrong;
}

}  // namespace

std::span<const ConfigKey> config_keys() noexcept { return kKeys; }

const ConfigKey* find_config_key(std::string_view key) noexcept {
  const auto found = std::find_if(std::begin(kKeys), std::end(kKeys),
                                  [key](const ConfigKey& known) { return known.key == key; });
  return found == std::end(kKeys) ? nullptr : found;
}

std::vector<std::string_view> config_key_names() {
  std::vector<std::string_view> names;
  for (const auto& key : kKeys) names.push_back(key.key);
  return names;
}

std::optional<std::string> read_value(const ConfigKey& key, std::string_view text,
                                      PoolConfig& config) {
  return std::visit([&](auto member) { return read(text, config.*member, key); }, key.member);
}

std::optional<std::string> check_value(const ConfigKey& key, const PoolConfig& config) {
  return std::visit([&](auto member) { return check(config.*member, key); }, key.member);
}

std::optional<std::string> write_value(const ConfigKey& key, const PoolConfig& config) {
  return std::visit(
      [&](auto member) -> std::optional<std::string> {
        const auto& value = config.*member;
        if constexpr (requires { value.has_value(); }) {
          if (!value) return std::nullopt;
          return write(*value);
        } else {
          return write(value);
        }
      },
      key.member);
}

}  // namespace tidegate::detail
