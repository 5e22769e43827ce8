// How much memory does a pool take, beside what libpq takes for its connections? (E7)
//
// Bytes from operator new: libpq knows only malloc, and so does the queue, which is told apart.
// Each block counts as what malloc makes of its size, not as what it happened to get: beside an
// aligned block lies a rest that depends on what was freed before. What a slot takes is the
// difference between a big pool and a small one, every resource made in both; what a pool takes
// however small it is, is `fixed`.
#include <malloc.h>
#include <tidegate/core/idle_queue.hpp>
#include <tidegate/core/resource_pool.hpp>
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/rows.hpp"

namespace {

// What malloc gives for a size: a chunk is a multiple of 16 bytes, 8 of them its own, 32 at least.
constexpr std::size_t chunk_for(std::size_t size) noexcept {
  return std::max<std::size_t>((size + 8 + 15) / 16 * 16, 32) - 8;
}

// The table of blocks below must not count itself.
template <class T>
struct FromMalloc {
  using value_type = T;
  FromMalloc() = default;
  template <class U>
  explicit(false) FromMalloc(const FromMalloc<U>&) noexcept {}
  T* allocate(std::size_t n) {
    if (void* memory = std::malloc(n * sizeof(T))) return static_cast<T*>(memory);
    throw std::bad_alloc();
  }
  void deallocate(T* memory, std::size_t) noexcept { std::free(memory); }
  bool operator==(const FromMalloc&) const = default;
};

// The blocks that were taken while it counted and are still in use, of any thread. Off while other
// rows run: they are measured.
class Blocks {
 public:
  void begin() {
    const std::lock_guard lock(mutex_);
    sizes_.clear();
    in_use_ = 0;
    counting_ = true;
  }
  std::int64_t end() {
    const std::lock_guard lock(mutex_);
    counting_ = false;
    return in_use_;
  }
  void taken(void* memory, std::size_t size) {
    if (!counting_) return;
    const std::lock_guard lock(mutex_);
    sizes_.emplace(memory, chunk_for(size));
    in_use_ += static_cast<std::int64_t>(chunk_for(size));
  }
  void given_back(void* memory) noexcept {
    if (!counting_) return;
    const std::lock_guard lock(mutex_);
    const auto block = sizes_.find(memory);
    if (block == sizes_.end()) return;
    in_use_ -= static_cast<std::int64_t>(block->second);
    sizes_.erase(block);
  }

 private:
  std::atomic<bool> counting_{false};
  std::mutex mutex_{};
  std::unordered_map<void*, std::size_t, std::hash<void*>, std::equal_to<>,
                     FromMalloc<std::pair<void* const, std::size_t>>>
      sizes_{};
  std::int64_t in_use_ = 0;
};

// Never destroyed: the last block is given back after every destructor.
Blocks& blocks() {
  alignas(Blocks) static std::byte place[sizeof(Blocks)];
  static auto* const all = new (place) Blocks;
  return *all;
}

void* taken(void* memory, std::size_t size) {
  if (memory == nullptr) throw std::bad_alloc();
  blocks().taken(memory, size);
  return memory;
}
void given_back(void* memory) noexcept {
  blocks().given_back(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return taken(std::malloc(size), size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto to = static_cast<std::size_t>(alignment);
  return taken(std::aligned_alloc(to, (size + to - 1) / to * to), size);
}
void operator delete(void* memory) noexcept { given_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { given_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { given_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { given_back(memory); }

namespace bench {
namespace {

constexpr std::uint32_t kSmall = 4;
constexpr std::uint32_t kGates = 64;

std::int64_t from_malloc() {
  const auto info = ::mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}

struct Bytes {
  std::int64_t own = 0;    // from operator new
  std::int64_t other = 0;  // from malloc: the queue, libpq
};

// What stays allocated as long as what make() gives lives.
template <class Make>
Bytes bytes_of(Make&& make) {
  blocks().begin();
  const std::int64_t before = from_malloc();
  const auto made = make();
  const std::int64_t after = from_malloc();
  const std::int64_t own = blocks().end();
  return {own, after - before - own};
}

struct Nothing {};
using tidegate::core::IdleQueue;
using CorePool = tidegate::core::ResourcePool<Nothing>;

std::unique_ptr<CorePool> core_pool(std::uint32_t max_size, std::uint32_t gates) {
  auto pool = std::make_unique<CorePool>(tidegate::core::ResourcePoolConfig<Nothing>{
      .create = [](std::stop_token, tidegate::Deadline) -> tidegate::Expected<Nothing> {
        return Nothing();
      },
      .max_size = max_size,
      .gates = gates});
  for (std::uint32_t i = 0; i < max_size; ++i) pool->create_resource();
  return pool;
}

// Every connection open, with one statement in its cache.
std::unique_ptr<tidegate::Pool> pool_of(std::uint32_t connections) {
  auto pool = std::make_unique<tidegate::Pool>("pool_max_conns=" + std::to_string(connections));
  std::vector<tidegate::Lease> leases;
  leases.reserve(connections);
  for (std::uint32_t i = 0; i < connections; ++i) {
    leases.push_back(pool->acquire());
    leases.back()->query_value<int>("select $1::int4", 1);
  }
  return pool;
}

double each(std::int64_t of_many, std::int64_t of_few, std::uint32_t more) {
  return static_cast<double>(of_many - of_few) / more;
}

void memory_core(benchmark::State& state) {
  const auto big = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    const Bytes many = bytes_of([&] { return core_pool(big, 1); });
    const Bytes few = bytes_of([] { return core_pool(kSmall, 1); });
    state.counters["bytes_per_slot"] = each(many.own, few.own, big - kSmall);
    state.counters["queue_per_slot"] = each(many.other, few.other, big - kSmall);
    state.counters["fixed"] = static_cast<double>(few.own);
  }
}

void memory_gates(benchmark::State& state) {
  for (auto _ : state) {
    const Bytes many = bytes_of([] { return core_pool(kGates, kGates); });
    const Bytes one = bytes_of([] { return core_pool(kGates, 1); });
    const auto queue = [](std::uint32_t gates) {  // which has two producers for each
      return bytes_of([&] { return std::make_unique<IdleQueue>(kGates, 2 * gates); }).own;
    };
    const double of_queue = each(queue(kGates), queue(1), kGates - 1);
    state.counters["bytes_per_gate"] = each(many.own, one.own, kGates - 1) - of_queue;
    state.counters["queue_per_gate"] = each(many.other, one.other, kGates - 1) + of_queue;
  }
}

void memory_pool(benchmark::State& state) {
  const auto big = static_cast<std::uint32_t>(state.range(0));
  pool_of(kSmall);  // what the first connection of a process allocates for good
  for (auto _ : state) {
    const Bytes many = bytes_of([&] { return pool_of(big); });
    const Bytes few = bytes_of([] { return pool_of(kSmall); });
    state.counters["bytes_per_slot"] = each(many.own, few.own, big - kSmall);
    state.counters["libpq_per_slot"] = each(many.other, few.other, big - kSmall);
    state.counters["fixed"] = static_cast<double>(few.own);
  }
}

}  // namespace

void add_memory_rows() {
  benchmark::RegisterBenchmark("memory/core", &memory_core)
      ->ArgName("max")
      ->Arg(64)
      ->Arg(1024)
      ->Arg(16384)
      ->Iterations(1);
  benchmark::RegisterBenchmark("memory/gates", &memory_gates)->Iterations(1);
  benchmark::RegisterBenchmark("memory/pool", &memory_pool)->ArgName("max")->Arg(64)->Iterations(1);
}

}  // namespace bench
