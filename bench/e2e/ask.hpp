// Ask: one question to the server through a warm pool, and what many who ask get.
#pragma once

#include <tidegate/tidegate.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "support/by_hand_peer.hpp"
#include "support/load.hpp"

namespace bench {

// Asks the server for a number, and gives it.
using Ask = std::function<int(int)>;

inline Ask ask_by_hand(std::uint32_t connections) {
  auto peer = std::make_shared<ByHandPeer>(PoolShape{.max_size = connections});
  return [peer](int value) { return peer->select(value); };
}

// Through a pool of that many connections, of which `open` are open. `extra`: more words for the
// connection string.
inline Ask ask_pool(std::uint32_t connections, std::uint32_t open, const std::string& extra = {}) {
  auto pool =
      std::make_shared<tidegate::Pool>("pool_max_conns=" + std::to_string(connections) +
                                       " pool_min_conns=" + std::to_string(open) + ' ' + extra);
  pool->warm_up(std::chrono::seconds(10));
  return [pool](int value) { return pool->query_value<int>("select $1::int4", value); };
}

inline void report(benchmark::State& state, const Load& load) {
  state.counters["items_per_second"] = load.per_second;
  for (const auto& [name, percent] :
       {std::pair{"p50_us", 50.0}, std::pair{"p99_us", 99.0}, std::pair{"p999_us", 99.9}}) {
    state.counters[name] = static_cast<double>(load.took.percentile(percent)) / 1e3;
  }
  state.counters["switches"] = load.switches;
  state.counters["max_us"] = static_cast<double>(load.took.max()) / 1e3;
}

}  // namespace bench
