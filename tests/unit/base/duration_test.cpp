#include <tidegate/base/duration.hpp>

#include <clocale>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(ParseDuration, ReadsEveryUnit) {
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("3m"), 3min);
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("50us"), 50us);
  EXPECT_EQ(parse_duration("7ns"), 7ns);
}

TEST(ParseDuration, ReadsPairsFromLargeToSmall) {
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("1h2m3s4ms5us6ns"), 1h + 2min + 3s + 4ms + 5us + 6ns);
  EXPECT_EQ(parse_duration("1m0.5s"), 60500ms);
}

TEST(ParseDuration, ReadsFractions) {
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0.25ms"), 250us);
  EXPECT_EQ(parse_duration("1.000000001s"), 1'000'000'001ns);
  EXPECT_EQ(parse_duration("0.1h"), 6min);
}

TEST(ParseDuration, CutsWhatIsFinerThanANanosecond) {
  EXPECT_EQ(parse_duration("0.9ns"), 0ns);
  EXPECT_EQ(parse_duration("1.0000000019s"), 1'000'000'001ns);
  EXPECT_EQ(parse_duration("0.333333333333333333333333333333h"), 1'199'999'999'999ns);
}

TEST(ParseDuration, ZeroNeedsNoUnit) {
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_EQ(parse_duration("-0"), 0ns);
  EXPECT_EQ(parse_duration("0s"), 0ns);
}

TEST(ParseDuration, ALeadingMinusMakesTheWholeNegative) {
  EXPECT_EQ(parse_duration("-1h30m"), -90min);
  EXPECT_EQ(parse_duration("-1.5s"), -1500ms);
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text :
       {"",     "-",      "30",    "1.5",    "00",   "0.0",   "s",    "ms",        "-s",
        ".5s",  "5.s",    "1..5s", "1.5.2s", "+1s",  "1 s",   " 1s",  "1s ",       "1S",
        "1sec", "1min",   "1d",    "1msec",  "1e3s", "0x10s", "1s1s", "1s1m",      "1ms1s",
        "1h1h", "1s-1ms", "--1s",  "1,5s",   "1h30", "nan",   "infs", "1\xc2\xb5s"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(ParseDuration, RefusesMoreThanTheTypeHolds) {
  EXPECT_EQ(parse_duration("2562047h"), 2562047h);
  EXPECT_EQ(parse_duration("9223372036854775807ns"), nanoseconds::max());
  EXPECT_EQ(parse_duration("-9223372036854775808ns"), nanoseconds::min());
  EXPECT_EQ(parse_duration("9223372036854775808ns"), std::nullopt);
  EXPECT_EQ(parse_duration("2562048h"), std::nullopt);
  EXPECT_EQ(parse_duration("2562047h48m"), std::nullopt);
  EXPECT_EQ(parse_duration("18446744073709551616ns"), std::nullopt);
  EXPECT_EQ(parse_duration("99999999999999999999999h"), std::nullopt);
}

TEST(FormatDuration, SpellsAsPeopleConfigure) {
  EXPECT_EQ(format_duration(0s), "0");
  EXPECT_EQ(format_duration(90min), "1h30m");
  EXPECT_EQ(format_duration(1h), "1h");
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration(1500ms), "1.5s");
  EXPECT_EQ(format_duration(250ms), "250ms");
  EXPECT_EQ(format_duration(1h + 5ms), "1h5ms");
  EXPECT_EQ(format_duration(50us), "50us");
  EXPECT_EQ(format_duration(1001us), "1.001ms");
  EXPECT_EQ(format_duration(7ns), "7ns");
  EXPECT_EQ(format_duration(-90min), "-1h30m");
}

TEST(FormatDuration, ReadsBackExactly) {
  for (const nanoseconds d :
       {nanoseconds(1), nanoseconds(999), nanoseconds(1'000'001), nanoseconds(1s + 1ns),
        nanoseconds(59999999999), nanoseconds(1h + 1ns), nanoseconds::max(), nanoseconds::min(),
        nanoseconds(30s), nanoseconds(10'000h + 59min + 1ms)}) {
    EXPECT_EQ(parse_duration(format_duration(d)), d) << format_duration(d);
  }
}

TEST(BriefDuration, HasThreeSignificantDigitsAndOneUnit) {
  EXPECT_EQ(brief_duration(1204ms), "1.2 s");
  EXPECT_EQ(brief_duration(12'400ms), "12.4 s");
  EXPECT_EQ(brief_duration(250ms), "250 ms");
  EXPECT_EQ(brief_duration(249'600us), "250 ms");
  EXPECT_EQ(brief_duration(3100ns), "3.1 us");
  EXPECT_EQ(brief_duration(7ns), "7 ns");
  EXPECT_EQ(brief_duration(100ms), "100 ms");
  EXPECT_EQ(brief_duration(1s), "1 s");
  EXPECT_EQ(brief_duration(0s), "0 s");
  EXPECT_EQ(brief_duration(-1500ms), "-1.5 s");
}

TEST(BriefDuration, TakesTheNextUnitAtAThousandAlsoAfterRounding) {
  EXPECT_EQ(brief_duration(999ms), "999 ms");
  EXPECT_EQ(brief_duration(999'600us), "1 s");
  EXPECT_EQ(brief_duration(90s), "90 s");
  EXPECT_EQ(brief_duration(1000s), "16.7 min");
  EXPECT_EQ(brief_duration(1000min), "16.7 h");
  EXPECT_EQ(brief_duration(5000h), "5000 h");
  EXPECT_EQ(brief_duration(nanoseconds::min()), "-2562048 h");
}

TEST(BriefDuration, ShowsMoreDigitsWhenAsked) {
  EXPECT_EQ(brief_duration(250'300us, 4), "250.3 ms");
  EXPECT_EQ(brief_duration(1204ms, 4), "1.204 s");
  EXPECT_EQ(brief_duration(250ms, 4), "250 ms");
}

TEST(BriefDuration, KnowsNoLocale) {
  const char* before = std::setlocale(LC_ALL, nullptr);
  const std::string saved = before ? before : "C";
  if (!std::setlocale(LC_ALL, "de_DE.UTF-8")) std::setlocale(LC_ALL, "C.UTF-8");
  EXPECT_EQ(brief_duration(1500ms), "1.5 s");
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  std::setlocale(LC_ALL, saved.c_str());
}

}  // namespace
}  // namespace tidegate
