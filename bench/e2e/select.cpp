// What does a pool add to one small prepared statement? (E1)
//
// `pool` acquires, runs `select $1::int4` and releases, each time; `raw` is libpq with a connection
// for each thread, which it never gives away. `observed`: the pool's statements are told to a
// QueryObserver that does nothing. Eight connections in both, also for one thread, all
// of them open and prepared before the clock starts. `select_tcp`: not through the Unix socket.
#include <tidegate/tidegate.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "e2e/tcp.hpp"
#include "e2e/warm_pool.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kConnections = 8;

std::unique_ptr<tidegate::Pool> pool;
std::vector<RawConnection> raw;

// Setup runs before every trial of a row, outside its clock.
void make_pool(const benchmark::State&) { pool = warm_pool(kConnections); }
void make_pool_tcp(const benchmark::State&) { pool = warm_pool(kConnections, tcp_conninfo()); }
void make_pool_observed(const benchmark::State&) {
  pool = warm_pool(kConnections, {}, std::make_shared<tidegate::QueryObserver>());
}
void end_pool(const benchmark::State&) { pool.reset(); }

void connect_raw(const std::string& conninfo) {
  for (std::uint32_t i = 0; i < kConnections; ++i) {
    raw.push_back(raw_connect_and_prepare(conninfo));
  }
}
void make_raw(const benchmark::State&) { connect_raw({}); }
void make_raw_tcp(const benchmark::State&) { connect_raw(tcp_conninfo()); }
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

using Step = void (*)(const benchmark::State&);

void add(const std::string& name, void (*row)(benchmark::State&), Step begin, Step end) {
  benchmark::RegisterBenchmark(name.c_str(), row)
      ->Setup(begin)
      ->Teardown(end)
      ->Threads(1)
      ->Threads(8)
      ->UseRealTime();
}

}  // namespace

void add_select_rows() {
  add("select/pool", &select_pool, &make_pool, &end_pool);
  add("select/observed", &select_pool, &make_pool_observed, &end_pool);
  add("select/raw", &select_raw, &make_raw, &end_raw);
  if (tcp_conninfo().empty()) return;
  add("select_tcp/pool", &select_pool, &make_pool_tcp, &end_pool);
  add("select_tcp/raw", &select_raw, &make_raw_tcp, &end_raw);
}

}  // namespace bench
