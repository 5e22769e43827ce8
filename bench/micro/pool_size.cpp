// Does a lease cost more in a big pool, or in one of which little exists? (M6: no, within 15 %.)
//
// `one`: a lease at a time, which finds the slot docked. `two`: a second lease while the first is
// held, so that every other one goes through the idle queue; per pair.
#include <algorithm>
#include <string>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/core_peer.hpp"
#include "support/stage.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

using P = CorePeer;

void one_lease(benchmark::State& state) {
  P& pool = Stage::get<P>();
  WallClock::run(state, [&](std::int64_t n) {
    for (; n > 0; --n) {
      auto handle = pool.acquire();
      P::touch(handle);
    }
  });
}

void two_leases(benchmark::State& state) {
  P& pool = Stage::get<P>();
  WallClock::run(state, [&](std::int64_t n) {
    for (; n > 0; --n) {
      auto first = pool.acquire();
      auto second = pool.acquire();
      P::touch(first);
      P::touch(second);
    }
  });
}

void add(const char* name, void (*row)(benchmark::State&), std::int64_t fewest) {
  auto* rows = benchmark::RegisterBenchmark(name, row)
                   ->Setup([](const benchmark::State& state) {
                     Stage::set<P>({.max_size = static_cast<std::uint32_t>(state.range(0)),
                                    .made = static_cast<std::uint32_t>(state.range(1))});
                   })
                   ->ArgNames({"max", "idle"})
                   ->UseRealTime();
  for (const std::int64_t max : {4, 64, 512, 4096}) rows->Args({max, fewest})->Args({max, max});
}

}  // namespace

void add_pool_size_rows() {
  add("pool_size/core_one", one_lease, 1);
  add("pool_size/core_two", two_leases, 2);
}

}  // namespace bench
