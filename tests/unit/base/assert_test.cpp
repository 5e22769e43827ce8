#include <tidegate/base/assert.hpp>

#include <csignal>
#include <string>

#include <gtest/gtest.h>

namespace {

TEST(Assert, ATrueConditionCostsNothingAndSaysNothing) {
  int evaluated = 0;
  TIDEGATE_ASSERT(I1, ++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

TEST(AssertDeathTest, ABrokenInvariantNamesItselfAndAborts) {
  const bool claimed = false;
  EXPECT_EXIT(TIDEGATE_ASSERT(I2, claimed), testing::KilledBySignal(SIGABRT),
              "^tidegate: invariant I2 broken: claimed \\(base/assert_test.cpp:[0-9]+\\)\n$");
}

TEST(AssertDeathTest, AVeryLongConditionIsCut) {
  const std::string condition(5000, 'x');
  EXPECT_EXIT(tidegate::detail::invariant_broken("I3", condition.c_str(), "a.cpp", 1),
              testing::KilledBySignal(SIGABRT), "^tidegate: invariant I3 broken: x+\n$");
}

TEST(Assert, TheDebugFormIsOffInReleaseBuilds) {
#if defined(NDEBUG) && !defined(TIDEGATE_CHECKED)
  TIDEGATE_DEBUG_ASSERT(I2, false);
#else
  EXPECT_DEATH(TIDEGATE_DEBUG_ASSERT(I2, false), "invariant I2 broken: false");
#endif
}

}  // namespace
