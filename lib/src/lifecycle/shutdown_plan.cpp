#include <tidegate/lifecycle/shutdown_plan.hpp>

#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/base/error.hpp>

#include "base/printable.hpp"
#include "lifecycle/plan_run.hpp"

namespace tidegate {
namespace {

void require_not_negative(std::chrono::milliseconds bound, const std::string& what,
                          Location where) {
  if (bound.count() >= 0) return;
  throw UsageError(
      "ShutdownPlan: " + what + " is " + format_duration(bound) + "; it must be 0 or more", where);
}

}  // namespace

ShutdownPlan::ShutdownPlan(PlanOptions options, Location where) : options_(std::move(options)) {
  require_not_negative(options_.total, "total", where);
}

ShutdownPlan::~ShutdownPlan() = default;

void ShutdownPlan::stage(std::string name, std::chrono::milliseconds bound,
                         std::function<void(StageContext&)> run, Location where) {
  if (ran_) {
    throw UsageError(
        "ShutdownPlan: stage \"" + detail::one_line(name) + "\" is added to a plan that has begun",
        where);
  }
  if (name.empty()) throw UsageError("ShutdownPlan: a stage needs a name", where);
  if (!run)
    throw UsageError("ShutdownPlan: stage \"" + detail::one_line(name) + "\" has no function",
                     where);
  require_not_negative(bound, "the bound of stage \"" + detail::one_line(name) + "\"", where);
  stages_.push_back({std::move(name), bound, std::move(run)});
}

PlanReport ShutdownPlan::run_on(SignalWaiter& signals, Location where) {
  if (ran_) return run(0, &signals, where);  // which throws
  return run(signals.wait().value(), &signals, where);
}

PlanReport ShutdownPlan::run_on_signal(std::initializer_list<int> signals, Location where) {
  SignalWaiter waiter(signals, where);
  return run_on(waiter, where);
}

PlanReport ShutdownPlan::run_now(SignalWaiter* signals, Location where) {
  return run(0, signals, where);
}

PlanReport ShutdownPlan::run(int signal, SignalWaiter* signals, Location where) {
  if (std::exchange(ran_, true)) throw UsageError("ShutdownPlan: a plan runs once", where);
  PlanReport report{.signal = signal, .signals_seen = signal == 0 ? 0 : 1};
  for (const Stage& stage : stages_) {
    report.stages.push_back({.name = stage.name, .bound = stage.bound});
  }
  detail::PlanRun running(options_, std::move(report), signals);
  for (std::size_t i = 0; i < stages_.size(); ++i) running.run_stage(i, stages_[i].run);
  return running.finish();
}

}  // namespace tidegate
