// A plan's report in words, and as JSON.
#include <tidegate/lifecycle/shutdown_plan.hpp>

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <locale>
#include <sstream>

#include <tidegate/base/duration.hpp>

#include "base/json.hpp"
#include "base/printable.hpp"

namespace tidegate {
namespace {

using Outcome = StageReport::Outcome;

std::string cause_of(const PlanReport& report) {
  if (report.signal == 0) return "asked for";
  const char* name = ::sigabbrev_np(report.signal);
  return name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(report.signal);
}

double milliseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

int PlanReport::exit_code() const noexcept {
  const bool all_ended = std::all_of(stages.begin(), stages.end(), [](const StageReport& stage) {
    return stage.outcome == Outcome::done || stage.outcome == Outcome::overran;
  });
  return in_time && all_ended ? 0 : 1;
}

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::done: return "done";
    case Outcome::overran: return "overran";
    case Outcome::failed: return "failed";
    case Outcome::running: return "running";
    case Outcome::skipped: return "skipped";
  }
  return "?";
}

std::string to_string(const PlanReport& report) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << "shutdown (" << cause_of(report);
  if (report.signals_seen > 1) out << ", hurried";
  out << "): " << (report.exit_code() == 0 ? "complete" : "INCOMPLETE") << " after "
      << brief_duration(report.took);
  if (!report.in_time) out << ", the time for all stages is used up";
  std::size_t width = 0;
  std::vector<std::string> names;
  for (const StageReport& stage : report.stages) {
    names.push_back(detail::one_line(stage.name));
    width = std::max(width, names.back().size());
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const StageReport& stage = report.stages[i];
    out << "\n  " << std::left << std::setw(static_cast<int>(width)) << names[i] << "  "
        << std::setw(7) << to_string(stage.outcome);
    if (stage.outcome == Outcome::skipped) continue;
    out << "  " << brief_duration(stage.took) << " of " << brief_duration(stage.bound);
    if (!stage.error.empty()) out << ": " << detail::indented(stage.error, "    ");
  }
  return out.str();
}

std::string to_json(const PlanReport& report) {
  std::string stages;
  for (const StageReport& stage : report.stages) {
    const auto object = detail::JsonObject()
                            .text("name", stage.name)
                            .text("outcome", to_string(stage.outcome))
                            .number("bound_ms", stage.bound.count())
                            .number("took_ms", milliseconds(stage.took))
                            .text("error", stage.error);
    stages += (stages.empty() ? "" : ",") + object.done();
  }
  return detail::JsonObject()
      .number("signal", report.signal)
      .number("signals_seen", report.signals_seen)
      .flag("in_time", report.in_time)
      .number("exit_code", report.exit_code())
      .number("took_ms", milliseconds(report.took))
      .add("stages", '[' + stages + ']')
      .done();
}

}  // namespace tidegate
