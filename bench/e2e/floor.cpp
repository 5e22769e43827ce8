// How soon has a pool what it is to have, and how soon an answer when what it had is silent?
//
// floor/conns:N    a new pool with min_idle_conns = N, until N are idle, beside warm_up() of such a
//                  pool, in turns: `ratio` is of the medians
// silent/dead:N    all N connections are idle, and the server's processes behind them are stopped,
//                  as if the network had forgotten them: `ratio` is the time of the first
//                  `select 1`, in ping_timeouts. The server has to be ours to stop.
#include <tidegate/tidegate.hpp>

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/rows.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr int kTurns = 20;
constexpr auto kPatience = 60s;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Milliseconds; below zero: it never came.
double until_idle(tidegate::Pool& pool, std::uint32_t count, Clock::time_point began) {
  while (pool.stats().idle < count) {
    if (Clock::now() - began > kPatience) return -1;
    std::this_thread::sleep_for(50us);
  }
  return Milliseconds(Clock::now() - began).count();
}

void floor(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  std::vector<double> by_itself;
  std::vector<double> by_warm_up;
  for (auto _ : state) {
    for (int turn = 0; turn < kTurns; ++turn) {
      auto began = Clock::now();
      {
        tidegate::Pool pool({.max_size = count, .min_idle = count});
        by_itself.push_back(until_idle(pool, count, began));
        if (by_itself.back() < 0) return state.SkipWithError("the floor was never reached");
      }
      began = Clock::now();
      tidegate::Pool pool({.max_size = count, .min_idle = count});
      if (!pool.warm_up(kPatience)) return state.SkipWithError("warm_up() was in vain");
      by_warm_up.push_back(Milliseconds(Clock::now() - began).count());
    }
  }
  state.counters["floor_ms"] = median(by_itself);
  state.counters["warm_up_ms"] = median(by_warm_up);
  state.counters["ratio"] = median(by_itself) / median(by_warm_up);
}

void silent(benchmark::State& state) {
  constexpr auto kPingTimeout = 1s;
  const auto count = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    tidegate::Pool pool({.max_size = count, .ping_after = 1ms, .ping_timeout = kPingTimeout});
    std::vector<pid_t> stopped;
    {
      std::vector<tidegate::Lease> leases;
      for (std::uint32_t i = 0; i < count; ++i) leases.push_back(pool.acquire());
      for (tidegate::Lease& lease : leases) stopped.push_back(lease->backend_pid());
    }
    std::this_thread::sleep_for(50ms);  // idle for longer than ping_after
    for (const pid_t pid : stopped) {
      if (::kill(pid, SIGSTOP) != 0) state.SkipWithError("the server is not ours to stop");
    }
    const auto began = Clock::now();
    benchmark::DoNotOptimize(pool.query_value<int>("select 1"));
    const Milliseconds took = Clock::now() - began;
    for (const pid_t pid : stopped) ::kill(pid, SIGCONT);
    state.counters["ratio"] = took / kPingTimeout;
  }
}

}  // namespace

void add_floor_rows() {
  const auto add = [](const char* name, void (*row)(benchmark::State&), const char* argument) {
    return benchmark::RegisterBenchmark(name, row)
        ->ArgName(argument)
        ->Iterations(1)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("floor", &floor, "conns")->Arg(8);
  add("silent", &silent, "dead")->Arg(1)->Arg(8)->Arg(16);
}

}  // namespace bench
