// How soon does close take hold, and how soon does it end? (M10)
//
// Each iteration closes a pool of its own, on real connections. The times are the counters, in
// milliseconds or shares; what Google Benchmark prints as the time is that of the question asked.
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include <tidegate/core/parker.hpp>
#include <tidegate/tidegate.hpp>

#include "micro/rows.hpp"
#include "support/percentile.hpp"
#include "support/pool_peer.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Returns when the thread that has stored its id there sleeps, as it does for a long lease.
void await_asleep(const std::atomic<pid_t>& thread) {
  for (;;) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread.load()) + "/stat");
    std::string stat;
    std::getline(file, stat);
    const std::size_t name_ends = stat.rfind(')');  // the state follows the name (proc(5))
    if (name_ends != std::string::npos && stat.compare(name_ends, 3, ") S") == 0) return;
    std::this_thread::yield();
  }
}

constexpr int kWaiters = 1000;

// When the last of many threads was told, and a place for them to sleep afterwards: threads that
// end or spin would take the processor from those which are still to be told.
class Told {
 public:
  Told() { ::pthread_barrier_init(&all_, nullptr, kWaiters); }
  ~Told() { ::pthread_barrier_destroy(&all_); }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;

  void now_and_sleep() {
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep latest = last_.load();
    while (latest < now && !last_.compare_exchange_weak(latest, now)) {
    }
    ::pthread_barrier_wait(&all_);
  }
  Clock::time_point last() const { return Clock::time_point(Clock::duration(last_.load())); }

 private:
  std::atomic<Clock::rep> last_{0};
  pthread_barrier_t all_;
};

// From the call of close() to the moment when the last of 1,000 acquires that wait has returned;
// the fence itself is found by a thread that tries all the time.
void fence(benchmark::State& state) {
  double slowest_fence = 0;
  double slowest_told = 0;
  for (auto _ : state) {
    tidegate::Pool pool{"pool_max_conns=64 pool_acquire_timeout=0"};
    std::vector<tidegate::Lease> leases;
    for (int i = 0; i < 64; ++i) leases.push_back(pool.acquire());
    Told told;
    std::vector<std::thread> waiters;
    for (int i = 0; i < kWaiters; ++i) {
      waiters.emplace_back([&] {
        // The first allocation of a thread makes its cache; threads of a service have that.
        benchmark::DoNotOptimize(std::make_unique<char>());
        const auto refused = pool.try_acquire(tidegate::Deadline::never());
        told.now_and_sleep();
      });
    }
    while (pool.stats().waiting < kWaiters) std::this_thread::yield();
    Clock::time_point began;
    tidegate::CloseReport report;
    std::thread closer([&] {
      began = Clock::now();
      report = pool.close({.drain = 60s});
    });
    for (auto& waiter : waiters) waiter.join();
    leases.clear();
    closer.join();
    const auto took = told.last() - began;
    slowest_told = std::max(slowest_told, milliseconds(took));
    state.SetIterationTime(std::chrono::duration<double>(took).count());
  }
  // 64 idle connections: how long until nothing can be acquired any more.
  for (int i = 0; i < 5; ++i) {
    tidegate::Pool pool{"pool_max_conns=64"};
    {
      std::vector<tidegate::Lease> leases;
      for (int n = 0; n < 64; ++n) leases.push_back(pool.acquire());
    }
    std::atomic<Clock::rep> refused_at{0};
    std::atomic<bool> tries{false};
    std::thread acquirer([&] {
      while (pool.try_acquire()) tries = true;
      refused_at = Clock::now().time_since_epoch().count();
    });
    while (!tries) std::this_thread::yield();
    const auto began = Clock::now();
    pool.close();
    acquirer.join();
    slowest_fence = std::max(
        slowest_fence, milliseconds(Clock::time_point(Clock::duration(refused_at.load())) - began));
  }
  state.counters["fence_ms"] = slowest_fence;
  state.counters["told_ms"] = slowest_told;
}

// The floor of that: 1,000 threads that sleep are woken one after the other, without a pool.
void wake_all_alone(benchmark::State& state) {
  double slowest = 0;
  for (auto _ : state) {
    Told told;
    std::atomic<int> asleep{0};
    std::vector<tidegate::core::FutexParker> parkers(kWaiters);
    std::vector<std::thread> sleepers;
    for (auto& parker : parkers) {
      sleepers.emplace_back([&] {
        ++asleep;
        parker.park(tidegate::Deadline::never());
        told.now_and_sleep();
      });
    }
    while (asleep < kWaiters) std::this_thread::yield();
    Clock::time_point began;
    std::thread waker([&] {
      began = Clock::now();
      for (auto& parker : parkers) {
        parker.decide(1);
        parker.wake();
      }
    });
    for (auto& sleeper : sleepers) sleeper.join();
    waker.join();
    const auto took = told.last() - began;
    slowest = std::max(slowest, milliseconds(took));
    state.SetIterationTime(std::chrono::duration<double>(took).count());
  }
  state.counters["told_ms"] = slowest;
}

// From the release of the last lease, with close() asleep, to its return.
void last_release(benchmark::State& state) {
  std::vector<double> all;
  for (auto _ : state) {
    tidegate::Pool pool{"pool_max_conns=1"};
    tidegate::Lease lease = pool.acquire();
    Clock::time_point returned;
    std::atomic<pid_t> closer_id{0};
    std::thread closer([&] {
      closer_id = ::gettid();
      pool.close({.drain = 60s});
      returned = Clock::now();
    });
    while (!pool.closed()) std::this_thread::yield();
    await_asleep(closer_id);
    const auto released = Clock::now();
    lease.release();
    closer.join();
    all.push_back(milliseconds(returned - released));
    state.SetIterationTime(std::chrono::duration<double>(returned - released).count());
  }
  state.counters["p50_ms"] = percentile(all, 0.5);
  state.counters["p99_ms"] = percentile(all, 0.99);
}

// The floor of that: to wake one thread that sleeps, without a pool, and what it does then.
template <class Then>
void wake_one(benchmark::State& state, Then&& then) {
  std::vector<double> all;
  for (auto _ : state) {
    auto act = then();
    std::mutex mutex;
    std::condition_variable changed;
    bool released = false;
    Clock::time_point done;
    std::atomic<pid_t> sleeper_id{0};
    std::thread sleeper([&] {
      sleeper_id = ::gettid();
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return released; });
      }
      act();
      done = Clock::now();
    });
    await_asleep(sleeper_id);
    const auto began = Clock::now();
    {
      std::lock_guard lock(mutex);
      released = true;
    }
    changed.notify_all();
    sleeper.join();
    all.push_back(milliseconds(done - began));
    state.SetIterationTime(std::chrono::duration<double>(done - began).count());
  }
  state.counters["p50_ms"] = percentile(all, 0.5);
  state.counters["p99_ms"] = percentile(all, 0.99);
}

void wake_alone(benchmark::State& state) {
  wake_one(state, [] { return [] {}; });
}

// It ends a connection: the server process that goes then wants a processor, too.
void wake_and_disconnect(benchmark::State& state) {
  wake_one(state, [] {
    tidegate::Pool pool{"pool_max_conns=1"};
    auto connection =
        std::make_shared<std::optional<tidegate::Connection>>(pool.acquire().hijack());
    return [connection] { connection->reset(); };
  });
}

// What the process burns while close() waits for a long lease.
void waiting(benchmark::State& state) {
  const auto burned = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  };
  for (auto _ : state) {
    tidegate::Pool pool{"pool_max_conns=1"};
    tidegate::Lease lease = pool.acquire();
    const auto began = Clock::now();
    const double before = burned();
    std::thread closer([&] { pool.close({.drain = 1s, .cancel = 0ms, .force = 0ms}); });
    closer.join();
    const double took = std::chrono::duration<double>(Clock::now() - began).count();
    state.counters["core_share"] = (burned() - before) / took;
    state.SetIterationTime(took);
  }
}

}  // namespace

void add_close_rows() {
  if (PoolPeer::missing()) return;
  benchmark::RegisterBenchmark("close/fence", fence)->Iterations(5)->UseManualTime();
  benchmark::RegisterBenchmark("close/wake_all_alone", wake_all_alone)
      ->Iterations(5)
      ->UseManualTime();
  benchmark::RegisterBenchmark("close/last_release", last_release)
      ->Iterations(200)
      ->UseManualTime();
  benchmark::RegisterBenchmark("close/wake_alone", wake_alone)->Iterations(200)->UseManualTime();
  benchmark::RegisterBenchmark("close/wake_and_disconnect", wake_and_disconnect)
      ->Iterations(200)
      ->UseManualTime();
  benchmark::RegisterBenchmark("close/waiting", waiting)->Iterations(1)->UseManualTime();
}

}  // namespace bench
