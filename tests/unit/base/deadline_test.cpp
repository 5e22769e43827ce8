#include <tidegate/base/deadline.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using TimePoint = Deadline::TimePoint;

constexpr TimePoint kPoint{1'000s};

TEST(Deadline, DefaultIsNever) {
  constexpr Deadline never;
  static_assert(never.is_never());
  static_assert(never == Deadline::never());
  EXPECT_FALSE(never.passed());
  EXPECT_EQ(never.remaining(), nanoseconds::max());
}

TEST(Deadline, NowHasPassedAndIsNoPointOfTheClock) {
  constexpr Deadline now = Deadline::now();
  EXPECT_TRUE(now.passed());
  EXPECT_FALSE(now.is_never());
  EXPECT_EQ(now.remaining(), 0ns);
  EXPECT_EQ(now.at(), TimePoint::min());  // a sentinel: no clock was read
}

TEST(Deadline, AZeroOrNegativeDurationHasPassedWithoutAClockRead) {
  EXPECT_EQ(Deadline(0s), Deadline::now());
  EXPECT_EQ(Deadline(-1ns), Deadline::now());
  EXPECT_EQ(Deadline(std::chrono::hours::min()), Deadline::now());
  EXPECT_EQ(Deadline(std::chrono::duration<double>(-1e300)), Deadline::now());
}

TEST(Deadline, NotANumberHasPassed) {
  EXPECT_EQ(Deadline(std::chrono::duration<double>(std::nan(""))), Deadline::now());
}

TEST(Deadline, ADurationCountsFromNow) {
  const auto before = Deadline::Clock::now();
  const Deadline deadline = 1h;
  const auto after = Deadline::Clock::now();
  EXPECT_GE(deadline.at(), before + 1h);
  EXPECT_LE(deadline.at(), after + 1h);
  EXPECT_FALSE(deadline.passed());
  EXPECT_GT(deadline.remaining(), 59min);
  EXPECT_LE(deadline.remaining(), 1h);
}

TEST(Deadline, AFractionOfASecondIsKept) {
  const auto before = Deadline::Clock::now();
  const Deadline deadline = std::chrono::duration<double>(1800.5);
  EXPECT_GE(deadline.at(), before + 1800500ms - 1us);
  EXPECT_LE(deadline.at(), Deadline::Clock::now() + 1800500ms + 1us);
}

TEST(Deadline, AHugeDurationIsNeverInAnyUnit) {
  EXPECT_TRUE(Deadline(nanoseconds::max()).is_never());
  EXPECT_TRUE(Deadline(std::chrono::hours::max()).is_never());
  EXPECT_TRUE(Deadline(std::chrono::duration<double>(1e300)).is_never());
  EXPECT_TRUE(
      Deadline(std::chrono::duration<double>(std::numeric_limits<double>::infinity())).is_never());
  EXPECT_TRUE(Deadline(std::chrono::duration<std::uint64_t, std::ratio<3600>>(~0ULL)).is_never());
}

TEST(Deadline, ATimePointIsTakenAsItIs) {
  constexpr Deadline deadline = kPoint;
  static_assert(deadline.at() == kPoint);
  EXPECT_EQ(Deadline(TimePoint::max()), Deadline::never());
  EXPECT_EQ(Deadline(TimePoint::min()), Deadline::now());
  EXPECT_TRUE(Deadline(TimePoint{}).passed());
}

TEST(Deadline, ATimePointOfACoarserClockUnitSaturates) {
  using Coarse = std::chrono::time_point<Deadline::Clock, std::chrono::hours>;
  EXPECT_EQ(Deadline(Coarse(2h)).at(), TimePoint(2h));
  EXPECT_TRUE(Deadline(Coarse::max()).is_never());
  EXPECT_EQ(Deadline(Coarse::min()), Deadline::now());
}

TEST(Deadline, PassedTellsPastFromFuture) {
  const auto now = Deadline::Clock::now();
  EXPECT_TRUE(Deadline(now - 1ns).passed());
  EXPECT_EQ(Deadline(now - 1ns).remaining(), 0ns);
  EXPECT_TRUE(Deadline(now).passed());
  EXPECT_FALSE(Deadline(now + 1h).passed());
}

TEST(Deadline, ArithmeticMovesAPointAndLeavesTheSentinels) {
  constexpr Deadline later = Deadline(kPoint) + 250ms;
  static_assert(later.at() == kPoint + 250ms);
  EXPECT_EQ((Deadline(kPoint) + -250ms).at(), kPoint - 250ms);
  EXPECT_TRUE((Deadline::never() + -1h).is_never());
  EXPECT_EQ(Deadline::now() + 1h, Deadline::now());
}

TEST(Deadline, ArithmeticSaturatesBothWays) {
  EXPECT_TRUE((Deadline(kPoint) + nanoseconds::max()).is_never());
  EXPECT_TRUE((Deadline(kPoint) + std::chrono::hours::max()).is_never());
  EXPECT_EQ(Deadline(kPoint) + std::chrono::hours::min(), Deadline::now());
  EXPECT_EQ(Deadline(TimePoint(-1'000s)) + nanoseconds::min(), Deadline::now());
}

TEST(Deadline, AStepLongerThanTheClockCanHoldMayStillEndOnAPoint) {
  const auto far = TimePoint(nanoseconds::max() - 10s);
  const auto step = std::chrono::duration<double>(-9.3e9);  // seconds; nanoseconds hold 9.22e9
  const Deadline deadline = Deadline(far) + step;
  EXPECT_NEAR(std::chrono::duration<double>(deadline.at().time_since_epoch()).count(), -7.66e7,
              1e5);
}

TEST(Deadline, SumsAreExactAtTheEdges) {
  const Deadline last = TimePoint(nanoseconds::max() - 2ns);
  EXPECT_EQ((last + 1ns).at(), TimePoint(nanoseconds::max() - 1ns));
  EXPECT_TRUE((last + 2ns).is_never());
}

TEST(Deadline, OrdersFromPassedToNever) {
  EXPECT_LT(Deadline::now(), Deadline(kPoint));
  EXPECT_LT(Deadline(kPoint), Deadline::never());
  EXPECT_EQ(earlier(Deadline(kPoint), Deadline::never()), Deadline(kPoint));
  EXPECT_EQ(earlier(Deadline(kPoint), Deadline::now()), Deadline::now());
}

}  // namespace
}  // namespace tidegate
