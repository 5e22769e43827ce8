// Sync: the atomics, locks, parker, clock and processor number that the core is built on.
#pragma once

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define TIDEGATE_HAS_RSEQ 1
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include <tidegate/base/export.hpp>
#include <tidegate/core/parker.hpp>

namespace tidegate::core {

inline constexpr std::size_t kCacheLine = 64;

namespace detail {
// Initial-exec: read with one instruction, also from a shared library.
inline thread_local constinit std::int32_t cached_thread_id
    __attribute__((tls_model("initial-exec"))) = 0;
// Out of line and cold: the warm path then needs no frame of its own for them.
[[gnu::cold]] TIDEGATE_API std::int32_t ask_thread_id() noexcept;
[[gnu::cold]] TIDEGATE_API unsigned ask_cpu() noexcept;
}  // namespace detail

// The kernel's id of the calling thread, cached; never 0.
inline std::int32_t current_thread_id() noexcept {
  std::int32_t& id = detail::cached_thread_id;
  if (id == 0) [[unlikely]] {
    id = detail::ask_thread_id();
  }
  return id;
}

// Like current_thread_id(), but never asks the kernel: 0 until this thread has called that
// function. For the warm path, which thus needs no call and no frame.
inline std::int32_t known_thread_id() noexcept { return detail::cached_thread_id; }

// The processor this thread runs on at the moment: a hint, never a promise. Reads the number that
// the kernel keeps up to date for each thread (rseq) where glibc has registered it; elsewhere a
// number of the thread.
inline unsigned current_cpu() noexcept {
#if defined(TIDEGATE_HAS_RSEQ)
  const auto* area = reinterpret_cast<const struct rseq*>(
      static_cast<const char*>(__builtin_thread_pointer()) + __rseq_offset);
  const auto cpu = *static_cast<const volatile std::uint32_t*>(&area->cpu_id);
  if (static_cast<std::int32_t>(cpu) >= 0) [[likely]] {
    return cpu;
  }
  return static_cast<unsigned>(known_thread_id());
#else
  return detail::ask_cpu();
#endif
}

// The Sync of production. Models and deterministic tests bring a Sync of their own, so that they
// run the core's own code and not a copy of it.
struct StdSync {
  template <class T>
  using Atomic = std::atomic<T>;
  using Mutex = std::mutex;
  using Condition = std::condition_variable;
  using Parker = FutexParker;

  static std::chrono::steady_clock::time_point now() noexcept {
    return std::chrono::steady_clock::now();
  }
  // Spreads threads over gates.
  static unsigned cpu() noexcept { return current_cpu(); }
  // Log2 of how many neighbouring slots may dock together at one gate.
  static constexpr unsigned dock_shift() noexcept { return 4; }
  // How often a closer looks, and how often it then yields, before it parks.
  static constexpr int kSpins = 64;
  static constexpr int kYields = 16;
  // Between two looks of a short spin.
  static void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
};

// Like StdSync, but portable: parks on a condition variable.
struct CondvarSync : StdSync {
  using Parker = CondvarParker;
};

}  // namespace tidegate::core
