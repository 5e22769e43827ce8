// The floor: no pool at all, only what no lock-free pool can do without.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "support/peer.hpp"

namespace bench {

// One atomic read-modify-write to acquire and one to release, on a word that belongs to the thread
// alone or, with kShared, to all of them.
template <bool kShared>
class RmwPeer {
  struct alignas(64) Word {
    std::atomic<std::uint64_t> count{0};
  };

 public:
  static constexpr const char* kName = kShared ? "two_rmw_shared" : "two_rmw";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    explicit Handle(Word& word) noexcept : word_(&word) {}
    Handle(Handle&& other) noexcept : word_(std::exchange(other.word_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(word_, other.word_);
      return *this;
    }
    ~Handle() {
      if (word_ != nullptr) word_->count.fetch_sub(1, std::memory_order_release);
    }

   private:
    Word* word_;
  };

  explicit RmwPeer(PoolShape) {}

  Handle acquire() noexcept {
    Word& word = kShared ? shared_ : own();
    word.count.fetch_add(1, std::memory_order_acquire);
    return Handle(word);
  }
  // As Stub does it, without the check that a thread_local with a constructor costs.
  static void touch(Handle&) noexcept {
    struct alignas(64) Block {
      std::uint64_t uses = 0;
    };
    thread_local constinit Block block;
    benchmark::DoNotOptimize(++block.uses);
  }

 private:
  static Word& own() noexcept {
    thread_local constinit Word word;
    return word;
  }
  Word shared_;
};

}  // namespace bench
