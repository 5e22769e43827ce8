// When a close that waits says so.
#include "pool/close/close_progress.hpp"

#include <vector>

#include <gmock/gmock.h>

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

// Seen failing with one that says so at every look, and with one that says so every 5 s.
TEST(CloseProgress, IsDueAfterOneSecondThenFiveThenEveryTen) {
  CloseProgress progress;
  EXPECT_FALSE(progress.due(999ms));
  std::vector<int> told;
  for (int second = 1; second <= 45; ++second) {
    if (progress.due(1s * second)) told.push_back(second);
  }
  EXPECT_THAT(told, testing::ElementsAre(1, 5, 10, 20, 30, 40));
}

TEST(CloseProgress, OfALookThatCameLateIsToldOnceForEachThatWasDue) {
  CloseProgress progress;
  EXPECT_TRUE(progress.due(12s));
  EXPECT_TRUE(progress.due(13s));
  EXPECT_TRUE(progress.due(14s));
  EXPECT_FALSE(progress.due(15s));
}

}  // namespace
}  // namespace tidegate::detail
