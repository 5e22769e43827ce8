// Load on something that gives an answer: closed loop for throughput, open loop for latency.
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "support/wait_histogram.hpp"

namespace bench {

struct Load {
  double per_second = 0;
  WaitHistogram took;   // nanoseconds, of each request
  double switches = 0;  // how often a thread of this process gave up its core, for each request
};

// Of all threads of the process so far.
inline std::int64_t switches_so_far() noexcept {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

// Runs body(client) on that many threads and adds up what they give. Throws what it throws.
template <class Body>
Load run_clients(int clients, Body&& body) {
  std::barrier start(clients + 1);
  std::vector<std::future<std::unique_ptr<WaitHistogram>>> running;
  for (int client = 0; client < clients; ++client) {
    running.push_back(std::async(std::launch::async, [&start, &body, client] {
      start.arrive_and_wait();
      auto took = std::make_unique<WaitHistogram>();
      body(client, *took);
      return took;
    }));
  }
  const auto began = std::chrono::steady_clock::now();
  const std::int64_t switches = switches_so_far();
  start.arrive_and_wait();
  Load load;
  for (auto& client : running) load.took.add(*client.get());
  const std::chrono::duration<double> length = std::chrono::steady_clock::now() - began;
  const auto requests = static_cast<double>(load.took.count());
  load.per_second = requests / length.count();
  load.switches = static_cast<double>(switches_so_far() - switches) / requests;
  return load;
}

// Each client asks again as soon as it has its answer, for that long: what a pool can carry. It
// says little about latency, because a stall delays only those who had asked already.
template <class Request>
Load closed_loop(int clients, std::chrono::duration<double> length, Request&& request) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + length;
  return run_clients(clients, [&](int client, WaitHistogram& took) {
    for (auto asked = Clock::now(); asked < end;) {
      request(client);
      const auto answered = Clock::now();
      took.add(static_cast<std::uint64_t>((answered - asked).count()));
      asked = answered;
    }
  });
}

// Requests come by a schedule, whether or not the earlier ones have been answered, and each one's
// time counts from when it was due: so a stall is charged to all that it delayed. Whichever client
// is free takes the next. The schedule, Poisson's with a fixed seed, is the same for everybody at
// that rate.
template <class Request>
Load open_loop(int clients, double per_second, std::chrono::duration<double> length,
               Request&& request) {
  using Clock = std::chrono::steady_clock;
  std::mt19937_64 random(1);
  std::exponential_distribution<double> gap(per_second);
  std::vector<Clock::duration> due;
  for (double at = gap(random); at < length.count(); at += gap(random)) {
    due.push_back(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at)));
  }
  std::atomic<std::size_t> next{0};
  const auto began = Clock::now() + std::chrono::milliseconds(5);  // all clients are there
  return run_clients(clients, [&](int client, WaitHistogram& took) {
    for (;;) {
      const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed);
      if (mine >= due.size()) return;
      const auto asked = began + due[mine];
      std::this_thread::sleep_until(asked);
      request(client);
      took.add(static_cast<std::uint64_t>((Clock::now() - asked).count()));
    }
  });
}

}  // namespace bench
