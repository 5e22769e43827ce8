// What does a pool add to one small prepared statement? (E1)
//
// `pool` acquires, runs `select $1::int4` and releases, each time; `raw` is libpq with a connection
// for each thread, which it never gives away. As many connections as threads in both.
#include <tidegate/tidegate.hpp>

#include <cstdint>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

std::unique_ptr<tidegate::Pool> pool;

void make_pool(const benchmark::State& state) {
  pool = std::make_unique<tidegate::Pool>("pool_max_conns=" + std::to_string(state.threads()));
}
void end_pool(const benchmark::State&) { pool.reset(); }

void select_pool(benchmark::State& state) {
  pool->query_value<int>("select $1::int4", 0);
  WallClock::run(state, [](std::int64_t n) {
    for (; n > 0; --n) {
      benchmark::DoNotOptimize(
          pool->query_value<int>("select $1::int4", static_cast<int>(n & 0xffff)));
    }
  });
}

void select_raw(benchmark::State& state) {
  const RawConnection connection = raw_connect_and_prepare();
  WallClock::run(state, [&connection](std::int64_t n) {
    for (; n > 0; --n) {
      benchmark::DoNotOptimize(raw_select(connection.get(), static_cast<int>(n & 0xffff)));
    }
  });
}

}  // namespace

void add_select_rows() {
  for (const int threads : {1, 8}) {
    benchmark::RegisterBenchmark("select/pool", &select_pool)
        ->Setup(&make_pool)
        ->Teardown(&end_pool)
        ->Threads(threads)
        ->UseRealTime();
    benchmark::RegisterBenchmark("select/raw", &select_raw)->Threads(threads)->UseRealTime();
  }
}

}  // namespace bench
