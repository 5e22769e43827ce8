#include <tidegate/pool/log.hpp>

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>

#include <tidegate/base/duration.hpp>
#include <tidegate/base/mutex.hpp>

#include "base/json.hpp"
#include "base/printable.hpp"
#include "pool/events.hpp"

namespace tidegate {
namespace {

using detail::indented;
using detail::JsonObject;
using detail::Lock;
using detail::Mutex;
using detail::one_line;

// What may repeat without end.
enum class Repeats : std::uint8_t {
  acquire,
  statement,
  connect,
  retired,
  nested,
  notice,
  hook,
  count
};

class Throttle {
 public:
  // How many were held back before this one; none: this one is held back, too.
  std::optional<std::uint64_t> take(std::chrono::milliseconds every) noexcept {
    const auto now = std::chrono::steady_clock::now();
    const Lock lock(mutex_);
    if (told_ && now < *told_ + every) {
      ++held_back_;
      return std::nullopt;
    }
    told_ = now;
    return std::exchange(held_back_, 0);
  }

 private:
  Mutex<> mutex_;
  std::optional<std::chrono::steady_clock::time_point> told_ TIDEGATE_GUARDED_BY(mutex_){};
  std::uint64_t held_back_ TIDEGATE_GUARDED_BY(mutex_) = 0;
};

// 2026-12-01T03:28:01.123Z
std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  const int length =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                    parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                    static_cast<int>(millis));
  return {text, static_cast<std::size_t>(length)};
}

std::string pid_text(int pid) { return "server process " + std::to_string(pid); }

std::string text_of(const std::vector<LeaseInfo>& leases) {
  std::string text;
  for (const LeaseInfo& lease : leases) text += "\n" + indented(to_string(lease), "  ");
  return text;
}

class Log final : public Observer {
 public:
  Log(std::string pool, LogSink sink, std::shared_ptr<Observer> next, const LogOptions& options)
      : pool_(std::move(pool)), sink_(std::move(sink)), next_(std::move(next)), options_(options) {}

  bool wants_leases() const noexcept override { return next_ && next_->wants_leases(); }
  void acquire_started(Location where) override { pass(&Observer::acquire_started, where); }
  void acquire_ended(const AcquireEnded& event) override { pass(&Observer::acquire_ended, event); }
  void waited(Location where, std::chrono::nanoseconds waited) override {
    pass(&Observer::waited, where, waited);
  }
  void slow_acquire(Location where, std::chrono::nanoseconds waited) override {
    pass(&Observer::slow_acquire, where, waited);
    tell(
        Repeats::acquire, LogLevel::warning, "slow_acquire",
        [&] { return "the acquire at " + where.to_string() + " waited " + brief_duration(waited); },
        {{"site", where.to_string()}, {"waited", brief_duration(waited)}});
  }
  void slow_statement(const QueryStarted& statement, const QueryEnded& end) override {
    pass(&Observer::slow_statement, statement, end);
    constexpr std::size_t kShown = 200;
    const std::string text = one_line(statement.text.substr(0, kShown));
    Fields fields{{"site", statement.where.to_string()},
                  {"took", brief_duration(end.took)},
                  {"backend_pid", std::to_string(statement.backend_pid)},
                  {"rows", std::to_string(end.rows)},
                  {"statement", text}};
    if (end.failed) fields.emplace_back("sqlstate", one_line(end.sqlstate));
    tell(
        Repeats::statement, LogLevel::warning, "slow_statement",
        [&] {
          return "the statement at " + statement.where.to_string() +
                 (end.failed ? " failed after " : " took ") + brief_duration(end.took) + ": " +
                 text + (statement.text.size() > kShown ? "..." : "");
        },
        std::move(fields));
  }
  void released(const LeaseReleased& event) override { pass(&Observer::released, event); }
  void connect_started() override { pass(&Observer::connect_started); }
  void ping_started(int backend_pid) override { pass(&Observer::ping_started, backend_pid); }
  void ping_ended(const PingEnded& event) override { pass(&Observer::ping_ended, event); }
  void reset_started(int backend_pid) override { pass(&Observer::reset_started, backend_pid); }
  void reset_ended(const ConnectionReset& event) override { pass(&Observer::reset_ended, event); }
  void backing_off(std::uint32_t failures, std::chrono::nanoseconds next_in) override {
    pass(&Observer::backing_off, failures, next_in);
  }

  void connect_ended(const ConnectEnded& event) override {
    pass(&Observer::connect_ended, event);
    if (event.error == nullptr) return;
    tell(Repeats::connect, LogLevel::warning, "connect_failed",
         [&] { return std::string(event.error->what()); }, {{"took", brief_duration(event.took)}});
  }
  void retired(const ConnectionRetired& event) override {
    pass(&Observer::retired, event);
    const bool lost = event.reason == "broken" || event.reason == "ping";
    tell(Repeats::retired, lost ? LogLevel::warning : LogLevel::debug, "retired",
         [&] {
           return "the connection to " + pid_text(event.backend_pid) +
                  " is closed: " + std::string(event.reason);
         },
         {{"reason", std::string(event.reason)},
          {"backend_pid", std::to_string(event.backend_pid)}});
  }
  void role_changed(int backend_pid) override {
    pass(&Observer::role_changed, backend_pid);
    tell(LogLevel::warning, "role_changed",
         pid_text(backend_pid) + " is no primary any more: every connection is replaced",
         {{"backend_pid", std::to_string(backend_pid)}});
  }
  void pooler_recognized(const PoolerRecognized& event) override {
    pass(&Observer::pooler_recognized, event);
    tell(LogLevel::info, "pooler_recognized",
         std::string("connections go through a pooler; prepared statements have ") +
             (event.named_statements ? "names" : "no names"),
         {{"backend_pid", std::to_string(event.backend_pid)}});
  }
  void login_notice(const Notice& notice) override {
    pass(&Observer::login_notice, notice);
    tell(Repeats::notice, LogLevel::warning, "login_notice",
         [&] { return one_line(notice.severity) + ": " + one_line(notice.message); },
         {{"sqlstate", one_line(notice.sqlstate)}});
  }
  void parameter_dropped(const ParameterDropped& event) override {
    pass(&Observer::parameter_dropped, event);
    tell(LogLevel::warning, "parameter_dropped",
         one_line(event.name) + " is \"" + one_line(event.reported) + "\", not \"" +
             one_line(event.asked) + "\" as the conninfo asks",
         {{"name", one_line(event.name)}});
  }
  void hook_failed(std::string_view hook, std::string_view what) override {
    pass(&Observer::hook_failed, hook, what);
    tell(Repeats::hook, LogLevel::error, "hook_failed",
         [&] { return "the hook " + std::string(hook) + " threw: " + one_line(what); },
         {{"hook", std::string(hook)}});
  }

  void leak_suspected(const LeaseInfo& lease) override {
    pass(&Observer::leak_suspected, lease);
    tell(LogLevel::warning, "leak_suspected", "a lease does not end: " + to_string(lease),
         {{"site", lease.site.to_string()}, {"backend_pid", std::to_string(lease.backend_pid)}});
  }
  void leak_returned(const LeaseInfo& lease) override {
    pass(&Observer::leak_returned, lease);
    tell(LogLevel::info, "leak_returned", "a suspected lease has ended: " + to_string(lease),
         {{"site", lease.site.to_string()}, {"backend_pid", std::to_string(lease.backend_pid)}});
  }
  void nested_acquire(Location where, const LeaseInfo& held, bool refused) override {
    pass(&Observer::nested_acquire, where, held, refused);
    tell(Repeats::nested, LogLevel::warning, "nested_acquire",
         [&] {
           return "an acquire at " + where.to_string() + (refused ? " was refused" : "") +
                  ": its thread has a lease already: " + to_string(held);
         },
         {{"site", where.to_string()}});
  }
  void self_deadlock_suspected(Location where, const std::vector<LeaseInfo>& leases,
                               bool closes) override {
    pass(&Observer::self_deadlock_suspected, where, leases, closes);
    tell(LogLevel::error, "self_deadlock",
         std::string(closes ? "a close at " : "an acquire at ") + where.to_string() +
             " seems to wait for its own thread:" + text_of(leases),
         {{"site", where.to_string()}});
  }

  void close_phase(std::string_view phase) override {
    pass(&Observer::close_phase, phase);
    tell(LogLevel::info, "close_phase", "close: " + std::string(phase),
         {{"phase", std::string(phase)}});
  }
  void close_waits(std::chrono::nanoseconds so_far, const std::vector<LeaseInfo>& leases) override {
    pass(&Observer::close_waits, so_far, leases);
    tell(LogLevel::warning, "close_waits",
         "the close has waited " + brief_duration(so_far) + " for leases:" + text_of(leases),
         {{"leases", std::to_string(leases.size())}});
  }
  void closed(const CloseReport& report) override {
    pass(&Observer::closed, report);
    const bool clean = report.outcome == CloseReport::Outcome::drained;
    tell(clean ? LogLevel::info : LogLevel::warning, "closed", to_string(report),
         {{"outcome", std::string(to_string(report.outcome))}});
  }

 private:
  using Fields = std::vector<std::pair<std::string_view, std::string>>;

  // First, so that a sink that throws takes nothing from the next observer; and what that one
  // throws is dropped, as the pool does itself.
  template <class... Parameters, class... Arguments>
  void pass(void (Observer::*member)(Parameters...), const Arguments&... arguments) noexcept {
    detail::tell(next_, [&](Observer& next) { (next.*member)(arguments...); });
  }

  void tell(LogLevel level, std::string_view code, const std::string& text, Fields fields,
            std::uint64_t held_back = 0) {
    sink_({.at = utc_now(),
           .level = level,
           .code = code,
           .pool = pool_,
           .text = text,
           .held_back = held_back,
           .fields = std::move(fields)});
  }
  // The text is made only if it is told.
  template <class Text>
  void tell(Repeats what, LogLevel level, std::string_view code, Text&& text, Fields fields) {
    const auto held_back = throttles_[static_cast<std::size_t>(what)].take(options_.every);
    if (held_back) tell(level, code, text(), std::move(fields), *held_back);
  }

  const std::string pool_;
  const LogSink sink_;
  const std::shared_ptr<Observer> next_;
  const LogOptions options_;
  std::array<Throttle, static_cast<std::size_t>(Repeats::count)> throttles_{};
};

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "?";
}

std::string to_json(const LogEvent& event) {
  JsonObject fields;
  for (const auto& [name, value] : event.fields) fields.text(name, value);
  return JsonObject()
      .text("at", event.at)
      .text("level", to_string(event.level))
      .text("pool", event.pool)
      .text("code", event.code)
      .text("text", event.text)
      .number("held_back", event.held_back)
      .add("fields", fields)
      .done();
}

std::shared_ptr<Observer> log_to(std::string pool, LogSink sink, std::shared_ptr<Observer> next,
                                 const LogOptions& options) {
  if (!sink) throw UsageError("log_to: the sink is empty; stderr_sink() writes to stderr");
  return std::make_shared<Log>(std::move(pool), std::move(sink), std::move(next), options);
}

LogSink stderr_sink() {
  return [](const LogEvent& event) {
    std::string line = event.at + " tidegate " + std::string(to_string(event.level)) + " \"" +
                       one_line(event.pool) + "\" " + std::string(event.code) + ": " +
                       indented(event.text, "  ");
    if (event.held_back > 0) line += " (" + std::to_string(event.held_back) + " more held back)";
    line += '\n';
    // One call, so that the lines of several threads do not mix; a full disk is no reason to fail.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  };
}

}  // namespace tidegate
