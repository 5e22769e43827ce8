// Each connect takes 50 ms: when do those who wait for one get it?
//
// Eight threads come to a pool of eight that has nothing open, and each holds what it gets until
// all have one. `raw`: each connects by hand, and all at once; the pool has at most four connects
// under way (pool_max_connecting), so it needs two turns of 50 ms.
//
// first_ms        until the first has an answer
// all_ms          until all have one
// beyond_ideal_ms of that, what is more than the turns take
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kThreads = 8;
constexpr auto kConnect = std::chrono::milliseconds(50);

void slow_down() { std::this_thread::sleep_for(kConnect); }

// `get(i)` gives what answers, which everybody keeps until all have one.
template <class Get>
void run(benchmark::State& state, int turns, Get&& get) {
  std::barrier together(kThreads + 1);
  std::barrier served(kThreads);
  std::vector<std::future<Clock::time_point>> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(std::async(std::launch::async, [&] {
      together.arrive_and_wait();
      const auto held = get();
      const auto answered = Clock::now();
      served.arrive_and_wait();
      return answered;
    }));
  }
  const auto began = Clock::now();
  together.arrive_and_wait();
  std::vector<double> took;
  for (auto& thread : threads) {
    took.push_back(std::chrono::duration<double, std::milli>(thread.get() - began).count());
  }
  std::sort(took.begin(), took.end());
  state.SetIterationTime(took.back() / 1e3);
  state.counters["first_ms"] = took.front();
  state.counters["all_ms"] = took.back();
  state.counters["beyond_ideal_ms"] =
      took.back() - std::chrono::duration<double, std::milli>(turns * kConnect).count();
}

void slow_connect_pool(benchmark::State& state) {
  for (auto _ : state) {
    auto config = tidegate::PoolConfig::parse("pool_max_conns=" + std::to_string(kThreads));
    config.hooks.before_connect = [](tidegate::ConnectParams&) { slow_down(); };
    tidegate::Pool pool(config);
    run(state, kThreads / static_cast<int>(config.max_connecting), [&pool] {
      tidegate::Lease lease = pool.acquire();
      benchmark::DoNotOptimize(lease->query_value<int>("select $1::int4", 1));
      return lease;
    });
  }
}

void slow_connect_raw(benchmark::State& state) {
  for (auto _ : state) {
    run(state, 1, [] {
      slow_down();
      RawConnection connection = raw_connect_and_prepare();
      benchmark::DoNotOptimize(raw_select(connection.get(), 1));
      return connection;
    });
  }
}

}  // namespace

void add_slow_connect_rows() {
  for (const auto& [name, row] : {std::pair{"slow_connect/pool", &slow_connect_pool},
                                  std::pair{"slow_connect/raw", &slow_connect_raw}}) {
    benchmark::RegisterBenchmark(name, row)->Iterations(3)->UseManualTime();
  }
}

}  // namespace bench
