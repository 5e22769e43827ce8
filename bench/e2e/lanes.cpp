// What do clients get from 8 connections that they share, a statement at a time? (E8)
//
// `lanes`: each asks again as soon as it has its answer, beside the mutex and the vector, and the
// pool without lanes. `lanes_tcp`: over loopback instead of a Unix socket. `lanes_insert`: each
// stores a row. `lanes_mixed`: the times of fast statements, while one call in a hundred takes 5 ms
// of the server's time, and not of a core's (`slow:1`), or none does.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/ask.hpp"
#include "e2e/rows.hpp"
#include "e2e/tcp.hpp"
#include "e2e/warm_pool.hpp"
#include "support/load.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kConnections = 8;

using Run = std::function<Load(benchmark::State&)>;
using Counts = std::vector<std::int64_t>;

void add(const std::string& name, const Run& run, const std::string& second, Counts clients,
         Counts values) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run](benchmark::State& state) {
                                 for (auto _ : state) report(state, run(state));
                               })
      ->ArgNames({"clients", second})
      ->ArgsProduct({std::move(clients), std::move(values)})
      ->Iterations(1)
      ->UseRealTime();
}

Load load(const Ask& ask, int clients) {
  const auto request = [&ask](int client) { benchmark::DoNotOptimize(ask(client)); };
  closed_loop(clients, options.fixed_time / 4, request);  // every connection has prepared
  return closed_loop(clients, options.fixed_time, request);
}

int clients_of(const benchmark::State& state) { return static_cast<int>(state.range(0)); }
std::string lanes_of(const benchmark::State& state) {
  return "pool_lanes=" + std::to_string(state.range(1)) + ' ';
}

Run by_hand(const std::string& conninfo) {
  return [conninfo](benchmark::State& state) {
    auto peer = std::make_shared<ByHandPeer>(
        PoolShape{.max_size = kConnections, .made = kConnections, .conninfo = conninfo});
    return load([peer](int value) { return peer->select(value); }, clients_of(state));
  };
}
Run selects(const std::string& conninfo) {
  return [conninfo](benchmark::State& state) {
    return load(ask_pool(kConnections, kConnections, lanes_of(state) + conninfo),
                clients_of(state));
  };
}

Load inserts(benchmark::State& state) {
  std::shared_ptr<tidegate::Pool> pool = warm_pool(kConnections, lanes_of(state));
  pool->exec_script("drop table if exists bench_lanes; create unlogged table bench_lanes (i int)");
  const Load stored = load(
      [pool](int value) {
        pool->exec("insert into bench_lanes values ($1)", value);
        return value;
      },
      clients_of(state));
  pool->exec_script("drop table bench_lanes");
  return stored;
}

// With 2 lanes. The second number: whether there are slow ones.
Load mixed(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const std::shared_ptr<tidegate::Pool> pool = warm_pool(kConnections, "pool_lanes=2");
  const bool slow = state.range(1) != 0;
  const auto run = [&](std::chrono::duration<double> length) {
    const auto end = Clock::now() + length;
    return run_clients(clients_of(state), [&](int client, WaitHistogram& took) {
      for (int i = client * 37; Clock::now() < end; ++i) {
        if (slow && i % 100 == 0) pool->exec("select pg_sleep(0.005)");
        const auto asked = Clock::now();
        benchmark::DoNotOptimize(pool->query_value<int>("select $1::int4", i));
        took.add(static_cast<std::uint64_t>((Clock::now() - asked).count()));
      }
    });
  };
  run(options.fixed_time / 4);
  return run(options.fixed_time);
}

}  // namespace

void add_lane_rows() {
  const Counts many{8, 32, 128};
  add("lanes/mutex_vector", by_hand(""), "lanes", many, {0});
  add("lanes/pool", selects(""), "lanes", many, {0, 1, 2, 4, 8});
  add("lanes_tcp/mutex_vector", by_hand(tcp_conninfo()), "lanes", {32}, {0});
  add("lanes_tcp/pool", selects(tcp_conninfo()), "lanes", {32}, {0, 2});
  add("lanes_insert/pool", &inserts, "lanes", {32}, {0, 2});
  add("lanes_mixed/pool", &mixed, "slow", {32}, {0, 1});
}

}  // namespace bench
