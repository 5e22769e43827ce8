// CallCounter: what a stretch of code costs in allocations and locks. And allocations and threads
// that are refused. For test programs that link support/call_counter.cpp, which steps in front of
// malloc, pthread_mutex_lock and pthread_create.
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
// While it lives, the process's n-th allocation from here on fails, and in the harsh case all that
// come after it. What the C++ runtime needs to throw comes from its own reserve then.
class FailedAllocation {
 public:
  enum class Then : bool { goes_on, all_fail };
  explicit FailedAllocation(std::size_t nth, Then then = Then::goes_on) noexcept;
  ~FailedAllocation() { end(); }
  FailedAllocation(const FailedAllocation&) = delete;
  FailedAllocation& operator=(const FailedAllocation&) = delete;

  // Begins once more: the n-th from here on.
  void begin() noexcept;
  // Memory is to be had again.
  void end() noexcept;
  // There were that many, so it has failed.
  bool happened() const noexcept;

 private:
  const std::size_t nth_;
  const Then then_;
};

// Blocks of memory that the process has at the moment.
std::size_t live_allocations() noexcept;

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
