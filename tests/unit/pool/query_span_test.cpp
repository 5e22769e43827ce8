// A statement as a span: the names of OpenTelemetry's conventions, and no values.
#include <string>

#include <gmock/gmock.h>

#include <tidegate/pool/query_span.hpp>

namespace tidegate::test {
namespace {

using Value = std::variant<std::int64_t, std::string>;

Value value_of(const SpanAttributes& all, std::string_view name) {
  for (const auto& [key, value] : all) {
    if (key == name) return value;
  }
  return "(missing)";
}

TEST(QuerySpan, OfAStatement) {
  const QueryStarted statement{.kind = QueryKind::exec,
                               .text = "select * from orders where secret = 'x' and id = $1",
                               .where = Location::current(),
                               .database = "shop",
                               .host = "db1",
                               .port = "5433"};
  EXPECT_EQ(span_name(statement), "SELECT orders");
  const SpanAttributes all = span_attributes(statement);
  EXPECT_EQ(value_of(all, "db.system.name"), Value("postgresql"));
  EXPECT_EQ(value_of(all, "db.namespace"), Value("shop"));
  EXPECT_EQ(value_of(all, "db.operation.name"), Value("SELECT"));
  EXPECT_EQ(value_of(all, "db.query.text"),
            Value("select * from orders where secret = ? and id = $1"));
  EXPECT_EQ(value_of(all, "server.address"), Value("db1"));
  EXPECT_EQ(value_of(all, "server.port"), Value(std::int64_t{5433}));
  EXPECT_EQ(value_of(all, "code.file.path"), Value("pool/query_span_test.cpp"));
  EXPECT_EQ(value_of(all, "db.operation.batch.size"), Value("(missing)"));
}

TEST(QuerySpan, OfABatchSaysSo) {
  QueryStarted batch{
      .kind = QueryKind::batch, .text = "insert into t values ($1)", .statements = 3};
  EXPECT_EQ(span_name(batch), "BATCH INSERT t");
  EXPECT_EQ(value_of(span_attributes(batch), "db.operation.name"), Value("BATCH INSERT"));
  EXPECT_EQ(value_of(span_attributes(batch), "db.operation.batch.size"), Value(std::int64_t{3}));
  batch.statements = 1;
  EXPECT_EQ(value_of(span_attributes(batch), "db.operation.batch.size"), Value("(missing)"));
}

TEST(QuerySpan, OfNothingKnownHasANameAllTheSame) {
  EXPECT_EQ(span_name({}), "postgresql");
  EXPECT_EQ(value_of(span_attributes(QueryStarted{}), "server.port"), Value("(missing)"));
}

TEST(QuerySpan, SaysHowItEnded) {
  EXPECT_EQ(value_of(span_attributes(QueryEnded{.rows = 7}), "db.response.returned_rows"),
            Value(std::int64_t{7}));
  EXPECT_EQ(value_of(span_attributes(QueryEnded{}), "error.type"), Value("(missing)"));
  const SpanAttributes server =
      span_attributes(QueryEnded{.failed = true, .error = Errc::query, .sqlstate = "23505"});
  EXPECT_EQ(value_of(server, "db.response.status_code"), Value("23505"));
  EXPECT_EQ(value_of(server, "error.type"), Value("23505"));
  const SpanAttributes timeout =
      span_attributes(QueryEnded{.failed = true, .error = Errc::timeout});
  EXPECT_EQ(value_of(timeout, "error.type"), Value("timeout"));
  EXPECT_EQ(value_of(timeout, "db.response.status_code"), Value("(missing)"));
  EXPECT_EQ(value_of(span_attributes(QueryEnded{.failed = true}), "error.type"), Value("_OTHER"));
}

}  // namespace
}  // namespace tidegate::test
