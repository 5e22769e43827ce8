// The demo: an HTTP order service with background jobs works for many clients over few connections,
// until the time is over or somebody presses Ctrl-C; then it stops, and the books are checked.
#include <tidegate/tidegate.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include <tidegate/base/duration.hpp>

#include "inspector.hpp"
#include "interrupt.hpp"
#include "options.hpp"
#include "service.hpp"
#include "shop.hpp"
#include "status.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;
using Number = unsigned long long;  // printf's

// Another pool looks what has arrived. How many acknowledged orders does the server not know?
std::uint64_t audit(tidegate::PoolConfig config, const Tally& tally) {
  config.name = "audit";
  config.observer.reset();
  config.max_size = 1;
  config.min_size = config.min_idle = 0;
  tidegate::Pool pool(config);
  const std::uint64_t stored = count_orders(pool);
  drop_schema(pool);
  pool.close();
  const std::uint64_t acknowledged = tally.acknowledged;
  return acknowledged > stored ? acknowledged - stored : 0;
}

int conclude(const Service& service, const Ending& ending, std::uint64_t lost, bool naive) {
  const Tally& tally = service.tally;
  const std::uint64_t let_down = service.ledger.unanswered();
  const std::uint64_t failed = let_down + tally.failed_jobs.count();
  const std::uint64_t closed = tally.closed_pool_errors();
  for (const ErrorCount* errors : {&tally.request_failures, &tally.failed_jobs}) {
    if (errors->count() > 0) std::printf("first failure: %s\n", errors->first().c_str());
  }
  std::printf("queries %llu, orders %llu\n", static_cast<Number>(tally.queries),
              static_cast<Number>(tally.acknowledged));
  std::printf("requests %llu, turned away %llu\n", static_cast<Number>(tally.requests),
              static_cast<Number>(tally.turned_away));
  std::printf("drained in %s\n", tidegate::brief_duration(ending.close.drain).c_str());
  std::printf("%llu failed requests, %llu closed-pool errors\n", static_cast<Number>(let_down),
              static_cast<Number>(closed));
  std::printf("failed %llu\n", static_cast<Number>(failed));
  std::printf("lost %llu\n", static_cast<Number>(lost));
  const bool clean = failed == 0 && closed == 0;
  return ending.as_promised && lost == 0 && (naive || clean) ? 0 : 1;
}

int run(const Options& options, tidegate::SignalWaiter& signals) {
  const Interrupt interrupt(signals);
  tidegate::PoolConfig config = tidegate::PoolConfig::parse(options.conninfo);
  if (options.mode == Options::Mode::stuck) return show_stuck(config, interrupt.token()) ? 0 : 1;

  config.max_size = options.pool;
  config.min_size = std::min(config.min_size, config.max_size);
  config.name = "demo";
  EventFeed feed;
  if (options.inspect) {
    config.leak_threshold = 2s;
    config.observer = tidegate::log_to(
        *config.name, [&feed](const tidegate::LogEvent& event) { feed.add(event); });
  }
  tidegate::Pool pool(config);
  // It outlives the close, to show it.
  const auto inspector = options.inspect ? make_inspector(pool, feed) : nullptr;
  create_schema(pool, 10s, interrupt.token());

  Service service(pool, options.threads,
                  options.coroutines ? Service::By::coroutines : Service::By::threads);
  const std::string workers = options.coroutines ? "coroutines on one thread"
                                                 : std::to_string(options.threads) + " workers";
  std::printf("%s share %u connections for %u s; Ctrl-C ends it at any moment\n", workers.c_str(),
              options.pool, options.seconds);
  std::printf("http://127.0.0.1:%d/orders /healthz /readyz /metrics /debug/pool\n",
              service.http->port());
  if (inspector) std::printf("look at http://127.0.0.1:%d/debug/pool/ui\n", inspector->port());
  std::fflush(stdout);
  show_status(pool, service.tally, std::chrono::seconds(options.seconds), interrupt.token());

  const bool signaled = interrupt.token().stop_requested();
  const std::string reason = signaled ? "signal" : "the time is over";
  const bool naive = options.mode == Options::Mode::naive;
  const Ending ending =
      naive ? stop_naively(service, reason) : stop_in_order(service, signals, signaled, reason);
  service.load.stop();
  return conclude(service, ending, audit(config, service.tally), naive);
}

// A connection has two ends in this process, and there may be thousands.
void allow_many_connections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace service

int main(int argc, char** argv) try {
  tidegate::SignalWaiter signals{SIGTERM, SIGINT};  // first: threads inherit the blocked signals
  int status = 0;
  const auto options = service::parse(argc, argv, status);
  if (!options) return status;
  service::allow_many_connections();
  return service::run(*options, signals);
} catch (const tidegate::AcquireCanceled&) {
  std::printf("stopped before the first query\nfailed 0\nlost 0\n");
  return 0;
} catch (const std::exception& error) {
  const std::string text = error.what();
  std::fprintf(stderr, "demo: %s\n", text.substr(0, text.find('\n')).c_str());
  return 1;
}
