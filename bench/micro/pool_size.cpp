// Does a lease cost more in a big pool, or in one of which little exists? (M6: no, within 15 %.)
//
// `one`: a lease at a time, which finds the slot docked. `two`: a second lease while the first is
// held, so that every other one goes through the idle queue; per pair.
//
// A shared core is slower by a third for seconds at a time, whatever runs on it: rows that are
// measured one after another tell of such phases and not of sizes. So each pool takes turns, every
// millisecond or so, with the smallest one; `in_smallest` is what it took in what that one took, in
// the median of all turns. The row of the smallest is the control: it takes turns with its like.
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/core_peer.hpp"
#include "support/percentile.hpp"

namespace bench {
namespace {

using P = CorePeer;
using Clock = std::chrono::steady_clock;

constexpr int kTurn = 20'000;  // operations

void one_lease(P& pool) {
  auto handle = pool.acquire();
  P::touch(handle);
}

void two_leases(P& pool) {
  auto first = pool.acquire();
  auto second = pool.acquire();
  P::touch(first);
  P::touch(second);
}

// Seconds of one turn.
template <void (*Operation)(P&)>
double take_turn(P& pool) {
  const auto start = Clock::now();
  for (int i = 0; i < kTurn; ++i) Operation(pool);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <void (*Operation)(P&)>
void beside_the_smallest(benchmark::State& state, const PoolShape& shape,
                         const PoolShape& smallest_shape) {
  P pool(shape);
  P smallest(smallest_shape);
  std::vector<double> ratios;
  double total = 0;
  for (auto turn : state) {
    const double own = take_turn<Operation>(pool);
    ratios.push_back(own / take_turn<Operation>(smallest));
    total += own;
    state.SetIterationTime(own);
  }
  state.counters["items_per_second"] = static_cast<double>(ratios.size()) * kTurn / total;
  state.counters["in_smallest"] = median(std::move(ratios));
}

template <void (*Operation)(P&)>
void add(const std::string& name, std::uint32_t fewest) {
  const PoolShape smallest{.max_size = 4, .made = fewest};
  for (const std::uint32_t max : {4u, 64u, 512u, 4096u}) {
    for (const std::uint32_t idle : {fewest, max}) {
      benchmark::RegisterBenchmark(
          (name + "/max:" + std::to_string(max) + "/idle:" + std::to_string(idle)).c_str(),
          beside_the_smallest<Operation>, PoolShape{.max_size = max, .made = idle}, smallest)
          ->UseManualTime();
    }
  }
}

}  // namespace

void add_pool_size_rows() {
  add<one_lease>("pool_size/core_one", 1);
  add<two_leases>("pool_size/core_two", 2);
}

}  // namespace bench
