// What does a pool add to one small prepared statement? (E1)
//
// `pool` acquires, runs `select $1::int4` and releases, each time; `raw` is libpq with a connection
// for each thread, which it never gives away. Eight connections in both, also for one thread, all
// of them open and prepared before the clock starts.
#include <tidegate/tidegate.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "e2e/warm_pool.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kConnections = 8;

std::unique_ptr<tidegate::Pool> pool;
std::vector<RawConnection> raw;

// Setup runs before every trial of a row, outside its clock.
void make_pool(const benchmark::State&) { pool = warm_pool(kConnections); }
void end_pool(const benchmark::State&) { pool.reset(); }

void make_raw(const benchmark::State&) {
  for (std::uint32_t i = 0; i < kConnections; ++i) raw.push_back(raw_connect_and_prepare());
}
void end_raw(const benchmark::State&) { raw.clear(); }

void select_pool(benchmark::State& state) {
  WallClock::run(state, [](std::int64_t n) {
    for (; n > 0; --n) {
      benchmark::DoNotOptimize(
          pool->query_value<int>("select $1::int4", static_cast<int>(n & 0xffff)));
    }
  });
}

void select_raw(benchmark::State& state) {
  PGconn* const own = raw[static_cast<std::size_t>(state.thread_index())].get();
  WallClock::run(state, [own](std::int64_t n) {
    for (; n > 0; --n) benchmark::DoNotOptimize(raw_select(own, static_cast<int>(n & 0xffff)));
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
    benchmark::RegisterBenchmark("select/raw", &select_raw)
        ->Setup(&make_raw)
        ->Teardown(&end_raw)
        ->Threads(threads)
        ->UseRealTime();
  }
}

}  // namespace bench
