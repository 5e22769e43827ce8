// Shop: the demo's small order schema, and what its workers do with it.
#pragma once

#include <tidegate/tidegate.hpp>

#include <atomic>
#include <cstdint>
#include <stop_token>

#include "latency.hpp"

namespace demo {

// What all workers together have done. Relaxed counts: each is a number of its own.
struct Tally {
  std::atomic<std::uint64_t> queries{0};
  std::atomic<std::uint64_t> failed{0};        // queries and acquires that ended with an error
  std::atomic<std::uint64_t> acknowledged{0};  // orders that the server has confirmed
  Latency waits{};                             // of acquires
};

// Makes the schema tidegate_demo afresh. Throws tidegate::Error.
void create_schema(tidegate::Pool& pool, tidegate::Deadline deadline, const std::stop_token& stop);
void drop_schema(tidegate::Pool& pool);

// One worker: places orders and looks at them until the pool is closed.
void work(tidegate::Pool& pool, unsigned seed, Tally& tally);

// How many of the acknowledged orders the server does not know. It must be 0.
std::uint64_t count_lost(tidegate::Pool& pool, const Tally& tally);

}  // namespace demo
