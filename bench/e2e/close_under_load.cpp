// How long does close take while statements are under way, and what do their users see?
//
// Sixteen threads ask all the time, each statement takes 10 ms on the server, eight are under way
// and eight threads wait. `raw`: eight threads are told to stop, and end their connections.
//
// close_ms   until close has returned, or all threads have: the median
// beyond_ms  the worst of all rounds, less the 10 ms that a statement may still take
// broken     requests that were neither answered nor told that the pool is closed
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kConnections = 8;
constexpr int kRounds = 20;
constexpr double kStatementMs = 10;
constexpr const char* kStatement = "select 1 from pg_sleep(0.01)";

// Waits until each connection has answered twice or so: all are under way.
void await_load(const std::atomic<int>& answers) {
  for (int seen = answers; seen < 2 * kConnections; seen = answers) answers.wait(seen);
}

// Of one round each, in milliseconds.
class Rounds {
 public:
  void add(benchmark::State& state, Clock::duration took) {
    const double ms = std::chrono::duration<double, std::milli>(took).count();
    state.SetIterationTime(ms / 1e3);
    took_.push_back(ms);
  }
  void report(benchmark::State& state) {
    std::sort(took_.begin(), took_.end());
    state.counters["close_ms"] = took_[took_.size() / 2];
    state.counters["beyond_ms"] = took_.back() - kStatementMs;
  }

 private:
  std::vector<double> took_;
};

void close_pool(benchmark::State& state) {
  std::atomic<int> broken{0};
  Rounds rounds;
  for (auto _ : state) {
    const std::string size = std::to_string(kConnections);
    tidegate::Pool pool("pool_max_conns=" + size + " pool_min_conns=" + size);
    pool.warm_up(std::chrono::seconds(10));
    std::atomic<int> answers{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2 * kConnections; ++i) {
      threads.emplace_back([&] {
        try {
          for (;;) {
            pool.query_value<int>(kStatement);
            ++answers;
            answers.notify_one();
          }
        } catch (const tidegate::PoolClosed&) {
          return;
        } catch (const tidegate::Error&) {
          ++broken;
        }
      });
    }
    await_load(answers);
    const auto began = Clock::now();
    pool.close();
    rounds.add(state, Clock::now() - began);
  }
  rounds.report(state);
  state.counters["broken"] = broken.load();
}

void close_raw(benchmark::State& state) {
  Rounds rounds;
  for (auto _ : state) {
    std::vector<RawConnection> connections;
    for (int i = 0; i < kConnections; ++i) connections.push_back(raw_connect());
    std::atomic<int> answers{0};
    std::vector<std::jthread> threads;
    for (RawConnection& connection : connections) {
      threads.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          require(RawResult(PQexec(connection.get(), kStatement)).get(), PGRES_TUPLES_OK);
          ++answers;
          answers.notify_one();
        }
        connection.reset();
      });
    }
    await_load(answers);
    const auto began = Clock::now();
    for (std::jthread& thread : threads) thread.request_stop();
    threads.clear();
    rounds.add(state, Clock::now() - began);
  }
  rounds.report(state);
}

}  // namespace

void add_close_under_load_rows() {
  for (const auto& [name, row] : {std::pair{"close_under_load/pool", &close_pool},
                                  std::pair{"close_under_load/raw", &close_raw}}) {
    benchmark::RegisterBenchmark(name, row)->Iterations(kRounds)->UseManualTime();
  }
}

}  // namespace bench
