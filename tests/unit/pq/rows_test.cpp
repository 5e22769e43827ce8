#include <tidegate/pq/rows.hpp>

#include <algorithm>
#include <iterator>
#include <ranges>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>

#include "unit/pq/made_rows.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;
using testing::StartsWith;

Rows people() {
  return make_rows({{"id", kInt8}, {"Name", kText}, {"age", kInt4}},
                   {{"1", "Ada", "36"}, {"2", "Grace", std::nullopt}});
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const QueryError& error) {
    return error.what();
  }
  return "";
}

static_assert(std::ranges::input_range<Rows>);
static_assert(std::ranges::input_range<TypedRows<int, std::string>>);
static_assert(!std::is_copy_constructible_v<Rows>);
static_assert(std::is_nothrow_move_constructible_v<Rows>);

TEST(Rows, DefaultConstructedRowsAreEmptyAndSafeToAsk) {
  Rows rows;
  EXPECT_EQ(rows.rows(), 0u);
  EXPECT_TRUE(rows.empty());
  EXPECT_EQ(rows.columns(), 0u);
  EXPECT_EQ(rows.affected(), 0u);
  EXPECT_EQ(rows.command_tag(), "");
  EXPECT_EQ(rows.begin(), rows.end());
  EXPECT_THROW(rows[0], QueryError);
  EXPECT_THROW(rows.column_name(0), QueryError);
  EXPECT_THROW(rows.only(), NoRows);
}

TEST(Rows, ValuesAreReadByPositionAndByName) {
  const Rows rows = people();
  EXPECT_EQ(rows.rows(), 2u);
  EXPECT_EQ(rows.columns(), 3u);
  EXPECT_EQ(rows[0].get<int>(0), 1);
  EXPECT_EQ(rows[1].get<std::string>("Name"), "Grace");
  EXPECT_EQ(rows[1].get<int>(std::string("id")), 2);
  EXPECT_EQ(rows.column_name(1), "Name");
  EXPECT_EQ(rows.column_type(1), kText);
  EXPECT_TRUE(rows[1].is_null(2));
  EXPECT_EQ(rows[1].get<std::optional<int>>("age"), std::nullopt);
}

TEST(Rows, ANameIsComparedExactly) {
  const Rows rows = people();
  EXPECT_THAT(error_of([&] { rows[0].get<std::string>("name"); }),
              StartsWith(R"(there is no column "name" among "id" "Name" "age" (statement: )"));
}

TEST(Rows, ARowIsValidAfterTheRowsWereMoved) {
  Rows first = people();
  const Row row = first[1];
  const Rows second = std::move(first);
  EXPECT_EQ(row.get<int>(0), 2);
  EXPECT_EQ(first.rows(), 0u);  // NOLINT(bugprone-use-after-move): documented as empty
}

TEST(Rows, TheyAreIteratedAsRowsOrAsTuples) {
  const Rows rows = people();
  std::vector<int> ids;
  for (const Row row : rows) ids.push_back(row.get<int>("id"));
  EXPECT_EQ(ids, (std::vector{1, 2}));

  std::vector<std::string> lines;
  for (auto [id, name, age] : rows.as<int, std::string_view, std::optional<int>>()) {
    lines.push_back(std::to_string(id) + " " + std::string(name) + " " +
                    std::to_string(age.value_or(-1)));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"1 Ada 36", "2 Grace -1"}));
}

// In C++20 only what the for statement itself names lives for the whole loop.
TEST(Rows, TuplesOfATemporaryKeepItsRows) {
  std::vector<std::string_view> names;
  auto tuples = people().as<int, std::string_view, std::optional<int>>();
  for (auto [id, name, age] : tuples) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"Ada", "Grace"}));
}

TEST(Rows, TheNumberOfColumnsIsCheckedOnceAndAlsoWithoutRows) {
  EXPECT_THAT(error_of([] { people().as<int>(); }),
              StartsWith("the result has 3 columns, 1 are asked for (statement: select made)"));
  const Rows none = make_rows({{"id", kInt4}}, {});
  EXPECT_THAT(error_of([&] { none.as<int, int>(); }), StartsWith("the result has 1 columns"));
  EXPECT_THAT(error_of([] { people()[0].as<int>(); }), StartsWith("the result has 3 columns"));
}

TEST(Rows, AConversionErrorNamesRowColumnAndBothTypesAndWhere) {
  const Rows rows = people();
  const std::string text = error_of([&] { rows[1].get<int>("Name"); });
  EXPECT_THAT(text, StartsWith("row 1, column 1 \"Name\": text cannot be read as int: "
                               "it is not a whole number (statement: select made) at "
                               "pq/made_rows.hpp:"));
  EXPECT_THAT(text, testing::Not(HasSubstr("Grace"))) << "values do not belong into logs";
}

TEST(Rows, ANullErrorNamesRowColumnAndBothTypes) {
  const Rows rows = people();
  EXPECT_THAT(error_of([&] { rows[1].get<int>(2); }),
              StartsWith("row 1, column 2 \"age\": int4 cannot be read as int: it is NULL; "
                         "std::optional takes NULL"));
  EXPECT_THAT(error_of([&] { rows[1].get<std::string>(2); }),
              HasSubstr("int4 cannot be read as std::string: it is NULL"));
}

TEST(Rows, AConversionErrorIsNotTheServers) {
  const Rows rows = people();
  try {
    rows[1].get<int>(2);
    FAIL();
  } catch (const QueryError& error) {
    EXPECT_EQ(error.code(), Errc::query);
    EXPECT_EQ(error.sqlstate(), "");
    EXPECT_EQ(error.column(), "age");
    EXPECT_EQ(error.statement(), "select made");
  }
}

TEST(Rows, WhatIsNotThereIsNamedWithWhatThereIs) {
  const Rows rows = people();
  EXPECT_THAT(error_of([&] { rows[0].get<int>(3); }),
              StartsWith("there is no column 3: the result has 3, counted from 0"));
  EXPECT_THAT(error_of([&] { rows[2]; }),
              StartsWith("there is no row 2: the result has 2, counted from 0"));
}

TEST(Rows, OnlyWantsExactlyOneRow) {
  EXPECT_EQ(make_value(kInt4, "5").only().get<int>(0), 5);
  EXPECT_THROW(make_rows({{"id", kInt4}}, {}).only(), NoRows);
  EXPECT_THAT(error_of([] { people().only(); }), StartsWith("2 rows, exactly one is asked for"));
  EXPECT_THROW(people().only(), TooManyRows);
}

}  // namespace tidegate::pq_test
