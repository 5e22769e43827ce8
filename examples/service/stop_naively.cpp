// What goes wrong when the pool is closed first, and how the error names the culprit.
#include <chrono>
#include <cstdio>
#include <string>

#include "pause.hpp"
#include "service.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;

// Until a request and a job have met the closed pool; both come by many times a second.
void go_on_for_a_moment(const Tally& tally) {
  for (int i = 0; i < 500; ++i) {
    if (tally.closed_in_requests.count() > 0 && tally.closed_in_jobs.count() > 0) return;
    pause({}, 10ms);
  }
}

}  // namespace

Ending stop_naively(Service& service, const std::string& reason) {
  std::printf("closing the pool first; the HTTP server and the jobs go on\n");
  Ending ending;
  ending.close = service.pool.close({.reason = reason});
  go_on_for_a_moment(service.tally);
  service.http->stop_accepting();
  service.http->await_idle(10s);
  service.jobs.request_stop();
  service.jobs.join_until(10s);
  std::printf("%s\n", to_string(ending.close).c_str());

  const Tally& tally = service.tally;
  const std::string error = tally.closed_in_requests.first();
  const std::string culprit = ending.close.closer.where.to_string();
  std::printf("the first request that met the closed pool got:\n%s\n", error.c_str());
  std::printf(
      "what went wrong: %s closed the pool while others used it: %llu requests and %llu rounds of"
      " jobs met it closed. Close it last, after who uses it: a ShutdownPlan does"
      " (examples/service/stop_in_order.cpp)\n",
      culprit.c_str(), static_cast<unsigned long long>(tally.closed_in_requests.count()),
      static_cast<unsigned long long>(tally.closed_in_jobs.count()));
  const auto named = [&error](const std::string& who) {
    return error.find(who) != std::string::npos;
  };
  ending.as_promised = named("closed by " + culprit) && named("http-server (") && named("jobs (") &&
                       tally.closed_in_jobs.count() > 0;
  return ending;
}

}  // namespace service
