#include <tidegate/lifecycle/shutdown_plan.hpp>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/base/error.hpp>
#include <tidegate/base/file_descriptor.hpp>

#include "support/comma_locale.hpp"
#include "support/rendezvous.hpp"

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using Outcome = StageReport::Outcome;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

void send(int number) { ::kill(::getpid(), number); }

void silent(std::string_view) {}

std::vector<Outcome> outcomes(const PlanReport& report) {
  std::vector<Outcome> outcomes;
  for (const StageReport& stage : report.stages) outcomes.push_back(stage.outcome);
  return outcomes;
}

// Waits for a stop, as a well-behaved stage does.
void until_stopped(StageContext& context) {
  const std::stop_token stop = context.stop_token();
  await("the stop", [&] { return stop.stop_requested(); });
}

TEST(ShutdownPlan, RunsItsStagesInOrderOnTheThreadThatRunsIt) {
  std::vector<std::string> ran;
  ShutdownPlan plan{{.log = &silent}};
  const auto self = std::this_thread::get_id();
  for (const char* name : {"stop accepting", "finish", "close"}) {
    plan.stage(name, 1h, [&, name](StageContext& context) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_FALSE(context.deadline().passed());
      EXPECT_FALSE(context.stop_token().stop_requested());
      ran.emplace_back(name);
    });
  }
  SignalWaiter signals{SIGTERM};
  send(SIGTERM);
  const PlanReport report = plan.run_on(signals);
  EXPECT_THAT(ran, ElementsAre("stop accepting", "finish", "close"));
  EXPECT_EQ(report.signal, SIGTERM);
  EXPECT_EQ(report.signals_seen, 1);
  EXPECT_TRUE(report.in_time);
  EXPECT_EQ(report.exit_code(), 0);
}

TEST(ShutdownPlan, RunOnSignalBringsItsOwnWaiter) {
  sigset_t term;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &term, nullptr);
  send(SIGTERM);  // pending, until somebody waits for it
  ShutdownPlan plan{{.log = &silent}};
  plan.stage("one", 1h, [](auto&) {});
  const PlanReport report = plan.run_on_signal({SIGTERM});
  ::pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
  EXPECT_EQ(report.signal, SIGTERM);
  EXPECT_EQ(report.exit_code(), 0);
}

TEST(ShutdownPlan, AnExceptionIsReportedAndTheNextStageFollows) {
  ShutdownPlan plan{{.log = &silent}};
  plan.stage("bad", 1h, [](auto&) { throw std::runtime_error("no such harbour"); });
  plan.stage("worse", 1h, [](auto&) { throw 42; });
  plan.stage("good", 1h, [](auto&) {});
  const PlanReport report = plan.run_now();
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::failed, Outcome::failed, Outcome::done));
  EXPECT_EQ(report.stages[0].error, "no such harbour");
  EXPECT_EQ(report.exit_code(), 1);
  EXPECT_THAT(to_string(report), AllOf(HasSubstr("INCOMPLETE"), HasSubstr("no such harbour")));
}

TEST(ShutdownPlan, AStageIsStoppedAtItsDeadline) {
  ShutdownPlan plan{{.log = &silent}};
  plan.stage("slow", 1ms, [](StageContext& context) {
    until_stopped(context);
    EXPECT_TRUE(context.deadline().passed());
  });
  plan.stage("next", 1h, [](auto&) {});
  const PlanReport report = plan.run_now();
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::overran, Outcome::done));
  EXPECT_EQ(report.exit_code(), 0) << "late, but all in time";
}

TEST(ShutdownPlan, ASecondSignalStopsTheStageAndThoseAfterIt) {
  SignalWaiter signals{SIGTERM};
  ShutdownPlan plan{{.total = 1h, .log = &silent}};
  plan.stage("first", 1h, [](StageContext& context) {
    send(SIGTERM);
    until_stopped(context);
    EXPECT_FALSE(context.deadline().passed());
  });
  plan.stage("second", 1h,
             [](StageContext& context) { EXPECT_TRUE(context.stop_token().stop_requested()); });
  send(SIGTERM);
  const PlanReport report = plan.run_on(signals);
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::done, Outcome::done));
  EXPECT_EQ(report.signals_seen, 2);
  EXPECT_THAT(to_string(report), HasSubstr("hurried"));
}

// The report tells who is late while they still are: nobody may be there to write it later.
TEST(ShutdownPlan, WhenTheTimeForAllIsUsedUpTheReportNamesTheStageAndTheRestIsSkipped) {
  std::atomic<int> reports{0};
  std::string early;
  ShutdownPlan plan{{.total = 1ms, .log = [&](std::string_view text) {
                       if (reports == 0) early = text;
                       ++reports;
                     }}};
  plan.stage("stuck", 1h, [&](auto&) { await("the report", [&] { return reports.load() > 0; }); });
  plan.stage("after", 1h, [](auto&) { FAIL() << "there is no time left"; });
  const PlanReport report = plan.run_now();
  EXPECT_THAT(early, AllOf(HasSubstr("INCOMPLETE"), HasSubstr("used up"), HasSubstr("stuck"),
                           HasSubstr("running")));
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::done, Outcome::skipped));
  EXPECT_FALSE(report.in_time);
  EXPECT_EQ(report.exit_code(), 1);
  EXPECT_EQ(reports, 2);
}

TEST(ShutdownPlanDeathTest, AThirdSignalEndsTheProcessAndWritesTheReport) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto stop_three_times = [] {
    SignalWaiter signals{SIGTERM};
    ShutdownPlan plan;
    plan.stage("stuck", 1h, [](StageContext& context) {
      send(SIGTERM);
      until_stopped(context);
      send(SIGTERM);
      await("the end", [] { return false; });
    });
    send(SIGTERM);
    plan.run_on(signals);
  };
  EXPECT_EXIT(stop_three_times(), testing::ExitedWithCode(128 + SIGTERM), "stuck +running");
}

TEST(ShutdownPlanDeathTest, AHardExitDoesNotWaitForAStageThatIsStuck) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto be_stuck = [] {
    ShutdownPlan plan{{.total = 1ms, .hard_exit = true}};
    plan.stage("stuck", 1ms, [](auto&) { await("the end", [] { return false; }); });
    plan.run_now();
  };
  EXPECT_EXIT(be_stuck(), testing::ExitedWithCode(1), "stuck +running");
}

// systemd's end of NOTIFY_SOCKET, which is set as long as this lives. A name that begins with '@'
// is an abstract one, in whose address a NUL stands in the place of the '@'.
class NotifySocket {
 public:
  explicit NotifySocket(std::string name) : name_(std::move(name)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    name_.copy(address.sun_path, sizeof address.sun_path);
    if (name_[0] == '@') address.sun_path[0] = '\0';
    const timeval ten_seconds{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &ten_seconds, sizeof ten_seconds);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size())),
              0);
    ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  }
  ~NotifySocket() {
    ::unsetenv("NOTIFY_SOCKET");
    if (name_[0] != '@') ::unlink(name_.c_str());
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // The next notice, which must be one of stopping: the microseconds it asks for. Waits for it; -1
  // when none comes.
  long long asked_for() {
    std::string told(200, '\0');
    const ssize_t size = ::recv(socket_.get(), told.data(), told.size(), 0);
    if (size < 0) return -1;
    told.resize(static_cast<std::size_t>(size));
    EXPECT_THAT(told, testing::MatchesRegex("STOPPING=1\nEXTEND_TIMEOUT_USEC=[0-9]+\n"));
    return std::stoll(told.substr(told.rfind('=') + 1));
  }

 private:
  const std::string name_;
  const detail::FileDescriptor socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

// Seen failing with milliseconds in the place of microseconds, with a notice that is sent once, and
// with STOPPING left out. Takes the second that is between two notices.
TEST(ShutdownPlan, TellsSystemdOncePerSecondHowLongItMayTake) {
  NotifySocket systemd(testing::TempDir() + "tidegate-notify-" + std::to_string(::getpid()));
  ShutdownPlan plan{{.total = 60s, .log = &silent}};
  plan.stage("one", 1h, [&](auto&) {
    const long long first = systemd.asked_for();
    EXPECT_LE(first, 60'000'000);
    EXPECT_GT(first, 45'000'000);
    const long long second = systemd.asked_for();
    EXPECT_LE(second, first - 1'000'000) << "a second later, with that much less to go";
    EXPECT_GT(second, 30'000'000);
  });
  EXPECT_EQ(plan.run_now().exit_code(), 0);
}

// Seen failing with an address that begins with the '@'.
TEST(ShutdownPlan, TellsSystemdOnAnAbstractSocketToo) {
  NotifySocket systemd("@tidegate-notify-" + std::to_string(::getpid()));
  ShutdownPlan plan{{.log = &silent}};
  plan.stage("one", 1h, [&](auto&) { EXPECT_GT(systemd.asked_for(), 0); });
  EXPECT_EQ(plan.run_now().exit_code(), 0);
}

// Seen failing with a deadline that is the stage's own bound.
TEST(ShutdownPlan, AStageHasNoLongerThanIsLeftForAll) {
  ShutdownPlan plan{{.total = 1h, .log = &silent}};
  const auto check = [](StageContext& context) {
    EXPECT_LE(context.deadline().at(), std::chrono::steady_clock::now() + 1h);
    EXPECT_FALSE(context.deadline().passed());
  };
  plan.stage("one", 2h, check);
  plan.stage("two", 3h, check);
  EXPECT_EQ(plan.run_now().exit_code(), 0);
}

TEST(ShutdownPlan, RefusesWhatMakesNoSense) {
  EXPECT_THROW(ShutdownPlan({.total = -1ms}), UsageError);
  ShutdownPlan plan{{.log = &silent}};
  EXPECT_THROW(plan.stage("negative", -1ms, [](auto&) {}), UsageError);
  EXPECT_THROW(plan.stage("", 1ms, [](auto&) {}), UsageError);
  EXPECT_THROW(plan.stage("empty", 1ms, nullptr), UsageError);
  plan.stage("late", 1h,
             [&](auto&) { EXPECT_THROW(plan.stage("another", 1ms, [](auto&) {}), UsageError); });
  EXPECT_EQ(plan.run_now().exit_code(), 0);
  EXPECT_THROW(plan.run_now(), UsageError) << "it has run";
}

// Seen failing: "took_ms":1,5 is no JSON.
TEST(ShutdownPlan, ItsReportIsTheSameInEveryLocale) {
  PlanReport report{.signal = SIGTERM, .took = 12'345'678us};
  report.stages.push_back({.name = "a", .bound = 12'345ms, .took = 1500us});
  const std::string expected = to_string(report) + to_json(report);
  const CommaLocale comma;
  EXPECT_EQ(to_string(report) + to_json(report), expected);
}

TEST(ShutdownPlan, ItsReportIsJson) {
  PlanReport report{.signal = SIGTERM, .signals_seen = 1};
  report.stages.push_back({.name = "a \"quoted\"\nname \x01\xff \xc3\xa9",
                           .outcome = Outcome::failed,
                           .bound = 5ms,
                           .took = 1500us,
                           .error = "back\\slash"});
  EXPECT_EQ(to_json(report),
            "{\"signal\":15,\"signals_seen\":1,\"in_time\":true,\"exit_code\":1,\"took_ms\":0,"
            "\"stages\":[{\"name\":\"a \\\"quoted\\\"\\nname \\u0001\xEF\xBF\xBD \xc3\xa9\","
            "\"outcome\":\"failed\",\"bound_ms\":5,\"took_ms\":1.5,\"error\":\"back\\\\slash\"}]}");
}

}  // namespace
}  // namespace tidegate::test
