// What does a lease cost on a warm pool, for one thread, for one per core, and for many?
//
// Each operation acquires, touches the resource and releases. Beside the pools: two atomic
// read-modify-writes on a word of the thread's own, which no lock-free pool can go below, and two
// on one word that all threads share, below which none can go that keeps one word for all.
//
// `core_gates:G`: with as many gates, whatever the cores; of 64, so that nobody waits.
#include <cstdint>
#include <string>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/core_peer.hpp"
#include "support/peers.hpp"
#include "support/stage.hpp"
#include "support/two_rmw_peer.hpp"
#include "support/wall_clock.hpp"

namespace bench {
namespace {

template <Peer P>
void acquire_release(benchmark::State& state) {
  P& pool = Stage::get<P>();
  WallClock::run(state, [&](std::int64_t n) {
    for (; n > 0; --n) {
      auto handle = pool.acquire();
      P::touch(handle);
    }
  });
}

template <Peer P>
benchmark::internal::Benchmark* add(void (*set_up)(const benchmark::State&),
                                    const std::string& name = P::kName) {
  return benchmark::RegisterBenchmark(("acquire_release/" + name).c_str(), acquire_release<P>)
      ->Setup(set_up)
      ->Threads(1)
      ->Threads(2)
      ->Threads(4)
      ->Threads(16)
      ->UseRealTime();
}

template <Peer P>
void add_floor() {
  add<P>([](const benchmark::State&) { Stage::set<P>({.max_size = 0}); });
}

template <Peer P>
void add_pool() {
  add<P>([](const benchmark::State& state) {
    Stage::set<P>({.max_size = static_cast<std::uint32_t>(state.range(0))});
  })
      ->ArgName("pool")
      ->Arg(4)
      ->Arg(8)
      ->Arg(64);
}

template <std::uint32_t kGates>
void add_gates() {
  add<CorePeer>(
      [](const benchmark::State&) { Stage::set<CorePeer>({.max_size = 64, .gates = kGates}); },
      "core_gates:" + std::to_string(kGates));
}

}  // namespace

void add_acquire_release_rows() {
  add_floor<RmwPeer<false>>();
  add_floor<RmwPeer<true>>();
  for_each_peer([]<Peer P>() { add_pool<P>(); });
  add_gates<1>();
  add_gates<2>();
  add_gates<4>();
  add_gates<8>();
}

}  // namespace bench
