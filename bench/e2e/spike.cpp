// One client becomes 64 at once: how soon does a pool carry them?
//
// For a while one client asks alone; then 64 do, on at most 8 connections. `pool` has one open and
// opens the others meanwhile; `pool_warm` has all, as has `mutex_vector`, which could not open any.
//
// steady_ms  from the jump until the rate has reached, and for three windows of 10 ms kept, 0.8 of
//            what it is in the second half
// p99_us     of all requests from the jump on, with the wait
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/ask.hpp"
#include "e2e/rows.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kConnections = 8;
constexpr int kCrowd = 64;
constexpr auto kWindow = std::chrono::milliseconds(10);
constexpr std::size_t kKept = 3;  // windows

// Answers in each window since the jump.
class Windows {
 public:
  explicit Windows(std::chrono::duration<double> length)
      : answers_(static_cast<std::size_t>(length / kWindow) + kKept) {}

  void jump() {
    std::call_once(once_, [this] { jump_ = Clock::now(); });
  }
  // Needs jump() before, on this thread.
  bool add(Clock::time_point answered) noexcept {
    const auto at = static_cast<std::size_t>((answered - jump_) / kWindow);
    if (at >= answers_.size()) return false;
    answers_[at].fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  double steady_ms() const {
    std::uint64_t later = 0;
    const std::size_t half = answers_.size() / 2;
    for (std::size_t i = half; i < answers_.size(); ++i) later += answers_[i];
    const double enough =
        0.8 * static_cast<double>(later) / static_cast<double>(answers_.size() - half);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      kept = static_cast<double>(answers_[i]) >= enough ? kept + 1 : 0;
      if (kept == kKept) return ms(i + 1 - kKept);
    }
    return ms(answers_.size());
  }

 private:
  static double ms(std::size_t windows) {
    return std::chrono::duration<double, std::milli>(kWindow).count() *
           static_cast<double>(windows);
  }

  std::once_flag once_;
  Clock::time_point jump_;
  std::vector<std::atomic<std::uint32_t>> answers_;
};

void run(benchmark::State& state, const Ask& ask) {
  for (auto _ : state) {
    closed_loop(1, options.fixed_time / 4, [&ask](int) { benchmark::DoNotOptimize(ask(0)); });
    Windows windows(options.fixed_time);
    const Load load = run_clients(kCrowd, [&](int client, WaitHistogram& took) {
      windows.jump();
      auto asked = Clock::now();
      for (bool goes_on = true; goes_on;) {
        benchmark::DoNotOptimize(ask(client));
        const auto answered = Clock::now();
        took.add(static_cast<std::uint64_t>((answered - asked).count()));
        asked = answered;
        goes_on = windows.add(answered);
      }
    });
    report(state, load);
    state.counters["steady_ms"] = windows.steady_ms();
  }
}

void spike_mutex_vector(benchmark::State& state) { run(state, ask_by_hand(kConnections)); }
void spike_pool_warm(benchmark::State& state) { run(state, ask_pool(kConnections, kConnections)); }
void spike_pool(benchmark::State& state) { run(state, ask_pool(kConnections, 1)); }

}  // namespace

void add_spike_rows() {
  for (const auto& [name, row] :
       {std::pair{"spike/mutex_vector", &spike_mutex_vector},
        std::pair{"spike/pool_warm", &spike_pool_warm}, std::pair{"spike/pool", &spike_pool}}) {
    benchmark::RegisterBenchmark(name, row)->Iterations(1)->UseRealTime();
  }
}

}  // namespace bench
