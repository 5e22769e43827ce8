// A pool's events as log lines: log_to(sink) is an Observer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/pool/observer.hpp>

namespace tidegate {

enum class LogLevel : std::uint8_t { debug, info, warning, error };
TIDEGATE_API std::string_view to_string(LogLevel level) noexcept;

// Plain data; text is valid during the call only.
struct LogEvent {
  std::string at{};  // 2026-12-01T03:28:01.123Z
  LogLevel level = LogLevel::info;
  // Never translated nor changed: "slow_acquire", "slow_statement", "connect_failed", "retired",
  // "leak_suspected", "leak_returned", "nested_acquire", "self_deadlock", "login_notice",
  // "parameter_dropped", "pooler_recognized", "role_changed", "hook_failed", "close_phase",
  // "close_waits", "closed".
  std::string_view code{};
  std::string_view pool{};
  // For people. One line, except for what lists leases. Foreign text in it cannot forge a line.
  std::string_view text{};
  // How many of this code were held back since the last one that was told (see log_to).
  std::uint64_t held_back = 0;
  // The parts of the text: names and values, such as {"sqlstate", "28P01"}.
  std::vector<std::pair<std::string_view, std::string>> fields{};
};

// One JSON object with these names; the fields are an object in it.
TIDEGATE_API std::string to_json(const LogEvent& event);

// Called on the thread on which the event happens, also on several at once. What it throws is
// dropped.
using LogSink = std::function<void(const LogEvent&)>;

struct LogOptions {
  // Of the codes that may repeat without end (slow_acquire, slow_statement, connect_failed,
  // retired, nested_acquire, login_notice, hook_failed) at most one is told in this time, with the
  // number of those held back.
  std::chrono::milliseconds every{10'000};
};

// Tells `sink` of what an operator wants to know; acquires and statements are not among it, unless
// they are slow (PoolConfig::slow_acquire, slow_statement). `next`, if set, is told everything,
// too:
//   config.observer = tidegate::log_to("orders", tidegate::stderr_sink(), my_observer);
// Throws: UsageError for an empty sink, std::bad_alloc.
TIDEGATE_API std::shared_ptr<Observer> log_to(std::string pool, LogSink sink,
                                              std::shared_ptr<Observer> next = {},
                                              const LogOptions& options = {});

// Writes each event to stderr, by one call: time (UTC), level, pool, code and text.
TIDEGATE_API LogSink stderr_sink();

}  // namespace tidegate
