// What do 32 and 128 clients get from 8 connections, the server on the same cores? (E4)
//
// `oversubscribed`: each asks again as soon as it has its answer; throughput, and the time of a
// whole request, with the wait. `open_loop`: requests come by a schedule, 0.7 times as many as the
// mutex and the vector answer in a closed loop of as many clients; the time counts from when they
// were due. `window_us` is pool_barge_window: the curve from strict FIFO to windows that outlast a
// request.
#include <tidegate/tidegate.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "e2e/rows.hpp"
#include "support/by_hand_peer.hpp"
#include "support/load.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kConnections = 8;
constexpr double kShareOfCapacity = 0.7;

// Asks the server for a number, through a pool that is warm.
using Ask = std::function<int(int)>;

Ask ask_by_hand() {
  auto peer = std::make_shared<ByHandPeer>(PoolShape{.max_size = kConnections});
  return [peer](int value) { return peer->select(value); };
}

Ask ask_pool(std::int64_t window_us) {
  auto pool =
      std::make_shared<tidegate::Pool>("pool_max_conns=" + std::to_string(kConnections) +
                                       " pool_min_conns=" + std::to_string(kConnections) +
                                       " pool_barge_window=" + std::to_string(window_us) + "us");
  pool->warm_up(std::chrono::seconds(10));
  return [pool](int value) { return pool->query_value<int>("select $1::int4", value); };
}

Load load_closed(const Ask& ask, int clients, std::chrono::duration<double> length) {
  return closed_loop(clients, length,
                     [&ask](int client) { benchmark::DoNotOptimize(ask(client)); });
}

// Measured once for each number of clients, and used for all contenders.
double capacity(int clients) {
  static std::map<int, double> known;
  double& rate = known[clients];
  if (rate == 0) rate = load_closed(ask_by_hand(), clients, options.fixed_time / 2).per_second;
  return rate;
}

void report(benchmark::State& state, const Load& load) {
  state.counters["items_per_second"] = load.per_second;
  for (const auto& [name, percent] :
       {std::pair{"p50_us", 50.0}, std::pair{"p99_us", 99.0}, std::pair{"p999_us", 99.9}}) {
    state.counters[name] = static_cast<double>(load.took.percentile(percent)) / 1e3;
  }
  state.counters["max_us"] = static_cast<double>(load.took.max()) / 1e3;
}

template <class Run>
void add(const char* load, Run run) {
  const auto row = [run](auto make) {
    return [run, make](benchmark::State& state) {
      const auto clients = static_cast<int>(state.range(0));
      const Ask ask = make(state);
      run(ask, clients, options.fixed_time / 4);  // every connection has prepared
      for (auto _ : state) report(state, run(ask, clients, options.fixed_time));
    };
  };
  const std::string name = load;
  benchmark::RegisterBenchmark((name + "/mutex_vector").c_str(),
                               row([](benchmark::State&) { return ask_by_hand(); }))
      ->ArgName("clients")
      ->Arg(32)
      ->Arg(128)
      ->Iterations(1)
      ->UseRealTime();
  benchmark::RegisterBenchmark((name + "/pool").c_str(), row([](benchmark::State& state) {
                                 return ask_pool(state.range(1));
                               }))
      ->ArgNames({"clients", "window_us"})
      ->ArgsProduct({{32, 128}, {0, 50, 200, 1000}})
      ->Iterations(1)
      ->UseRealTime();
}

}  // namespace

void add_oversubscribed_rows() {
  add("oversubscribed", &load_closed);
  add("open_loop", [](const Ask& ask, int clients, std::chrono::duration<double> length) {
    return open_loop(clients, kShareOfCapacity * capacity(clients), length,
                     [&ask](int client) { benchmark::DoNotOptimize(ask(client)); });
  });
}

}  // namespace bench
