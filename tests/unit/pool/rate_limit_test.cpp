#include "pool/upkeep/rate_limit.hpp"

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

TEST(RateLimit, LetsOneThroughPerInterval) {
  const RateLimit::TimePoint start{1h};
  RateLimit limit(4);
  EXPECT_TRUE(limit.take(start));
  EXPECT_FALSE(limit.take(start));
  EXPECT_FALSE(limit.take(start + 249ms));
  EXPECT_EQ(limit.next(), start + 250ms);
  EXPECT_TRUE(limit.take(start + 250ms));
}

TEST(RateLimit, APauseDoesNotSaveUp) {
  const RateLimit::TimePoint start{1h};
  RateLimit limit(4);
  EXPECT_TRUE(limit.take(start));
  EXPECT_TRUE(limit.take(start + 1min));
  EXPECT_FALSE(limit.take(start + 1min + 1ms));
}

}  // namespace
}  // namespace tidegate::detail
