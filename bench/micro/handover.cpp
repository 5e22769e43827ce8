// What does a lease cost that one thread acquires and another one releases? (M8: no more than with
// any peer.)
//
// The leases travel through a ring for one writer and one reader; `ring` is that ring alone. The
// pool has more resources than the ring has places, so neither side waits for the pool.
#include <string>
#include <thread>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/peers.hpp"
#include "support/ring.hpp"
#include "support/stage.hpp"

namespace bench {
namespace {

// make() gives what travels; the other thread destroys it.
template <class Make>
void travel(benchmark::State& state, Make make) {
  Ring<decltype(make())> ring;
  std::thread other([&] {
    while (ring.pop()) {
    }
  });
  for (auto _ : state) ring.push(make());
  ring.end();
  other.join();
  state.SetItemsProcessed(state.iterations());
}

template <Peer P>
void handover(benchmark::State& state) {
  P& pool = Stage::get<P>();
  travel(state, [&] {
    auto handle = pool.acquire();
    P::touch(handle);
    return handle;
  });
}

void ring_alone(benchmark::State& state) {
  travel(state, [] { return 1; });
}

}  // namespace

void add_handover_rows() {
  benchmark::RegisterBenchmark("handover/ring", ring_alone)->UseRealTime();
  for_each_peer([]<Peer P>() {
    benchmark::RegisterBenchmark((std::string("handover/") + P::kName).c_str(), handover<P>)
        ->Setup([](const benchmark::State&) { Stage::set<P>({.max_size = 64}); })
        ->UseRealTime();
  });
}

}  // namespace bench
