// What do 16 threads get from 4 resources? (M7: throughput and the tail of the wait at once.)
//
// Each thread acquires, holds and releases for a fixed time. `none`: no hold. `sleep`: the holder
// sleeps, as one does who waits for a server. `busy`: the holder computes. The wait is the time
// that acquire took; where nobody holds, only every 64th is timed, since reading the clock takes
// longer.
//
// jain      Jain's fairness index over acquires per thread: 1 = all had as many
// least     what the thread with the fewest had, as a share of the mean
// hold_us   what a hold really took
// bounded   the longest wait, as a share of 4 x (threads / slots x hold) + 1 ms
// switches  how often a thread gave its core up, or lost it, per acquire
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/options.hpp"
#include "support/peers.hpp"
#include "support/stage.hpp"
#include "support/wait_histogram.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kSlots = 4;
constexpr int kThreads = 16;

enum class Hold { none, sleep, busy };

void hold_for(Hold hold, std::chrono::microseconds how_long) {
  if (hold == Hold::sleep) std::this_thread::sleep_for(how_long);
  if (hold == Hold::busy) {
    for (const auto end = Clock::now() + how_long; Clock::now() < end;) {
    }
  }
}

std::int64_t context_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

struct alignas(64) Worker {
  std::uint64_t acquired = 0;
  Clock::duration held{};
  WaitHistogram waits;
};

template <Peer P>
void work(P& pool, Worker& worker, Hold hold, std::chrono::microseconds how_long,
          const std::atomic<bool>& stop) {
  const std::uint64_t timed_every = hold == Hold::none ? 64 : 1;
  while (!stop.load(std::memory_order_relaxed)) {
    const bool timed = worker.acquired++ % timed_every == 0;
    const auto asked = timed ? Clock::now() : Clock::time_point{};
    auto handle = pool.acquire();
    const auto got = timed ? Clock::now() : Clock::time_point{};
    P::touch(handle);
    if (timed) worker.waits.add(static_cast<std::uint64_t>((got - asked).count()));
    if (hold != Hold::none) {
      hold_for(hold, how_long);
      worker.held += Clock::now() - got;
    }
  }
}

void report(benchmark::State& state, const std::vector<Worker>& workers, Clock::duration took,
            std::int64_t switches) {
  WaitHistogram waits;
  double sum = 0;
  double squares = 0;
  double least = static_cast<double>(workers.front().acquired);
  std::chrono::duration<double, std::micro> held{};
  for (const Worker& worker : workers) {
    const auto acquired = static_cast<double>(worker.acquired);
    waits.add(worker.waits);
    held += worker.held;
    sum += acquired;
    squares += acquired * acquired;
    least = std::min(least, acquired);
  }
  const auto threads = static_cast<double>(workers.size());
  const auto wait_us = [&](double percent) {
    return static_cast<double>(waits.percentile(percent)) / 1e3;
  };
  state.counters["items_per_second"] = sum / std::chrono::duration<double>(took).count();
  state.counters["wait_p50_us"] = wait_us(50);
  state.counters["wait_p99_us"] = wait_us(99);
  state.counters["wait_p999_us"] = wait_us(99.9);
  state.counters["wait_max_us"] = static_cast<double>(waits.max()) / 1e3;
  state.counters["switches"] = static_cast<double>(switches) / sum;
  const double hold_us = held.count() / sum;
  state.counters["hold_us"] = hold_us;
  if (hold_us > 0) {
    const double ideal_us = threads / kSlots * hold_us;
    state.counters["bounded"] = static_cast<double>(waits.max()) / 1e3 / (4 * ideal_us + 1000);
  }
  state.counters["jain"] = sum * sum / (threads * squares);
  state.counters["least"] = least * threads / sum;
}

template <Peer P, Hold kHold, int kTimes>
void exhausted(benchmark::State& state) {
  const auto max_size = static_cast<std::uint32_t>(state.range(0));
  const std::chrono::microseconds how_long(state.range(1));
  P& pool = Stage::get<P>();
  std::vector<typename P::Handle> held;  // all but kSlots
  held.reserve(max_size);
  while (held.size() + kSlots < max_size) held.push_back(pool.acquire());

  for (auto _ : state) {
    std::vector<Worker> workers(kThreads);
    std::atomic<bool> stop{false};
    std::barrier start(kThreads + 1);
    std::vector<std::thread> threads;
    for (Worker& worker : workers) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        work(pool, worker, kHold, how_long, stop);
      });
    }
    start.arrive_and_wait();
    const auto began = Clock::now();
    const std::int64_t switches = context_switches();
    std::this_thread::sleep_for(options.fixed_time * kTimes);
    stop.store(true, std::memory_order_relaxed);
    for (std::thread& thread : threads) thread.join();
    report(state, workers, Clock::now() - began, context_switches() - switches);
  }
}

template <Peer P, Hold kHold, int kTimes = 1>
void add(const char* how, std::initializer_list<std::int64_t> holds_us, std::int64_t max_size) {
  auto* rows =
      benchmark::RegisterBenchmark((std::string("exhausted_") + how + '/' + P::kName).c_str(),
                                   exhausted<P, kHold, kTimes>)
          ->Setup([](const benchmark::State& state) {
            Stage::set<P>({.max_size = static_cast<std::uint32_t>(state.range(0))});
          })
          ->ArgNames({"max", "hold_us"})
          ->Iterations(1)
          ->UseRealTime();
  for (const std::int64_t hold_us : holds_us) rows->Args({max_size, hold_us});
}

}  // namespace

void add_exhausted_rows() {
  for_each_peer([]<Peer P>() {
    add<P, Hold::none>("none", {0}, kSlots);
    add<P, Hold::sleep>("sleep", {30, 100, 500}, kSlots);
    add<P, Hold::busy>("busy", {50}, kSlots);
  });
  // Longer: a thread that is left behind is one that is behind for seconds.
  const auto add_fair = []<Peer P>() {
    add<P, Hold::none, 5>("fair_none", {0}, kSlots);
    add<P, Hold::sleep, 5>("fair_sleep", {100}, kSlots);
  };
  add_fair.operator()<CorePeer>();
  if (!PoolPeer::missing()) add_fair.operator()<PoolPeer>();
  // The exact scan passes all slots: what does that cost when nearly all are held?
  add<CorePeer, Hold::none>("none", {0}, 4096);
  add<CorePeer, Hold::sleep>("sleep", {500}, 4096);
}

}  // namespace bench
