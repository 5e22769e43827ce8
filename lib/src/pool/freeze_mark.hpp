// FreezeMark: how a thread knows without a clock that it has run on since it last read one.
#pragma once

#include <atomic>
#include <cstdint>

#include <tidegate/base/export.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::detail {

// The coarse tick is written by another thread. After a freeze of the process (SIGSTOP, a paused
// container, a throttled group) whoever runs first reads a tick of before it. So it has to look at
// a clock then, and should not otherwise, on the warm path.
//
// A thread's mark is in the one place that the kernel clears when it has given the processor to
// somebody else: the pointer of rseq(2) to the critical section that the thread is in. Ours is one
// that nobody ever is in; such a pointer may stay behind, and is cleared at the next context
// switch, whatever brought it about.
//
// Not so by version 2 of that interface (Linux 6.19 and later, with glibc 2.41 and later), which
// looks at the pointer only when user code was interrupted, hence not when a system call has slept.
// find_out() tries; where it is so, and where there is no rseq, no mark is ever intact.
class FreezeMark {
 public:
  // Nobody else has had the processor of the calling thread since it called leave().
  static bool intact() noexcept {
#if defined(TIDEGATE_HAS_RSEQ)
    return *place() == mark_.load(std::memory_order_relaxed);
#else
    return false;
#endif
  }
  // Before a look at a clock: what comes between the two takes the mark away.
  static void leave() noexcept;
  // Whether the kernel takes marks away. Sleeps for an instant, once in a process.
  static void find_out() noexcept;
  // For a count of instructions under valgrind, which knows no rseq: the calling thread has a mark,
  // and nobody takes it away.
  TIDEGATE_API static void stand_in() noexcept;

 private:
  // What no thread has in its place: not even 0, which is what the kernel puts there.
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

#if defined(TIDEGATE_HAS_RSEQ)
  static struct rseq* area() noexcept {
    return reinterpret_cast<struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) +
                                          __rseq_offset);
  }
  // Volatile: the kernel writes there. As one word, whatever the headers call its halves.
  static volatile std::uint64_t* place() noexcept {
    return reinterpret_cast<volatile std::uint64_t*>(&area()->rseq_cs);
  }
#endif

  static std::atomic<std::uint64_t> mark_;  // kNone: none is trusted
};

}  // namespace tidegate::detail
