#include <tidegate/pq/connection.hpp>

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "postgres/pq_support.hpp"

namespace tidegate::pq_test {

using std::chrono::microseconds;
using std::chrono::sys_days;
using std::chrono::sys_time;
using std::chrono::year_month_day;

class PqTypes : public testing::Test {
 protected:
  // Sends the value as a parameter of the given type and expects the same value back: as text and,
  // once the statement has been described, in binary form; both ways.
  template <class T>
  void expect_back(const char* type, const T& value) {
    const std::string sql = std::string("select $1::") + type;
    EXPECT_EQ(connection_.query_value<T>({.prepared = false}, sql, value), value) << type;
    for (const auto format : {ResultFormat::text, ResultFormat::text, ResultFormat::binary}) {
      EXPECT_EQ(connection_.query_value<T>({.format = format}, sql, value), value) << type;
    }
    EXPECT_EQ(connection_.query_value<std::optional<T>>(sql, std::optional<T>()), std::nullopt);
    const std::string in_array = std::string("select $1::") + type + "[]";
    EXPECT_EQ(connection_.query_value<std::vector<T>>(in_array, std::vector<T>{value, value}),
              (std::vector<T>{value, value}))
        << in_array;
  }
  template <class T>
  void expect_range_back(const char* type) {
    expect_back(type, std::numeric_limits<T>::min());
    expect_back(type, std::numeric_limits<T>::max());
    expect_back(type, T{0});
  }

  Connection connection_ = connect_to_server();
};

TEST_F(PqTypes, Booleans) {
  expect_back("bool", true);
  expect_back("bool", false);
}

TEST_F(PqTypes, Integers) {
  expect_range_back<short>("int2");
  expect_range_back<int>("int4");
  expect_range_back<long>("int8");
  expect_range_back<long long>("int8");
  expect_range_back<unsigned>("int8");
  expect_back("numeric", std::numeric_limits<unsigned long>::max());
}

TEST_F(PqTypes, FloatingPoint) {
  for (const double value : {0.1, -1e308, 5e-324, 1.0 / 3, 1e-5}) expect_back("float8", value);
  for (const float value : {0.1F, -3e38F, 1e-45F}) expect_back("float4", value);
  expect_back("float8", std::numeric_limits<double>::infinity());
  expect_back("float4", -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(connection_.query_value<double>("select $1::float8", std::nan(""))));
}

TEST_F(PqTypes, Text) {
  for (const std::string& value :
       {std::string(), std::string("a'b\"c\\d\ne\tf"), std::string("gr\xc3\xbc\xc3\x9f"),
        std::string(100'000, 'x'), std::string("NULL"), std::string("{}")}) {
    expect_back("text", value);
  }
  EXPECT_EQ(connection_.query_value<std::string>("select $1 || $2", "literal ", "pair"),
            "literal pair");
}

TEST_F(PqTypes, TheServerInfersATypeFromWhereTheParameterStands) {
  EXPECT_EQ(connection_.query_value<int>("select 1 + $1", 2), 3);
  EXPECT_EQ(connection_.query_value<std::string>("select 'a' || $1", "b"), "ab");
  EXPECT_EQ(connection_.query_value<bool>("select 2 = any($1)", std::vector{1, 2}), true);
}

TEST_F(PqTypes, NullAsEveryKindOfNothing) {
  const char* null = nullptr;
  EXPECT_TRUE(connection_.query_value<bool>("select $1::int is null", nullptr));
  EXPECT_TRUE(connection_.query_value<bool>("select $1::int is null", std::nullopt));
  EXPECT_TRUE(connection_.query_value<bool>("select $1::text is null", null));
}

TEST_F(PqTypes, Bytes) {
  std::vector<std::byte> all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<std::byte>(b));
  expect_back("bytea", all);
  expect_back("bytea", std::vector<std::byte>());
  EXPECT_EQ(
      connection_.query_value<int>("select octet_length($1)", std::span<const std::byte>(all)),
      256);
  connection_.exec("set bytea_output = escape");
  expect_back("bytea", all);
}

TEST_F(PqTypes, PointsInTimeWhateverTheSessionsTimeZone) {
  const sys_time<microseconds> point = sys_days(std::chrono::March / 31 / 2024) + 1h + 123456us;
  for (const char* zone : {"UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"}) {
    connection_.exec("select set_config('TimeZone', $1, false)", zone);
    expect_back("timestamptz", point);
    expect_back("timestamptz", sys_time<microseconds>(-1us));
    // Local mean time, with seconds in the offset.
    expect_back("timestamptz", sys_time<microseconds>(sys_days(std::chrono::May / 1 / 1800)));
    expect_back("timestamptz", sys_time<microseconds>(sys_days(std::chrono::May / 1 / 12345)));
    expect_back("timestamptz",
                sys_time<microseconds>(sys_days(year_month_day(
                    std::chrono::year(-4000), std::chrono::May, std::chrono::day(1)))));
  }
  EXPECT_EQ(connection_.query_value<double>("select extract(epoch from $1::timestamptz)::float8",
                                            sys_time<microseconds>(1500ms)),
            1.5);
}

TEST_F(PqTypes, ADateStyleOtherThanIsoIsRefusedRatherThanMisread) {
  connection_.exec("set DateStyle = 'SQL, DMY'");
  EXPECT_THROW(connection_.query_value<sys_time<microseconds>>("select now()"), QueryError);
  EXPECT_THROW(connection_.query_value<year_month_day>("select current_date"), QueryError);
}

TEST_F(PqTypes, TimestampsWithoutZoneAndDates) {
  const auto day = std::chrono::February / 29 / 2024;
  expect_back("timestamp", std::chrono::local_time<microseconds>(std::chrono::local_days(day) +
                                                                 23h + 59min + 59s + 1us));
  expect_back("date", year_month_day(day));
  expect_back("date", year_month_day(std::chrono::year(0), std::chrono::May, std::chrono::day(1)));
  EXPECT_THROW(connection_.query_value<year_month_day>("select 'infinity'::date"), QueryError);
}

TEST_F(PqTypes, UuidJsonAndNumeric) {
  expect_back("uuid", *Uuid::parse("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
  expect_back("json", Json{R"({"a":[1,"\u00fc",null]})"});
  expect_back("jsonb", Json{R"({"a": 1})"});
  for (const char* digits : {"12345678901234567890.0000000001", "-0.10", "NaN", "0"}) {
    expect_back("numeric", Numeric{digits});
  }
}

TEST_F(PqTypes, ArraysWithNullsAndOddLowerBounds) {
  using Maybe = std::vector<std::optional<std::string>>;
  const Maybe values{"a", std::nullopt, "NULL", "", "x\"y\\z"};
  EXPECT_EQ(connection_.query_value<Maybe>("select $1::text[]", values), values);
  EXPECT_EQ(connection_.query_value<std::vector<int>>("select '[3:4]={7,8}'::int[]"),
            (std::vector{7, 8}));
  EXPECT_EQ(connection_.query_value<std::vector<int>>("select '{}'::int[]"), std::vector<int>());
}

// What came in binary form is read as whatever its text can be read as.
TEST_F(PqTypes, ABinaryResultIsReadAsEveryTypeThatItsTextIs) {
  const char* sql =
      "select true, 1::int2, -2::int4, 3::int8, 4::oid, 1.5::float4, -2.25::float8, 'x'::text, "
      "'y'::varchar, 'z'::name, '\\x0aff'::bytea, '{\"a\": 1}'::jsonb, '[2]'::json, "
      "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'NaN'::float8, null::int4";
  connection_.prepare(sql);
  const Rows text = connection_.exec({.format = ResultFormat::text}, sql);
  const Rows binary = connection_.exec({.format = ResultFormat::binary}, sql);
  for (std::size_t i = 0; i < text.columns(); ++i) {
    using Text = std::optional<std::string>;
    EXPECT_EQ(binary[0].get<Text>(i), text[0].get<Text>(i)) << i;
  }
  EXPECT_EQ(binary[0].get<long>(1), 1);
  EXPECT_EQ(binary[0].get<short>(3), 3);
  EXPECT_EQ(binary[0].get<unsigned>(4), 4u);
  EXPECT_EQ(binary[0].get<double>(2), -2.0);
  EXPECT_EQ(binary[0].get<double>(5), 1.5);
  EXPECT_EQ(binary[0].get<std::string_view>(7), "x");
  EXPECT_EQ(binary[0].get<std::string_view>(11), "{\"a\": 1}");
  EXPECT_EQ(binary[0].get<std::string_view>(2), "-2");
  EXPECT_THROW(binary[0].get<unsigned>(2), QueryError);
  EXPECT_THROW(binary[0].get<int>(7), QueryError);
  EXPECT_THROW(binary[0].get<int>(15), QueryError);
}

TEST_F(PqTypes, ANumericInBinaryFormHasTheSameDigits) {
  const char* sql = "select $1::text::numeric";
  connection_.prepare(sql);
  for (const char* digits : {"0", "0.00", "1", "-1", "9999", "10000", "10001", "0.0001", "-0.00001",
                             "123456789.987654321", "100000000000000000000", "0.10", "12340000",
                             "5000.0000000000000000001", "NaN", "Infinity", "-Infinity"}) {
    EXPECT_EQ(connection_.query_value<Numeric>({.format = ResultFormat::binary}, sql, digits).text,
              digits);
  }
  EXPECT_EQ(connection_.query_value<double>({.format = ResultFormat::binary}, sql, "2.5"), 2.5);
}

TEST_F(PqTypes, ADateInBinaryFormIsNoTextAndAnArrayComesAsText) {
  const ExecOptions binary{.format = ResultFormat::binary};
  const char* date = "select date '2024-02-29' as day";
  connection_.prepare(date);
  EXPECT_EQ(connection_.query_value<year_month_day>(binary, date),
            year_month_day(std::chrono::February / 29 / 2024));
  EXPECT_THAT(
      thrown_by<QueryError>([&] { connection_.query_value<std::string>(binary, date); }).what(),
      testing::StartsWith("row 0, column 0 \"day\": date cannot be read as std::string: it came "
                          "in binary form, and its text depends on the session: ask for "
                          "ResultFormat::text"));
  connection_.prepare("select 1, array[1, 2]");
  EXPECT_EQ(connection_.exec(binary, "select 1, array[1, 2]")[0].get<std::string>(1), "{1,2}");
  connection_.prepare("select 'infinity'::timestamptz");
  EXPECT_THROW(
      connection_.query_value<sys_time<microseconds>>(binary, "select 'infinity'::timestamptz"),
      QueryError);
}

TEST_F(PqTypes, NarrowingIsCheckedAgainstTheValue) {
  EXPECT_EQ(connection_.query_value<short>("select 32767::int8"), 32767);
  const auto error =
      thrown_by<QueryError>([&] { connection_.query_value<short>("select 32768::int8 as big"); });
  EXPECT_THAT(error.what(),
              testing::StartsWith("row 0, column 0 \"big\": int8 cannot be read as short: it is "
                                  "out of range (statement: select 32768::int8 as big) at "
                                  "postgres/pq_types.cpp:"));
}

}  // namespace tidegate::pq_test
