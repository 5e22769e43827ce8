// ReuseEdge: what moodycamel's queue orders by fences, told to ThreadSanitizer, which models none.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define TIDEGATE_TELLS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDEGATE_TELLS_TSAN 1
#endif
#endif

#if defined(TIDEGATE_TELLS_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace tidegate::core {

// A producer writes the oldest entry of its block index again when it begins a block. Who has read
// that entry to find its cell marks the cell as empty, release, when it has taken the index out;
// the producer looks at those marks, relaxed, and an acquire fence follows when it uses a block
// again:
//     dequeuer reads the entry -> its cell is empty ~> fence of the producer -> writes the entry
// Between the two lie nearly as many blocks as the index has entries, so that one look per block is
// soon enough; more of them would hide races of others. Nothing at all in other builds.
class ReuseEdge {
 public:
#if defined(TIDEGATE_TELLS_TSAN)
  // Dequeuer, before its cell is marked.
  static void cell_read() noexcept { __tsan_release(&cells_); }
  // Whoever has the producer, before each enqueue.
  void enqueuing(std::uint32_t block_size) noexcept {
    if (enqueues_++ % block_size == 0) __tsan_acquire(&cells_);
  }

 private:
  inline static char cells_ = 0;  // of all queues: only its address counts
  std::uint32_t enqueues_ = 0;
#else
  static void cell_read() noexcept {}
  void enqueuing(std::uint32_t) noexcept {}
#endif
};

}  // namespace tidegate::core
