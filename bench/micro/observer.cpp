// What does an observer cost, one that does nothing with what it is told? (M9)
//
// Acquire and release on real connections, one thread. Statistics and lease records are always on,
// and in all rows. `on` is told of everything, also of each lease; `on_but_leases` does not want
// those. The twin without a pool, `calls`: the three calls that `on` makes, and nothing else. There
// is no switch for precise timing: the warm path reads the coarse tick, and no clock.
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

struct AllButLeases final : tidegate::Observer {
  bool wants_leases() const noexcept override { return false; }
};

void observed(benchmark::State& state, std::shared_ptr<tidegate::Observer> observer) {
  tidegate::PoolConfig config = tidegate::PoolConfig::parse("pool_max_conns=4");
  config.observer = std::move(observer);
  tidegate::Pool pool(std::move(config));
  pool.acquire();
  WallClock::run(state, [&pool](std::int64_t n) {
    for (; n > 0; --n) {
      tidegate::Lease lease = pool.acquire();
      PoolPeer::touch(lease);
    }
  });
}

void calls_alone(benchmark::State& state) {
  const auto observer = std::make_shared<tidegate::Observer>();
  WallClock::run(state, [&observer](std::int64_t n) {
    const auto where = tidegate::Location::current();
    for (; n > 0; --n) {
      tidegate::Observer* told = observer.get();
      benchmark::DoNotOptimize(told);  // of whatever type it is
      told->acquire_started(where);
      told->acquire_ended({.where = where});
      told->released({.acquired = where, .backend_pid = 1});
    }
  });
}

}  // namespace

void add_observer_rows() {
  if (PoolPeer::missing()) return;
  benchmark::RegisterBenchmark("observer/off", [](benchmark::State& state) {
    observed(state, nullptr);
  })->UseRealTime();
  benchmark::RegisterBenchmark("observer/on", [](benchmark::State& state) {
    observed(state, std::make_shared<tidegate::Observer>());
  })->UseRealTime();
  benchmark::RegisterBenchmark("observer/on_but_leases", [](benchmark::State& state) {
    observed(state, std::make_shared<AllButLeases>());
  })->UseRealTime();
  benchmark::RegisterBenchmark("observer/calls", calls_alone)->UseRealTime();
}

}  // namespace bench
