#include <tidegate/pq/convert.hpp>

#include <chrono>
#include <limits>

#include <gmock/gmock.h>

#include "unit/pq/made_rows.hpp"

namespace tidegate::pq_test {

using namespace std::chrono_literals;
using std::chrono::local_days;
using std::chrono::local_time;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::sys_days;
using std::chrono::sys_time;
using std::chrono::year_month_day;
using testing::HasSubstr;

using Point = sys_time<microseconds>;
using Local = local_time<microseconds>;
constexpr auto kDay = std::chrono::January / 31 / 2024;

TEST(ConvertTime, PointsAreReadWithAnyOffset) {
  const Point noon = sys_days(kDay) + 12h;
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 12:00:00+00"), noon);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 13:00:00+01"), noon);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 06:30:00-05:30"), noon);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 17:53:28+05:53:28"), noon);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-02-01 02:00:00+14"), noon);
}

TEST(ConvertTime, FractionsOfASecondHaveUpToSixDigits) {
  const Point midnight = sys_days(kDay);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 00:00:00.1+00"), midnight + 100ms);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 00:00:00.000001+00"), midnight + 1us);
  EXPECT_EQ(read<Point>(kTimestamptz, "2024-01-31 00:00:00.123456+00"), midnight + 123456us);
}

TEST(ConvertTime, YearsBeforeOneAndAfterNineThousandAreReadAndSent) {
  const Point ides =
      sys_days(year_month_day(std::chrono::year(-43), std::chrono::March, std::chrono::day(15)));
  EXPECT_EQ(read<Point>(kTimestamptz, "0044-03-15 00:00:00+00 BC"), ides);
  EXPECT_EQ(sent(ides), "0044-03-15 00:00:00.000000+00 BC");
  const Point far = Point(sys_days(std::chrono::December / 31 / 12345)) + 1us;
  EXPECT_EQ(read<Point>(kTimestamptz, "12345-12-31 00:00:00.000001+00"), far);
  EXPECT_EQ(sent(far), "12345-12-31 00:00:00.000001+00");
}

// std::chrono::year ends at 32767; the calendar is moved by 400-year cycles there and back.
TEST(ConvertTime, YearsBeyondTheReachOfChronoSurviveTheWayOutAndBack) {
  for (const long long micros :
       {std::numeric_limits<long long>::max() / 2, 9'000'000'000'000'000'000LL, -1LL, 0LL,
        -62'135'596'800'000'001LL, std::numeric_limits<long long>::min() / 2}) {
    const Point point{microseconds(micros)};
    EXPECT_EQ(read<Point>(kTimestamptz, sent(point)), point) << *sent(point);
  }
  EXPECT_EQ(sent(Point(microseconds(9'000'000'000'000'000'000))),
            "287168-08-24 16:00:00.000000+00");
}

TEST(ConvertTime, EveryDayOfAFourHundredYearCycleSurvivesTheWayOutAndBack) {
  for (int day = -200'000; day <= 200'000; day += 97) {
    const Point point = sys_days(std::chrono::days(day)) + 86'399'999'999us;
    ASSERT_EQ(read<Point>(kTimestamptz, sent(point)), point) << *sent(point);
  }
}

TEST(ConvertTime, OtherUnitsAreCutOnTheWayOutAndCheckedOnTheWayIn) {
  using Nanos = sys_time<nanoseconds>;
  EXPECT_EQ(sent(Nanos(-1ns)), "1969-12-31 23:59:59.999999+00");
  EXPECT_EQ(sent(sys_days(kDay)), "2024-01-31 00:00:00.000000+00");
  EXPECT_EQ(read<Nanos>(kTimestamptz, "1970-01-01 00:00:00.000001+00"), Nanos(1us));
  EXPECT_THAT(refusal<Nanos>(kTimestamptz, "9999-01-01 00:00:00+00"), HasSubstr("out of range"));
  EXPECT_THAT(refusal<Nanos>(kTimestamptz, "0001-01-01 00:00:00+00"), HasSubstr("out of range"));
}

TEST(ConvertTime, ATimestampWithoutZoneIsALocalTime) {
  const Local noon = local_days(kDay) + 12h;
  EXPECT_EQ(read<Local>(kTimestamp, "2024-01-31 12:00:00"), noon);
  EXPECT_EQ(sent(noon), "2024-01-31 12:00:00.000000");
}

TEST(ConvertTime, TheTwoKindsOfTimestampAreNotTakenForEachOther) {
  EXPECT_THAT(refusal<Point>(kTimestamp, "2024-01-31 12:00:00"),
              HasSubstr("it has no time zone; read it as std::chrono::local_time"));
  EXPECT_THAT(refusal<Local>(kTimestamptz, "2024-01-31 12:00:00+00"),
              HasSubstr("it has a time zone; read it as std::chrono::sys_time"));
  EXPECT_THAT(refusal<std::vector<Point>>(kTimestampArray, R"({"2024-01-31 12:00:00"})"),
              HasSubstr("it has no time zone"));
}

TEST(ConvertTime, DatesAreReadAndSent) {
  EXPECT_EQ(read<year_month_day>(kDate, "2024-01-31"), year_month_day(kDay));
  EXPECT_EQ(sent(year_month_day(kDay)), "2024-01-31");
  const year_month_day ides(std::chrono::year(-43), std::chrono::March, std::chrono::day(15));
  EXPECT_EQ(read<year_month_day>(kDate, "0044-03-15 BC"), ides);
  EXPECT_EQ(sent(ides), "0044-03-15 BC");
  EXPECT_EQ(sent(year_month_day(std::chrono::year(0), std::chrono::May, std::chrono::day(1))),
            "0001-05-01 BC");
}

TEST(ConvertTime, ADateThatIsNoneIsRefusedBeforeItIsSent) {
  EXPECT_THROW(sent(std::chrono::February / 30 / 2024), UsageError);
}

TEST(ConvertTime, WhatDoesNotFitIsRefused) {
  EXPECT_THAT(refusal<year_month_day>(kDate, "5874897-12-31"), HasSubstr("year is out of range"));
  EXPECT_THAT(refusal<Point>(kTimestamptz, "294276-12-31 23:59:59+00"), HasSubstr("out of range"));
  EXPECT_THAT(refusal<Point>(kTimestamptz, "infinity"), HasSubstr("it is infinite"));
  EXPECT_THAT(refusal<year_month_day>(kDate, "-infinity"), HasSubstr("it is infinite"));
}

// Found by the fuzz target rows: the 32nd of the 13th month was read as a year_month_day that is no
// date, the year 9999999 BC as another year, and a time of 99 hours on the last day overflowed.
TEST(ConvertTime, WhatIsNoDateIsRefused) {
  EXPECT_THAT(refusal<year_month_day>(kDate, "2024-13-32"), HasSubstr("DateStyle ISO"));
  EXPECT_THAT(refusal<year_month_day>(kDate, "2023-02-29"), HasSubstr("DateStyle ISO"));
  EXPECT_THAT(refusal<year_month_day>(kDate, "9999999-01-01 BC"), HasSubstr("out of range"));
  EXPECT_THAT(refusal<Point>(kTimestamptz, "294247-01-09 99:59:59+00"), HasSubstr("out of range"));
}

TEST(ConvertTime, OtherDateStylesAreRefusedRatherThanMisread) {
  for (const char* text :
       {"", "31/01/2024 12:00:00 CET", "Wed Jan 31 12:00:00 2024 CET", "31.01.2024 12:00:00 CET",
        "2024-01-31", "2024-01-31 12:00+00", "2024-13-31 12:00:00+00", "2024-02-30 12:00:00+00",
        "2024-01-31 12:00:00", "2024-01-31 12:00:00.+00", "2024-01-31 12:00:00+00 AD",
        "2024-01-31 12:00:00.1234567+00", "2024-01-31T12:00:00+00"}) {
    EXPECT_THAT(refusal<Point>(kTimestamptz, text), HasSubstr("DateStyle ISO")) << text;
  }
  EXPECT_THAT(refusal<year_month_day>(kDate, "01-31-2024"), HasSubstr("DateStyle ISO"));
}

}  // namespace tidegate::pq_test
