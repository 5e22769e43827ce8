#include <tidegate/pq/errors.hpp>

#include <string>
#include <type_traits>

#include <gmock/gmock.h>

namespace tidegate {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

QueryReport missing_table() {
  return {.severity = "ERROR",
          .sqlstate = "42P01",
          .message = "relation \"x\" does not exist",
          .detail = "a detail\nof two lines",
          .hint = "a hint",
          .context = "SQL function \"f\"",
          .position = 15,
          .statement = "select *\n  from x"};
}

static_assert(std::is_nothrow_copy_constructible_v<QueryError>);

TEST(QueryError, TheFirstLineAloneIsUseful) {
  const QueryError error(missing_table(), Location::current());
  const std::string line = std::to_string(error.where().line());
  EXPECT_THAT(error.what(), StartsWith("ERROR 42P01: relation \"x\" does not exist (statement: "
                                       "select * from x) at pq/errors_test.cpp:" +
                                       line + "\n"));
}

TEST(QueryError, TheOtherLinesCarryWhatTheServerAdded) {
  const QueryError error(missing_table());
  EXPECT_THAT(error.what(), EndsWith("(statement: select * from x)\n"
                                     "  position: 15\n"
                                     "  detail: a detail\n"
                                     "    of two lines\n"
                                     "  hint: a hint\n"
                                     "  context: SQL function \"f\""));
}

TEST(QueryError, EveryFieldOfTheReportCanBeRead) {
  QueryReport report = missing_table();
  report.schema = "s";
  report.table = "t";
  report.column = "c";
  report.constraint = "k";
  const QueryError error(report, {});
  EXPECT_EQ(error.code(), Errc::query);
  EXPECT_EQ(error.severity(), "ERROR");
  EXPECT_EQ(error.sqlstate(), "42P01");
  EXPECT_EQ(error.message(), "relation \"x\" does not exist");
  EXPECT_EQ(error.detail(), "a detail\nof two lines");
  EXPECT_EQ(error.hint(), "a hint");
  EXPECT_EQ(error.position(), 15);
  EXPECT_EQ(error.schema(), "s");
  EXPECT_EQ(error.table(), "t");
  EXPECT_EQ(error.column(), "c");
  EXPECT_EQ(error.constraint(), "k");
  EXPECT_EQ(error.statement(), "select *\n  from x");
  EXPECT_EQ(error.report().context, "SQL function \"f\"");
}

TEST(QueryError, OneWithoutACodeHasNoSeverityInItsText) {
  EXPECT_STREQ(QueryError({.message = "no row"}).what(), "no row");
}

TEST(QueryError, ALongStatementIsCutInTheTextButNotInTheField) {
  const std::string statement = "select '" + std::string(500, 'x') + "'";
  const QueryError error({.message = "m", .statement = statement});
  EXPECT_THAT(error.what(), EndsWith("xxx...)"));
  EXPECT_LT(std::string(error.what()).size(), 200u);
  EXPECT_EQ(error.statement(), statement);
}

TEST(QueryError, AStatementIsCutBetweenCharacters) {
  for (std::size_t shift = 0; shift < 4; ++shift) {
    std::string statement(shift, 'a');
    for (int i = 0; i < 100; ++i) statement += "\xe2\x82\xac";  // the euro sign: three bytes
    const QueryError error({.message = "m", .statement = statement});
    const std::string text = error.what();
    const auto end = text.find("...)");
    ASSERT_NE(end, text.npos);
    ASSERT_GT(end, 100u);
    EXPECT_EQ(text.substr(end - 3, 3), "\xe2\x82\xac");
  }
}

TEST(QueryError, ItsChildrenHaveTheirCodes) {
  EXPECT_EQ(QueryTimeout({}).code(), Errc::timeout);
  EXPECT_EQ(QueryCanceled({}).code(), Errc::canceled);
  EXPECT_EQ(ConnectionLost({}).code(), Errc::connection_lost);
  EXPECT_EQ(NoRows({}).code(), Errc::query);
  EXPECT_EQ(TooManyRows({}).code(), Errc::query);
}

TEST(QueryError, ItsChildrenAreCaughtAsWhatTheyAre) {
  EXPECT_THROW(throw ConnectionLost({.message = "gone"}), QueryError);
  const ErrorValue value = ErrorValue::of(ConnectionLost({.message = "gone"}));
  EXPECT_THROW(value.raise(), ConnectionLost);
  ASSERT_NE(value.as<QueryError>(), nullptr);
  EXPECT_EQ(value.as<QueryError>()->message(), "gone");
}

TEST(QueryError, ACopySharesTheReport) {
  const QueryError error(missing_table());
  const QueryError copy = error;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(&copy.report(), &error.report());
}

}  // namespace tidegate
