// ShutdownPlan: the order in which a program stops, as data.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/lifecycle/signal_waiter.hpp>

namespace tidegate {

struct PlanOptions {
  // For all stages together. When it is used up, no further stage begins (the first always begins).
  std::chrono::milliseconds total{30'000};
  // When `total` is used up: end the process (exit status 1), whatever the stage does. Otherwise
  // the plan ends when the stage does.
  bool hard_exit = false;
  // Gets the report when the plan ends, when `total` is used up, and at the third signal. Called on
  // a thread of the plan; must not throw. Unset: stderr.
  std::function<void(std::string_view report)> log{};
};

// What a stage is told. It may be passed to other threads, but not beyond the stage's end.
class StageContext {
 public:
  StageContext(Deadline deadline, std::stop_token stop) noexcept
      : deadline_(deadline), stop_(std::move(stop)) {}
  Deadline deadline() const noexcept { return deadline_; }
  // Fires at the stage's deadline, or at the second signal; already set for stages that begin
  // later.
  std::stop_token stop_token() const noexcept { return stop_; }

 private:
  Deadline deadline_;
  std::stop_token stop_;
};

struct StageReport {
  enum class Outcome {
    done,     // within its bound
    overran,  // ended after its bound
    failed,   // ended by an exception
    running,  // not ended when the report was written
    skipped,  // never began: `total` was used up
  };
  std::string name{};
  Outcome outcome = Outcome::skipped;
  std::chrono::milliseconds bound{};
  std::chrono::nanoseconds took{};
  std::string error{};  // of a failed stage: what() of the exception
};

struct PlanReport {
  int signal = 0;        // the signal that began the plan; 0 = run_now()
  int signals_seen = 0;  // two or more: the plan was hurried
  bool in_time = true;   // `total` was enough
  std::chrono::nanoseconds took{};
  std::vector<StageReport> stages{};

  // 0 when every stage ended without an exception and `total` was enough, else 1.
  int exit_code() const noexcept;
};

// One line per stage, as a person wants it at 3 a.m.
TIDEGATE_API std::string to_string(const PlanReport& report);
TIDEGATE_API std::string to_json(const PlanReport& report);
TIDEGATE_API std::string_view to_string(StageReport::Outcome outcome) noexcept;

// Stages run in order on the thread that runs the plan. A second signal hurries the plan: the stop
// token of the running stage fires, and later stages begin with theirs set. A third signal ends the
// process (std::quick_exit(128 + signal)) once the report so far is written. Where NOTIFY_SOCKET is
// set, the plan tells systemd STOPPING and, each second, how much longer it may take.
class TIDEGATE_API ShutdownPlan {
 public:
  explicit ShutdownPlan(PlanOptions options = {}, Location where = Location::current());
  ~ShutdownPlan();
  ShutdownPlan(const ShutdownPlan&) = delete;
  ShutdownPlan& operator=(const ShutdownPlan&) = delete;

  // An exception of `run` is reported; the next stage runs nevertheless.
  // Throws: UsageError for a negative bound, an empty name or function, and while the plan runs.
  void stage(std::string name, std::chrono::milliseconds bound,
             std::function<void(StageContext&)> run, Location where = Location::current());

  // Waits for a signal, then runs the stages. May be called once.
  // Throws: UsageError when it has run already; std::system_error without a thread or descriptor.
  PlanReport run_on(SignalWaiter& signals, Location where = Location::current());
  // The same with a SignalWaiter of its own: for programs that start no thread before.
  PlanReport run_on_signal(std::initializer_list<int> signals,
                           Location where = Location::current());
  // Runs the stages now, without a signal; signals that arrive meanwhile hurry the plan.
  PlanReport run_now(SignalWaiter* signals = nullptr, Location where = Location::current());

 private:
  struct Stage {
    std::string name;
    std::chrono::milliseconds bound;
    std::function<void(StageContext&)> run;
  };

  PlanReport run(int signal, SignalWaiter* signals, Location where);

  PlanOptions options_;
  std::vector<Stage> stages_;
  bool ran_ = false;
};

}  // namespace tidegate
