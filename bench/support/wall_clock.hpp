// Wall-clock throughput of a row with several threads.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

#include <benchmark/benchmark.h>

namespace bench {

// Google Benchmark averages what each thread took for its own share, which flatters a pool that
// serves some threads first and lets the others finish alone. Here the clock runs from the first
// thread's start to the last one's end.
class WallClock {
  using Clock = std::chrono::steady_clock;

 public:
  // Runs one thread's whole share: body(n) does n operations.
  template <class Body>
  static void run(benchmark::State& state, Body&& body) {
    const auto n = state.max_iterations;
    while (state.KeepRunningBatch(n)) {
      const auto start = Clock::now();
      body(n);
      add(start, Clock::now(), n);
    }
    // The library has just waited for all threads.
    if (state.thread_index() == 0) publish(state);
  }

 private:
  static void add(Clock::time_point start, Clock::time_point end, std::int64_t operations) {
    std::lock_guard lock(mutex_);
    start_ = operations_ == 0 ? start : std::min(start_, start);
    end_ = operations_ == 0 ? end : std::max(end_, end);
    operations_ += operations;
  }
  static void publish(benchmark::State& state) {
    std::lock_guard lock(mutex_);
    const double seconds = std::chrono::duration<double>(end_ - start_).count();
    state.counters["items_per_second"] = static_cast<double>(operations_) / seconds;
    operations_ = 0;
  }

  static inline std::mutex mutex_;
  static inline Clock::time_point start_;
  static inline Clock::time_point end_;
  static inline std::int64_t operations_ = 0;
};

}  // namespace bench
