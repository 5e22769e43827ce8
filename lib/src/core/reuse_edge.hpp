// ReuseEdge: tells ThreadSanitizer, which models no fences, what moodycamel's queue orders by them.
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

// A producer that begins a block overwrites the oldest entry of its block index. A dequeuer that
// has read that entry to find its cell takes the slot index out, then marks the cell as empty,
// release. When the producer uses a block again, it looks at those marks, relaxed, and an acquire
// fence follows:
//     dequeuer reads the entry -> its cell is empty ~> fence of the producer -> writes the entry
// Nearly as many blocks as the index has entries lie between the read and the write, so one look
// per block is soon enough; more looks would hide races of others. Other builds do nothing here.
class ReuseEdge {
 public:
#if defined(TIDEGATE_TELLS_TSAN)
  // A dequeuer calls this before it marks its cell.
  static void cell_read() noexcept { __tsan_release(&cells_); }
  // The thread that has the producer calls this before each enqueue.
  void enqueuing(std::uint32_t block_size) noexcept {
    if (enqueues_++ % block_size == 0) __tsan_acquire(&cells_);
  }

 private:
  inline static char cells_ = 0;  // shared by all queues: only its address counts
  std::uint32_t enqueues_ = 0;
#else
  static void cell_read() noexcept {}
  void enqueuing(std::uint32_t) noexcept {}
#endif
};

}  // namespace tidegate::core
