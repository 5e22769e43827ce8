// What does a lease cost that one thread acquires and another one releases? (M8: no more than with
// any peer.)
//
// The leases travel through a ring for one writer and one reader; `ring` is that ring alone. The
// pool has more resources than the ring has places, so neither side waits for the pool.
#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/peers.hpp"
#include "support/stage.hpp"

namespace bench {
namespace {

template <class T>
class Ring {
 public:
  void push(T&& value) {
    const std::size_t at = written_.load(std::memory_order_relaxed);
    while (at - read_.load(std::memory_order_acquire) == kPlaces) std::this_thread::yield();
    places_[at % kPlaces].value.emplace(std::move(value));
    written_.store(at + 1, std::memory_order_release);
  }
  // Nothing: `ended` was set, and the ring is empty.
  std::optional<T> pop(const std::atomic<bool>& ended) {
    const std::size_t at = read_.load(std::memory_order_relaxed);
    while (written_.load(std::memory_order_acquire) == at) {
      if (ended.load(std::memory_order_acquire) && written_.load(std::memory_order_acquire) == at) {
        return std::nullopt;
      }
      std::this_thread::yield();
    }
    std::optional<T> value = std::move(places_[at % kPlaces].value);
    places_[at % kPlaces].value.reset();
    read_.store(at + 1, std::memory_order_release);
    return value;
  }

 private:
  static constexpr std::size_t kPlaces = 16;
  struct alignas(64) Place {
    std::optional<T> value;
  };
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
  std::array<Place, kPlaces> places_;
};

// make() gives what travels; the other thread destroys it.
template <class Make>
void travel(benchmark::State& state, Make make) {
  Ring<decltype(make())> ring;
  std::atomic<bool> ended{false};
  std::thread other([&] {
    while (ring.pop(ended)) {
    }
  });
  for (auto _ : state) ring.push(make());
  ended.store(true, std::memory_order_release);
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
