// log_to(): what an operator reads of a pool's events, and what the next observer gets.
#include <tidegate/pool/log.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/base/error.hpp>

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Told {
  LogLevel level{};
  std::string code{};
  std::string pool{};
  std::string text{};
  std::uint64_t held_back = 0;
  std::vector<std::pair<std::string, std::string>> fields{};
};

// Keeps what a log is told.
struct Kept {
  std::vector<Told> told{};
  LogSink sink() {
    return [this](const LogEvent& event) {
      told.push_back({event.level,
                      std::string(event.code),
                      std::string(event.pool),
                      std::string(event.text),
                      event.held_back,
                      {}});
      for (const auto& [name, value] : event.fields)
        told.back().fields.emplace_back(std::string(name), value);
    };
  }
  std::vector<std::string> codes() const {
    std::vector<std::string> all;
    for (const Told& one : told) all.push_back(one.code);
    return all;
  }
};

// The names of the members that were called.
struct Next : Observer {
  std::vector<std::string> called{};
  bool wants_leases() const noexcept override { return true; }
  void acquire_started(Location) override { called.emplace_back("acquire_started"); }
  void acquire_ended(const AcquireEnded&) override { called.emplace_back("acquire_ended"); }
  void waited(Location, std::chrono::nanoseconds) override { called.emplace_back("waited"); }
  void released(const LeaseReleased&) override { called.emplace_back("released"); }
  void connect_started() override { called.emplace_back("connect_started"); }
  void connect_ended(const ConnectEnded&) override { called.emplace_back("connect_ended"); }
  void backing_off(std::uint32_t, std::chrono::nanoseconds) override {
    called.emplace_back("backing_off");
  }
  void ping_started(int) override { called.emplace_back("ping_started"); }
  void ping_ended(const PingEnded&) override { called.emplace_back("ping_ended"); }
  void reset_started(int) override { called.emplace_back("reset_started"); }
  void reset_ended(const ConnectionReset&) override { called.emplace_back("reset_ended"); }
  void retired(const ConnectionRetired&) override { called.emplace_back("retired"); }
  void role_changed(int) override { called.emplace_back("role_changed"); }
  void pooler_recognized(const PoolerRecognized&) override {
    called.emplace_back("pooler_recognized");
  }
  void login_notice(const Notice&) override { called.emplace_back("login_notice"); }
  void parameter_dropped(const ParameterDropped&) override {
    called.emplace_back("parameter_dropped");
  }
  void hook_failed(std::string_view, std::string_view) override {
    called.emplace_back("hook_failed");
  }
  void leak_suspected(const LeaseInfo&) override { called.emplace_back("leak_suspected"); }
  void leak_returned(const LeaseInfo&) override { called.emplace_back("leak_returned"); }
  void nested_acquire(Location, const LeaseInfo&, bool) override {
    called.emplace_back("nested_acquire");
  }
  void self_deadlock_suspected(Location, const std::vector<LeaseInfo>&, bool) override {
    called.emplace_back("self_deadlock_suspected");
  }
  void close_phase(std::string_view) override { called.emplace_back("close_phase"); }
  void close_waits(std::chrono::nanoseconds, const std::vector<LeaseInfo>&) override {
    called.emplace_back("close_waits");
  }
  void closed(const CloseReport&) override { called.emplace_back("closed"); }
};

void tell_everything(Observer& observer) {
  const ErrorValue error = ErrorValue::of(Error(Errc::unavailable, "refused"));
  observer.acquire_started({});
  observer.acquire_ended({});
  observer.waited({}, 1ms);
  observer.released({});
  observer.connect_started();
  observer.connect_ended({.error = &error, .took = 3ms});
  observer.backing_off(1, 1ms);
  observer.ping_started(1);
  observer.ping_ended({});
  observer.reset_started(1);
  observer.reset_ended({});
  observer.retired({.reason = "broken", .backend_pid = 4711});
  observer.role_changed(4711);
  observer.pooler_recognized({});
  observer.login_notice({.severity = "WARNING", .message = "your password expires"});
  observer.parameter_dropped({.name = "options", .asked = "a", .reported = "b"});
  observer.hook_failed("before_close", "boom");
  observer.leak_suspected({});
  observer.leak_returned({});
  observer.nested_acquire({}, {}, true);
  observer.self_deadlock_suspected({}, {LeaseInfo{}}, false);
  observer.close_phase("fence");
  observer.close_waits(5s, {LeaseInfo{}, LeaseInfo{}});
  observer.closed({});
}

const std::vector<std::string> kAll{
    "acquire_started",   "acquire_ended",     "waited",
    "released",          "connect_started",   "connect_ended",
    "backing_off",       "ping_started",      "ping_ended",
    "reset_started",     "reset_ended",       "retired",
    "role_changed",      "pooler_recognized", "login_notice",
    "parameter_dropped", "hook_failed",       "leak_suspected",
    "leak_returned",     "nested_acquire",    "self_deadlock_suspected",
    "close_phase",       "close_waits",       "closed"};

TEST(LogTo, TellsWhatAnOperatorWantsToKnow) {
  Kept kept;
  tell_everything(*log_to("orders", kept.sink()));
  EXPECT_THAT(
      kept.codes(),
      ElementsAre("connect_failed", "retired", "role_changed", "pooler_recognized", "login_notice",
                  "parameter_dropped", "hook_failed", "leak_suspected", "leak_returned",
                  "nested_acquire", "self_deadlock", "close_phase", "close_waits", "closed"));
  const Told& failed = kept.told.front();
  EXPECT_EQ(failed.level, LogLevel::warning);
  EXPECT_EQ(failed.pool, "orders");
  EXPECT_THAT(failed.text, HasSubstr("refused"));
  ASSERT_EQ(failed.fields.size(), 1u);
  EXPECT_EQ(failed.fields[0].second, "3 ms");
  EXPECT_EQ(kept.told[1].text, "the connection to server process 4711 is closed: broken");
}

// Seen failing with a member that does not pass on.
TEST(LogTo, TellsTheNextObserverEverything) {
  Kept kept;
  const auto next = std::make_shared<Next>();
  const auto log = log_to("orders", kept.sink(), next);
  tell_everything(*log);
  EXPECT_EQ(next->called, kAll);
  EXPECT_TRUE(log->wants_leases());
  EXPECT_FALSE(log_to("orders", kept.sink())->wants_leases());
}

TEST(LogTo, ASinkThatThrowsTakesNothingFromTheNextObserver) {
  const auto next = std::make_shared<Next>();
  const auto log = log_to("orders", [](const LogEvent&) { throw std::runtime_error("disk full"); },
                          next, {.every = 0ms});
  const ErrorValue error = ErrorValue::of(Error(Errc::unavailable, "refused"));
  EXPECT_THROW(log->connect_ended({.error = &error}), std::runtime_error);
  EXPECT_THROW(log->closed({}), std::runtime_error);
  EXPECT_THAT(next->called, ElementsAre("connect_ended", "closed"));
}

// Seen failing without the count: an outage of an hour looks like one failed connect.
TEST(LogTo, WhatRepeatsIsToldOnceAWhileWithHowManyWereHeldBack) {
  Kept kept;
  const auto log = log_to("orders", kept.sink(), {}, {.every = 20ms});
  const ErrorValue error = ErrorValue::of(Error(Errc::unavailable, "refused"));
  std::uint64_t fired = 0;
  while (kept.told.size() < 2) {
    log->connect_ended({.error = &error});
    ++fired;
  }
  EXPECT_EQ(kept.told[0].held_back, 0u);
  EXPECT_EQ(kept.told[1].held_back, fired - 2);
  log->hook_failed("before_close", "boom");
  EXPECT_EQ(kept.told.back().code, "hook_failed") << "each code has a bound of its own";
}

TEST(LogTo, ASlowAcquireIsToldOfWithItsPlaceAndItsWait) {
  Kept kept;
  const auto log = log_to("orders", kept.sink());
  log->waited(Location::current(), 1h);
  EXPECT_TRUE(kept.told.empty()) << "what is slow is the pool's decision";
  log->slow_acquire(Location::current(), 100ms);
  EXPECT_THAT(kept.codes(), ElementsAre("slow_acquire"));
  EXPECT_THAT(kept.told[0].text, HasSubstr("waited 100 ms"));
  log->slow_acquire({}, 1h);
  EXPECT_EQ(kept.told.size(), 1u) << "held back";
}

TEST(LogTo, ASlowStatementIsToldOfInOneLineWhateverItHolds) {
  Kept kept;
  const auto log = log_to("orders", kept.sink());
  const std::string text = "select 'a'\n\t" + std::string(300, 'x');
  log->slow_statement({.text = text, .backend_pid = 42},
                      {.took = 2s, .failed = true, .sqlstate = "57014", .rows = 3});
  EXPECT_THAT(kept.codes(), ElementsAre("slow_statement"));
  EXPECT_THAT(kept.told[0].text, HasSubstr("failed after 2 s: select 'a'"));
  EXPECT_EQ(kept.told[0].text.find('\n'), std::string::npos);
  EXPECT_LT(kept.told[0].text.size(), 300u);
  EXPECT_THAT(kept.told[0].fields, testing::Contains(testing::Pair("sqlstate", "57014")));
  EXPECT_THAT(kept.told[0].fields, testing::Contains(testing::Pair("backend_pid", "42")));
  log->slow_acquire({}, 1h);
  EXPECT_EQ(kept.told.size(), 2u) << "a bound of its own";
}

TEST(LogTo, AConnectThatSucceedsIsNoNews) {
  Kept kept;
  log_to("orders", kept.sink())->connect_ended({.took = 3ms, .backend_pid = 1});
  EXPECT_TRUE(kept.told.empty());
}

TEST(LogTo, AnEventIsJson) {
  EXPECT_EQ(
      to_json(LogEvent{.at = "2026-12-01T03:28:01.123Z",
                       .level = LogLevel::error,
                       .code = "hook_failed",
                       .pool = "a \"b\"",
                       .text = "boom\n\x1b",
                       .held_back = 2,
                       .fields = {{"hook", "prepare"}}}),
      R"({"at":"2026-12-01T03:28:01.123Z","level":"error","pool":"a \"b\"","code":"hook_failed",)"
      R"("text":"boom\n\u001b","held_back":2,"fields":{"hook":"prepare"}})");
}

TEST(LogTo, RefusesAnEmptySink) { EXPECT_THROW(log_to("orders", {}), UsageError); }

// Seen failing with texts as they came.
TEST(StderrSink, ForeignTextForgesNoLine) {
  testing::internal::CaptureStderr();
  const auto log = log_to("orders\n2026-01-01 forged", stderr_sink(), {}, {.every = 0ms});
  log->hook_failed("before_close", "boom\n2026-01-01T00:00:00.000Z tidegate error forged\x1b[2J");
  log->close_waits(5s, {LeaseInfo{.thread_name = "a\nb"}});
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr(" tidegate error \"orders\\n2026-01-01 forged\" hook_failed: "));
  EXPECT_THAT(text, Not(HasSubstr("\n2026-01-01T00")));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = text.find('\n', at)) != text.npos; ++at) {
    const char next = at + 1 < text.size() ? text[at + 1] : '2';
    EXPECT_TRUE(next == '2' || next == ' ') << text;  // a time, or the indent of a lease
    ++lines;
  }
  EXPECT_EQ(lines, 3u);
}

}  // namespace
}  // namespace tidegate::test
