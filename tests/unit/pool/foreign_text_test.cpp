// A server, an application, a thread's name: each may put anything into an error or a report. What
// programs get is what they gave; what people get can be shown to them.
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <support/shown.hpp>
#include <tidegate/lifecycle/shutdown_plan.hpp>
#include <tidegate/tidegate.hpp>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using test::kNasty;

AcquireReport acquire_report(const std::string& text) {
  return {.pool = text,
          .counts = {.max = 1, .leased = 1},
          .longest = LeaseHolder{.thread = text, .held = 1s, .session = text},
          .last_connect = text};
}

ConnectReport connect_report(const std::string& text) {
  return {.pool = text, .text = text, .sqlstate = text, .addresses = {{text, text}, {text, text}}};
}

CloseReport close_report(const std::string& text) {
  const CloseRecord record{.thread_name = text, .reason = text, .phase = text};
  CloseReport report{.closer = record, .later_callers = {record}, .announced = record};
  report.remaining.push_back(
      {.lease = {.thread_name = text, .statement = text}, .ended_in = "cancel"});
  report.still_attached = {text, text};
  report.stuck_threads = {{.role = "opener", .in = text}};
  return report;
}

PlanReport plan_report(const std::string& text) {
  PlanReport report;
  report.stages.push_back({.name = text, .error = text});
  report.stages.back().outcome = StageReport::Outcome::failed;
  return report;
}

Stats hostile_stats(const std::string& text) {
  Stats stats;
  stats.create_errors_by_class[text] = 1;
  return stats;
}

std::vector<LeaseHolder> holders(const std::string& text) {
  return {{.thread = text, .held = 1s, .session = text}};
}

QueryReport query_report(const std::string& text) {
  return {.severity = text,
          .sqlstate = text,
          .message = text,
          .detail = text,
          .hint = text,
          .context = text,
          .schema = text,
          .statement = text};
}

// Each text of the library that has foreign words in it.
const std::vector<std::pair<const char*, std::function<std::string(const std::string&)>>> kTexts = {
    {"QueryError", [](auto& text) { return std::string(QueryError(query_report(text)).what()); }},
    {"ConnectionLost",
     [](auto& text) { return std::string(ConnectionLost({.message = text}).what()); }},
    {"AcquireTimeout",
     [](auto& text) {
       return std::string(
           AcquireTimeout(acquire_report(text), AcquireTimeout::Cause::exhausted).what());
     }},
    {"Overloaded",
     [](auto& text) { return std::string(Overloaded(acquire_report(text), 1).what()); }},
    {"AcquireCanceled",
     [](auto& text) { return std::string(AcquireCanceled(acquire_report(text)).what()); }},
    {"ConnectError",
     [](auto& text) {
       return std::string(ConnectError(Errc::unavailable, connect_report(text)).what());
     }},
    {"a rejection",
     [](auto& text) {
       return std::string(ConnectError(Errc::rejected, connect_report(text)).what());
     }},
    {"PoolClosed",
     [](auto& text) {
       ClosedReport report{.pool = text,
                           .closer = {.thread_name = text, .reason = text, .phase = text},
                           .outstanding = 1,
                           .max_size = 1};
       report.holders = std::make_shared<const std::string>(describe_holders(holders(text)));
       report.attached = std::make_shared<const std::vector<std::string>>(2, text);
       return std::string(PoolClosed(std::move(report)).what());
     }},
    {"HookError", [](auto& text) { return std::string(HookError(text, text, text).what()); }},
    {"HookError of an exception",
     [](auto& text) {
       return std::string(
           HookError(text, text, std::make_exception_ptr(std::runtime_error(text))).what());
     }},
    {"WouldDeadlock",
     [](auto& text) {
       return std::string(
           WouldDeadlock(text, WouldDeadlock::Situation::acquire, holders(text)).what());
     }},
    {"ConfigError",
     [](auto& text) {
       return std::string(ConfigError({{text, text, text, text}, {text, text, text, text}}).what());
     }},
    {"holders", [](auto& text) { return describe_holders(holders(text)); }},
    {"LeaseInfo",
     [](auto& text) { return to_string(LeaseInfo{.thread_name = text, .statement = text}); }},
    {"CloseReport", [](auto& text) { return to_string(close_report(text)); }},
    {"CloseReport as JSON", [](auto& text) { return to_json(close_report(text)); }},
    {"Stats for Prometheus", [](auto& text) { return to_prometheus(hostile_stats(text), text); }},
    {"Stats as JSON", [](auto& text) { return to_json(hostile_stats(text)); }},
    {"PlanReport", [](auto& text) { return to_string(plan_report(text)); }},
    {"PlanReport as JSON", [](auto& text) { return to_json(plan_report(text)); }},
};

TEST(ForeignText, ReachesNoTerminalAndNoLogAsItIs) {
  for (const auto& [name, text_of] : kTexts) {
    SCOPED_TRACE(name);
    const std::string text = text_of(kNasty);
    EXPECT_EQ(test::why_unfit(text), "");
    EXPECT_NE(text.find("owned"), text.npos) << text;
    EXPECT_NE(text.find("forged"), text.npos) << "a NUL ends nothing: " << text;
  }
}

// A log reads what begins a line: only the library's own words do.
TEST(ForeignText, BeginsNoLine) {
  for (const auto& [name, text_of] : kTexts) {
    EXPECT_EQ(text_of(kNasty).find("\nFATAL"), std::string::npos)
        << name << ": " << text_of(kNasty);
  }
}

TEST(ForeignText, OfAMegabyteIsCut) {
  const std::string megabyte(1'000'000, 'x');
  for (const auto& [name, text_of] : kTexts) {
    if (std::string_view(name).ends_with("JSON")) continue;  // for programs
    const std::string text = text_of(megabyte);
    EXPECT_LT(text.size(), 100'000u) << name;
    EXPECT_NE(text.find("bytes more)"), text.npos) << name;
  }
}

TEST(ForeignText, IsWholeAndRawForPrograms) {
  const QueryError query(query_report(kNasty));
  for (const std::string& field : {query.message(), query.detail(), query.hint(), query.statement(),
                                   query.sqlstate(), query.schema()}) {
    EXPECT_EQ(field, kNasty);
  }
  const ConnectError connect(Errc::unavailable, connect_report(kNasty));
  EXPECT_EQ(connect.server_text(), kNasty);
  EXPECT_EQ(connect.addresses().front().reason, kNasty);
  const PoolClosed closed({.closer = {.reason = kNasty}});
  EXPECT_EQ(closed.closer().reason, kNasty);
}

}  // namespace
}  // namespace tidegate
