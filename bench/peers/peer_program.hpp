// The program around one peer: the same rows and the same loop for all of them.
//
// One process per peer, so that one that crashes, hangs or does not build is not the others'
// concern. Peers in other languages do as this one does: --benchmark_out=FILE,
// --benchmark_filter=RE,
// --seconds=S, and exit status 77 after a line "skipped: ..." when they cannot run here.
//
// lease/T_on_N     T threads acquire and release, N connections: no query
// handover         one thread acquires, another one releases
// select/T_on_N    acquire, `select $1::int4` prepared, release, as the peer's users would write it
// select_tcp/...   the same over TCP, for those that can be told so
// raw/T_on_N       the same query, made by the same calls of libpq for everybody that gives its
//                  handle: the pools differ, and nothing above libpq does
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/tcp.hpp"
#include "support/options.hpp"
#include "support/peer.hpp"
#include "support/program.hpp"
#include "support/ring.hpp"

namespace bench {

// A peer whose users can also ask for one number: select(n) gives n, from the server.
template <class P>
concept Selects = requires(P& peer) {
  { peer.select(1) } -> std::same_as<int>;
};

// A peer whose users can have libpq's handle of what they hold.
template <class P>
concept GivesNative = Peer<P> && requires(typename P::Handle& handle) {
  { P::native(handle) } -> std::same_as<PGconn*>;
};

namespace peers {

using Clock = std::chrono::steady_clock;

struct Crowd {
  int threads;
  std::uint32_t pool;
};
inline constexpr Crowd kLeaseRows[] = {{1, 4}, {2, 4}, {16, 8}, {16, 4}};
inline constexpr Crowd kSelectRows[] = {{1, 8}, {8, 8}, {32, 8}};
inline constexpr Crowd kRawRows[] = {{1, 8}, {8, 8}};

// Turns per second of that many threads, each of which takes turns until the time is over. The
// first quarter as much again is not counted. Throws what turn() throws.
template <class Turn>
double rate(int threads, Turn&& turn) {
  std::atomic<bool> stop{false};
  std::atomic<bool> counts{false};
  std::barrier start(threads + 1);
  std::vector<std::future<std::uint64_t>> workers;
  for (int i = 0; i < threads; ++i) {
    workers.push_back(std::async(std::launch::async, [&] {
      start.arrive_and_wait();
      while (!counts.load(std::memory_order_relaxed)) turn();
      std::uint64_t turns = 0;
      for (; !stop.load(std::memory_order_relaxed); ++turns) turn();
      return turns;
    }));
  }
  start.arrive_and_wait();
  std::this_thread::sleep_until(Clock::now() + options.fixed_time / 4);
  const auto began = Clock::now();
  counts.store(true, std::memory_order_relaxed);
  std::this_thread::sleep_until(began + options.fixed_time);
  stop.store(true, std::memory_order_relaxed);
  std::uint64_t turns = 0;
  for (auto& worker : workers) turns += worker.get();
  return static_cast<double>(turns) / std::chrono::duration<double>(Clock::now() - began).count();
}

template <Peer P>
double lease_rate(Crowd crowd) {
  P pool({.max_size = crowd.pool});
  return rate(crowd.threads, [&pool] {
    auto handle = pool.acquire();
    P::touch(handle);
  });
}

template <Peer P>
double handover_rate() {
  P pool({.max_size = kRingPlaces + 4});  // neither side waits for the pool
  Ring<typename P::Handle> ring;
  std::jthread other([&] {
    while (ring.pop()) {
    }
  });
  const struct End {
    Ring<typename P::Handle>& ring;
    ~End() { ring.end(); }
  } end{ring};  // also when a turn throws
  return rate(1, [&] {
    auto handle = pool.acquire();
    P::touch(handle);
    ring.push(std::move(handle));
  });
}

// Each turn asks for another number, and looks at the answer.
template <class Ask>
double ask_rate(int threads, Ask&& ask) {
  std::atomic<int> next{0};
  return rate(threads, [&] {
    thread_local int value = next.fetch_add(1 << 16);
    ++value;
    if (ask(value) != value) throw std::runtime_error("the server gave another number");
  });
}

template <Selects P>
double select_rate(Crowd crowd, const std::string& conninfo) {
  P pool({.max_size = crowd.pool, .conninfo = conninfo});
  return ask_rate(crowd.threads, [&pool](int value) { return pool.select(value); });
}

template <GivesNative P>
double raw_rate(Crowd crowd) {
  constexpr const char* kStatement = "raw";  // "one" is the peer's own
  P pool({.max_size = crowd.pool});
  {
    std::vector<typename P::Handle> all;
    for (std::uint32_t i = 0; i < crowd.pool; ++i) all.push_back(pool.acquire());
    for (auto& handle : all) raw_prepare(P::native(handle), kStatement);
  }
  return ask_rate(crowd.threads, [&pool](int value) {
    auto handle = pool.acquire();
    return raw_select(P::native(handle), value, kStatement);
  });
}

template <class Measure>
void add_row(const std::string& name, Measure measure) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [measure](benchmark::State& state) {
                                 try {
                                   double result = 0;
                                   for (auto _ : state) result = measure();
                                   state.counters["items_per_second"] = result;
                                 } catch (const std::exception& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->Iterations(1)
      ->UseRealTime();
}

inline std::string on(Crowd crowd) {
  return std::to_string(crowd.threads) + "_on_" + std::to_string(crowd.pool);
}

template <class P>
void add_rows() {
  const std::string name = P::kName;
  if constexpr (Peer<P>) {
    for (const Crowd crowd : kLeaseRows) {
      add_row("lease/" + on(crowd) + '/' + name, [crowd] { return lease_rate<P>(crowd); });
    }
    add_row("handover/" + name, [] { return handover_rate<P>(); });
  }
  if constexpr (Selects<P>) {
    for (const Crowd crowd : kSelectRows) {
      add_row("select/" + on(crowd) + '/' + name, [crowd] { return select_rate<P>(crowd, {}); });
    }
  }
  if constexpr (requires { P::kTakesConninfo; }) {
    for (const Crowd crowd : kSelectRows) {
      if (tcp_conninfo().empty()) break;
      add_row("select_tcp/" + on(crowd) + '/' + name,
              [crowd] { return select_rate<P>(crowd, tcp_conninfo()); });
    }
  }
  if constexpr (GivesNative<P>) {
    for (const Crowd crowd : kRawRows) {
      add_row("raw/" + on(crowd) + '/' + name, [crowd] { return raw_rate<P>(crowd); });
    }
  }
}

}  // namespace peers

// The main() of a peer's program.
template <class P>
int run_peer(int argc, char** argv) {
  constexpr int kCannotRun = 77;
  if (const auto why = P::missing()) {
    std::fprintf(stderr, "skipped: %s: %s\n", P::kName, why->c_str());
    return kCannotRun;
  }
  return run_program(argc, argv, &peers::add_rows<P>);
}

}  // namespace bench
