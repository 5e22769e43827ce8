// What does a look at a pool cost?
//
// stats(), health(), and both forms in which they leave the process, of a pool of 64 and of 1,000.
// No connection is open, so no server is needed: every slot and every gate is read all the same.
// Counters: us, the median time of a look.
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"

namespace bench {
namespace {

template <class Look>
void add(const std::string& name, Look look) {
  for (const std::uint32_t slots : {64u, 1000u}) {
    benchmark::RegisterBenchmark(
        ("look/" + name + "/slots:" + std::to_string(slots)).c_str(),
        [look, slots](benchmark::State& state) {
          const tidegate::Pool pool(tidegate::PoolConfig{.max_size = slots});
          std::vector<double> times;
          for (auto turn : state) {
            const auto start = std::chrono::steady_clock::now();
            benchmark::DoNotOptimize(look(pool));
            const std::chrono::duration<double, std::micro> took =
                std::chrono::steady_clock::now() - start;
            times.push_back(took.count());
          }
          const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
          std::nth_element(times.begin(), middle, times.end());
          state.counters["us"] = *middle;
        })
        ->UseRealTime();
  }
}

}  // namespace

void add_look_rows() {
  add("stats", [](const tidegate::Pool& pool) { return pool.stats(); });
  add("health", [](const tidegate::Pool& pool) { return pool.health(); });
  add("prometheus", [](const tidegate::Pool& pool) { return to_prometheus(pool.stats(), "p"); });
  add("slots", [](const tidegate::Pool& pool) { return pool.slots(); });
}

}  // namespace bench
