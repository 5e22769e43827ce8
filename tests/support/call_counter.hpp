// CallCounter: what a stretch of code costs in allocations and locks. For test programs that link
// support/call_counter.cpp, which steps in front of malloc, pthread_mutex_lock and pthread_create.
#pragma once

#include <cstddef>

#include <support/sanitizers.hpp>

namespace tidegate::test {

// Counts the calling thread's calls while it lives. One at a time per thread.
class CallCounter {
 public:
  CallCounter() noexcept;
  ~CallCounter();
  CallCounter(const CallCounter&) = delete;
  CallCounter& operator=(const CallCounter&) = delete;

  // Memory asked for: malloc and its relatives, operator new included.
  std::size_t allocations() const noexcept;
  // Mutexes locked; only without a sanitizer, which steps in front of us.
  std::size_t locks() const noexcept;
};

#if !defined(TIDEGATE_TEST_SANITIZED)
// While it lives, no thread of the process can start another one.
class NoThreads {
 public:
  NoThreads() noexcept;
  ~NoThreads();
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;
  // How many were refused so far.
  int refused() const noexcept;
};
#endif

}  // namespace tidegate::test
