// The demo: many workers put orders through a pool of few connections, until the time is over or
// somebody presses Ctrl-C; then the pool closes gracefully and the books are checked.
#include <tidegate/tidegate.hpp>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <tidegate/base/duration.hpp>

#include "shop.hpp"
#include "signals.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Options {
  unsigned seconds = 10;
  unsigned threads = 16;
  unsigned pool = 4;
  std::string conninfo;
};

// One line, rewritten in place on a terminal, once a second, until the time is over or stopped.
void show_status(tidegate::Pool& pool, demo::Tally& tally, std::chrono::seconds duration,
                 const std::stop_token& stop) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  const auto end = Clock::now() + duration;
  std::mutex mutex;
  std::condition_variable_any ticker;
  std::uint64_t before = 0;
  auto last = Clock::now();
  while (!stop.stop_requested() && Clock::now() < end) {
    std::unique_lock lock(mutex);
    ticker.wait_until(lock, stop, std::min(end, last + 1s), [] { return false; });
    const auto now = Clock::now();
    const std::uint64_t done = tally.queries.load();
    const double seconds = std::chrono::duration<double>(now - last).count();
    const double rate = seconds > 0 ? static_cast<double>(done - before) / seconds : 0;
    before = done;
    last = now;
    const tidegate::Stats stats = pool.stats();
    const auto wait = tally.waits.take();
    std::printf("%s%8.0f queries/s   used %u/%u  idle %u  waiting %2u   wait p50 %s  p99 %s%s",
                terminal ? "\r\x1b[K" : "", rate, stats.leased, stats.max, stats.idle,
                stats.waiting, tidegate::brief_duration(wait.p50).c_str(),
                tidegate::brief_duration(wait.p99).c_str(), terminal ? "" : "\n");
    std::fflush(stdout);
  }
  if (terminal) std::printf("\n");
}

int run(const Options& options, const demo::Signals& signals) {
  tidegate::PoolConfig config = tidegate::PoolConfig::parse(options.conninfo);
  config.max_size = options.pool;
  config.min_size = std::min(config.min_size, config.max_size);
  config.name = "demo";
  tidegate::Pool pool(config);
  demo::create_schema(pool, 10s, signals.stop());

  std::printf("%u workers share %u connections for %u s; Ctrl-C ends it at any moment\n",
              options.threads, options.pool, options.seconds);
  demo::Tally tally;
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < options.threads; ++i) {
    workers.emplace_back([&pool, &tally, i] { demo::work(pool, i + 1, tally); });
  }
  show_status(pool, tally, std::chrono::seconds(options.seconds), signals.stop());

  // The workers are in the middle of things: they end what they have begun, and begin no more.
  const tidegate::CloseReport report =
      pool.close({.reason = signals.stop().stop_requested() ? "signal" : "the time is over"});
  workers.clear();
  std::printf("%s\n", to_string(report).c_str());

  // The pool is closed; another one looks what has arrived.
  config.name = "audit";
  config.max_size = 1;
  config.min_size = config.min_idle = 0;
  tidegate::Pool audit(config);
  const std::uint64_t lost = demo::count_lost(audit, tally);
  demo::drop_schema(audit);
  audit.close();

  const std::uint64_t failed = tally.failed.load();
  std::printf("queries %llu, orders %llu\n", static_cast<unsigned long long>(tally.queries.load()),
              static_cast<unsigned long long>(tally.acknowledged.load()));
  std::printf("drained in %s\n", tidegate::brief_duration(report.drain).c_str());
  std::printf("failed %llu\n", static_cast<unsigned long long>(failed));
  std::printf("lost %llu\n", static_cast<unsigned long long>(lost));
  const bool drained = report.outcome == tidegate::CloseReport::Outcome::drained;
  return failed == 0 && lost == 0 && drained ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const demo::Signals signals;
  Options options;
  CLI::App app{"Orders through a tidegate pool, with a graceful end at any moment."};
  app.add_option("--seconds", options.seconds, "how long (10)")->check(CLI::Range(1, 999'999));
  app.add_option("--threads", options.threads, "worker threads (16)")->check(CLI::Range(1, 4096));
  app.add_option("--pool", options.pool, "connections (4)")->check(CLI::Range(1, 65'535));
  app.add_option("--conninfo", options.conninfo, "server; default: PG* environment");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return run(options, signals);
  } catch (const tidegate::AcquireCanceled&) {
    std::printf("stopped before the first query\nfailed 0\nlost 0\n");
    return 0;
  } catch (const tidegate::Error& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "demo: %s\n", text.substr(0, text.find('\n')).c_str());
    return 1;
  }
}
