// sweep(): a piece of code, again and again, each time with another allocation that fails.
#pragma once

#include <cstddef>
#include <cstdio>

#include <gtest/gtest.h>

#include <support/call_counter.hpp>

namespace tidegate::test {

#if !defined(TIDEGATE_TEST_SANITIZED)

// life(failure) with the first, second, ... allocation failing, up to the first run that makes
// fewer of them. Blocks that a run leaves behind are a leak if they come again: what is kept, for
// instance by a thread's stack for the next thread, is kept once.
template <class Life>
void sweep(Life&& life, FailedAllocation::Then then = FailedAllocation::Then::goes_on) {
  constexpr int kTries = 4;
  constexpr std::size_t kMost = 20'000;
  {
    FailedAllocation none(kMost, FailedAllocation::Then::goes_on);
    life(none);  // what is made once in a process
    ASSERT_FALSE(testing::Test::HasFailure()) << "without a failure";
  }
  std::size_t nth = 1;
  for (bool happened = true; happened; ++nth) {
    ASSERT_LT(nth, kMost);
    std::size_t before = 0;
    std::size_t after = 1;
    for (int i = 0; i < kTries && after > before; ++i) {
      before = live_allocations();
      {
        FailedAllocation failure(nth, then);
        life(failure);
        happened = failure.happened();
      }
      after = live_allocations();
      ASSERT_FALSE(testing::Test::HasFailure()) << "allocation " << nth << " failed";
    }
    ASSERT_LE(after, before) << "leaked when allocation " << nth << " failed";
  }
  testing::Test::RecordProperty("allocations", static_cast<int>(nth - 1));
  std::printf("%zu allocations\n", nth - 1);
}

#endif

}  // namespace tidegate::test
