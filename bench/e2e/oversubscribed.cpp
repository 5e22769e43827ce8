// What do 32 and 128 clients get from 8 connections, the server on the same cores? (E4)
//
// `oversubscribed`: each asks again as soon as it has its answer; throughput, and the time of a
// whole request, with the wait. `open_loop`: requests come by a schedule, 0.7 times as many as the
// mutex and the vector answer in a closed loop of as many clients; the time counts from when they
// were due. `window_us` is pool_barge_window: the curve from strict FIFO to windows that outlast a
// request.
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include <benchmark/benchmark.h>

#include "e2e/ask.hpp"
#include "e2e/rows.hpp"
#include "support/load.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kConnections = 8;
constexpr double kShareOfCapacity = 0.7;

Load load_closed(const Ask& ask, int clients, std::chrono::duration<double> length) {
  return closed_loop(clients, length,
                     [&ask](int client) { benchmark::DoNotOptimize(ask(client)); });
}

// Measured once for each number of clients, and used for all contenders.
double capacity(int clients) {
  static std::map<int, double> known;
  double& rate = known[clients];
  if (rate == 0)
    rate = load_closed(ask_by_hand(kConnections), clients, options.fixed_time / 2).per_second;
  return rate;
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
                               row([](benchmark::State&) { return ask_by_hand(kConnections); }))
      ->ArgName("clients")
      ->Arg(32)
      ->Arg(128)
      ->Iterations(1)
      ->UseRealTime();
  benchmark::RegisterBenchmark((name + "/pool").c_str(), row([](benchmark::State& state) {
                                 return ask_pool(
                                     kConnections, kConnections,
                                     "pool_barge_window=" + std::to_string(state.range(1)) + "us");
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
