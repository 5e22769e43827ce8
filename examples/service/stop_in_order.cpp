// What a service does at SIGTERM: whoever uses something ends before it does.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "pause.hpp"
#include "service.hpp"

namespace service {

using tidegate::StageContext;

Ending stop_in_order(Service& service, tidegate::SignalWaiter& signals, bool signaled,
                     const std::string& reason) {
  using namespace std::chrono_literals;
  Ending ending;
  const auto print = [](std::string_view report) {
    std::printf("%.*s\n", static_cast<int>(report.size()), report.data());
    std::fflush(stdout);
  };
  tidegate::ShutdownPlan plan({.total = 30s, .log = print});
  plan.stage("lame duck", 500ms, [&](StageContext& stage) {
    service.api.set_ready(false);
    service.pool.announce_shutdown(reason);
    service.http->close_after_replies();
    pause(stage.stop_token(), 100ms);  // for balancers to see it and to send requests elsewhere
  });
  plan.stage("stop accepting", 1s, [&](StageContext&) { service.http->stop_accepting(); });
  plan.stage("finish in-flight", 10s, [&](StageContext& stage) {
    if (!service.http->await_idle(stage.deadline(), stage.stop_token())) {
      throw std::runtime_error("requests are still being answered");
    }
    service.http_user.reset();
  });
  plan.stage("stop workers", 5s, [&](StageContext& stage) {
    service.jobs.request_stop();
    if (!service.jobs.join_until(stage.deadline(), stage.stop_token())) {
      throw std::runtime_error("a job is still at work");
    }
    service.job_user.reset();
  });
  plan.stage("close pool", 13s, [&](StageContext& stage) {
    ending.close = service.pool.close({.reason = reason, .hurry = stage.stop_token()});
  });
  const auto report = signaled ? plan.run_on(signals) : plan.run_now(&signals);
  ending.as_promised =
      report.exit_code() == 0 && ending.close.outcome == tidegate::CloseReport::Outcome::drained;
  std::printf("%s\n", to_string(ending.close).c_str());
  return ending;
}

}  // namespace service
