// What does an observer cost, one that does nothing with what it is told? (M9)
//
// Acquire and release on real connections, one thread. Statistics and lease records are always on,
// and in both rows. There is no switch for precise timing: the warm path reads the coarse tick, and
// an observer is told durations by the clock, so that price is in `on`.
#include <tidegate/tidegate.hpp>

#include <cstdint>
#include <memory>
#include <utility>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/pool_peer.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

void observed(benchmark::State& state, bool on) {
  tidegate::PoolConfig config = tidegate::PoolConfig::parse("pool_max_conns=4");
  if (on) config.observer = std::make_shared<tidegate::Observer>();
  tidegate::Pool pool(std::move(config));
  pool.acquire();
  WallClock::run(state, [&pool](std::int64_t n) {
    for (; n > 0; --n) {
      tidegate::Lease lease = pool.acquire();
      PoolPeer::touch(lease);
    }
  });
}

}  // namespace

void add_observer_rows() {
  if (PoolPeer::missing()) return;
  benchmark::RegisterBenchmark("observer/off", [](benchmark::State& state) {
    observed(state, false);
  })->UseRealTime();
  benchmark::RegisterBenchmark("observer/on", [](benchmark::State& state) {
    observed(state, true);
  })->UseRealTime();
}

}  // namespace bench
