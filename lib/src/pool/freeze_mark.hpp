// FreezeMark: tells a thread, without a clock, that it has run on since it last read one.
#pragma once

#include <atomic>
#include <cstdint>

#include <tidegate/base/export.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::detail {

// Another thread writes the coarse tick. After a freeze of the process (SIGSTOP, a paused
// container, a throttled group) the thread that runs first reads a tick from before the freeze. So
// it has to look at a clock then; otherwise, on the warm path, it should not.
//
// A thread's mark is in the one place that the kernel clears when it has given the processor to
// another thread: the pointer of rseq(2) to the critical section that the thread is in. Our section
// is one that no thread ever is in; such a pointer may stay behind, and the kernel clears it at the
// next context switch, whatever caused that.
//
// Version 2 of that interface (Linux 6.19 and later, with glibc 2.41 and later) does not do so: it
// looks at the pointer only when user code was interrupted, hence not when a system call has slept.
// find_out() tries; with version 2, and without rseq, no mark is ever intact.
class FreezeMark {
 public:
  // No other thread has had this thread's processor since this thread called leave().
  static bool intact() noexcept {
#if defined(TIDEGATE_HAS_RSEQ)
    return *place() == mark_.load(std::memory_order_relaxed);
#else
    return false;
#endif
  }
  // Call it before a look at a clock: a switch between the two takes the mark away.
  static void leave() noexcept;
  // Finds out whether the kernel takes marks away. Sleeps for an instant, once in a process.
  static void find_out() noexcept;
  // For a count of instructions under valgrind, which knows no rseq: gives the calling thread a
  // mark that nobody takes away.
  TIDEGATE_API static void stand_in() noexcept;

 private:
  // A value that no thread has in its place: not even 0, which the kernel puts there.
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

#if defined(TIDEGATE_HAS_RSEQ)
  static struct rseq* area() noexcept {
    return reinterpret_cast<struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) +
                                          __rseq_offset);
  }
  // Volatile, because the kernel writes there. One word, whatever the headers call its halves.
  static volatile std::uint64_t* place() noexcept {
    return reinterpret_cast<volatile std::uint64_t*>(&area()->rseq_cs);
  }
#endif

  static std::atomic<std::uint64_t> mark_;  // kNone: no mark is trusted
};

}  // namespace tidegate::detail
