#include <tidegate/lifecycle/shutdown_plan.hpp>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/base/error.hpp>
#include <tidegate/base/file_descriptor.hpp>

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

TEST(ShutdownPlan, TellsSystemdHowLongItMayTake) {
  const std::string path = testing::TempDir() + "tidegate-notify-" + std::to_string(::getpid());
  const detail::FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ShutdownPlan plan{{.total = 30s, .log = &silent}};
  std::string told(200, '\0');
  plan.stage("one", 1h, [&](auto&) {
    told.resize(static_cast<std::size_t>(::recv(socket.get(), told.data(), told.size(), 0)));
  });
  EXPECT_EQ(plan.run_now().exit_code(), 0);
  ::unsetenv("NOTIFY_SOCKET");
  ::unlink(path.c_str());
  EXPECT_THAT(told, testing::StartsWith("STOPPING=1\nEXTEND_TIMEOUT_USEC="));
  const long long longer = std::stoll(told.substr(told.rfind('=') + 1));
  EXPECT_GT(longer, 0);
  EXPECT_LE(longer, 30'000'000);
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
