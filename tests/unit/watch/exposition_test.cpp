// Stats as JSON and as what Prometheus scrapes. tests/scripts/service_test.py has both read by
// programs that know the formats.
#include <tidegate/watch/exposition.hpp>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/base/version.hpp>

#include "support/comma_locale.hpp"

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Stats busy() {
  Stats stats;
  stats.max = 8;
  stats.idle = 2;
  stats.leased = 6;
  stats.waiting = 3;
  stats.oldest_wait = 250ms;
  stats.outcomes.immediate = 100;
  stats.outcomes.timeout = 7;
  stats.destroyed.lifetime = 4;
  stats.create_errors_by_class = {{"28", 2}, {"none", 3}};
  stats.waits.add(0ns, 100);
  stats.waits.add(2ms, 5);
  stats.waits.add(3s, 1);
  return stats;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ToPrometheus, HasTheNamesOfOpenTelemetryWithThePoolsName) {
  const std::string text = to_prometheus(busy(), "orders");
  const std::string pool = "{db_client_connection_pool_name=\"orders\"";
  for (const std::string& line : std::vector<std::string>{
           "# TYPE db_client_connection_count gauge",
           "db_client_connection_count" + pool + ",db_client_connection_state=\"idle\"} 2",
           "db_client_connection_count" + pool + ",db_client_connection_state=\"used\"} 6",
           "db_client_connection_max" + pool + "} 8",
           "db_client_connection_pending_requests" + pool + "} 3",
           "# TYPE db_client_connection_timeouts_total counter",
           "db_client_connection_timeouts_total" + pool + "} 7",
           "db_client_connection_tidegate_oldest_wait_seconds" + pool + "} 0.25",
           "db_client_connection_tidegate_acquires_total" + pool + ",outcome=\"immediate\"} 100",
           "db_client_connection_tidegate_closed_total" + pool + ",reason=\"lifetime\"} 4",
           "db_client_connection_tidegate_create_errors_total" + pool + ",sqlstate_class=\"28\"} 2",
           "db_client_connection_tidegate_build_info{version=\"" TIDEGATE_VERSION_STRING "\"} 1",
       }) {
    EXPECT_THAT(text, HasSubstr(line + "\n"));
  }
}

TEST(ToPrometheus, AHistogramCountsUpAndEndsWithAll) {
  const std::string text = to_prometheus(busy(), "orders");
  EXPECT_THAT(text, HasSubstr("# TYPE db_client_connection_wait_time_seconds histogram\n"));
  const std::string bucket =
      "db_client_connection_wait_time_seconds_bucket{db_client_connection_pool_name=\"orders\",le=";
  for (const char* const line : {"\"0.0001\"} 100\n", "\"0.001\"} 100\n", "\"0.005\"} 105\n",
                                 "\"1\"} 105\n", "\"5\"} 106\n", "\"+Inf\"} 106\n"}) {
    EXPECT_THAT(text, HasSubstr(bucket + line));
  }
  EXPECT_THAT(text, HasSubstr("db_client_connection_wait_time_seconds_sum{"
                              "db_client_connection_pool_name=\"orders\"} 3.01\n"));
  EXPECT_THAT(text, HasSubstr("_wait_time_seconds_count{db_client_connection_pool_name=\"orders\"} "
                              "106\n"));
}

// A metric that appears twice is refused by Prometheus with all that is scraped.
TEST(ToPrometheus, OfTwoPoolsHasEachMetricOnceWithTheSamplesOfBoth) {
  const std::string text = to_prometheus({{"orders", busy()}, {"reports", {}}});
  std::set<std::string> seen;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(seen.insert(line).second) << line;
    }
  }
  EXPECT_THAT(text, HasSubstr("_max{db_client_connection_pool_name=\"orders\"} 8\n"
                              "db_client_connection_max{db_client_connection_pool_name=\"reports\"}"
                              " 0\n"));
}

// Seen failing without the escapes.
TEST(ToPrometheus, AHostileNameStaysInsideItsQuotes) {
  const std::string text = to_prometheus({}, "a\"} 1\nfake_metric 2\\\xff\x1b[2J");
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("db_client_connection_tidegate_build_info")) continue;
    EXPECT_TRUE(line.starts_with("# ") || line.starts_with("db_client_connection_")) << line;
  }
  EXPECT_THAT(text, HasSubstr(R"(pool_name="a\"} 1\\nfake_metric 2\\\\xff\\x1b[2J")"));
}

TEST(ToJson, IsOneObjectWithTheNamesOfTheMembers) {
  const std::string text = to_json(busy());
  EXPECT_THAT(text, StartsWith(R"({"max":8,"min":0,"min_idle":0,"idle":2,"leased":6,)"));
  for (const char* const part :
       {R"("oldest_wait_seconds":0.25,)", R"("outcomes":{"immediate":100,)",
        R"("create_errors_by_class":{"28":2,"none":3},)",
        R"("waits":{"count":106,"sum_seconds":3.01,"p50_seconds":0.000000016,)"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("\n")));
}

// Seen failing with a stream: "0,25", and "acquired=1.234" in to_string().
TEST(StatsText, NumbersAreTheSameInEveryLocale) {
  Stats stats = busy();
  stats.outcomes.immediate = 1'234'567;
  const auto all = [&] {
    return to_string(stats) + to_json(stats) + to_prometheus(stats, "orders");
  };
  const std::string expected = all();
  const CommaLocale comma;
  const std::string found = all();
  EXPECT_EQ(found, expected);
  EXPECT_THAT(found, HasSubstr(" acquired=1234567 "));
}

}  // namespace
}  // namespace tidegate::test
