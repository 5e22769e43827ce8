// Stub: the resource of all pools that need no server.
#pragma once

#include <cstdint>
#include <memory>

#include <benchmark/benchmark.h>

namespace bench {

// A handle to a block of its own on the heap, as a connection is; touching it writes to that block.
class Stub {
 public:
  void touch() noexcept { benchmark::DoNotOptimize(++block_->uses); }

 private:
  struct alignas(64) Block {
    std::uint64_t uses = 0;
  };
  std::unique_ptr<Block> block_ = std::make_unique<Block>();
};

}  // namespace bench
