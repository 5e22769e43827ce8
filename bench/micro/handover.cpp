// What does a lease cost that one thread acquires and another one releases? (M8: 1.2 times the
// throughput of a mutex and of SOCI.)
//
// Two threads go in step: in each step one of them acquires a lease, and the other one releases the
// oldest; neither begins the next step before the other has ended this one. So as many leases are
// in flight as the row says, and no side runs ahead: what a pool is asked does not depend on who
// was faster. `step` is the step alone. The pool has more resources than that, so neither side
// waits for it.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/peers.hpp"
#include "support/stage.hpp"

namespace bench {
namespace {

constexpr std::int64_t kInFlight[] = {1, 4, 16};

// Steps that a side has ended, on a line of its own.
class alignas(64) Side {
 public:
  void end_step() noexcept { ended_.store(++steps_, std::memory_order_release); }
  // The other side's part: returns when this one has ended `steps` of them, or false if `stop`.
  bool await(std::uint64_t steps, const std::atomic<bool>& stop) const noexcept {
    for (int looks = 0; ended_.load(std::memory_order_acquire) < steps; ++looks) {
      if (stop.load(std::memory_order_relaxed)) return false;
      if (looks > 1000) std::this_thread::yield();  // the other one has lost its core
    }
    return true;
  }

 private:
  std::uint64_t steps_ = 0;
  std::atomic<std::uint64_t> ended_{0};
};

// make() gives what travels; the other thread destroys it.
template <class Make>
void travel(benchmark::State& state, Make make) {
  using Thing = decltype(make());
  struct alignas(64) Place {
    std::optional<Thing> thing;
  };
  const auto in_flight = static_cast<std::uint64_t>(state.range(0));
  const std::uint64_t places = in_flight + 1;
  const auto ring = std::make_unique<Place[]>(places);
  for (std::uint64_t i = 0; i < in_flight; ++i) ring[i].thing.emplace(make());

  Side acquirer;
  Side releaser;
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (std::uint64_t step = 0; acquirer.await(step, stop); ++step) {
      ring[step % places].thing.reset();
      releaser.end_step();
    }
  });
  std::uint64_t step = 0;
  for (auto _ : state) {
    ring[(step + in_flight) % places].thing.emplace(make());
    acquirer.end_step();
    releaser.await(++step, stop);
  }
  stop.store(true, std::memory_order_relaxed);
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

void step_alone(benchmark::State& state) {
  travel(state, [] { return 1; });
}

auto* add(const std::string& name, void (*row)(benchmark::State&)) {
  auto* added = benchmark::RegisterBenchmark(("handover/" + name).c_str(), row);
  added->ArgName("in_flight")->UseRealTime();
  for (const std::int64_t in_flight : kInFlight) added->Arg(in_flight);
  return added;
}

}  // namespace

void add_handover_rows() {
  add("step", step_alone);
  for_each_peer([]<Peer P>() {
    add(P::kName, handover<P>)->Setup([](const benchmark::State&) {
      Stage::set<P>({.max_size = 64});
    });
  });
}

}  // namespace bench
