// A bytea in a result travels as bytes, and what is read of its row is what the text would have
// been.
#include <libpq-fe.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>

#include "postgres/pq_support.hpp"

namespace tidegate::pq_test {

using Bytes = std::vector<std::byte>;

namespace {

// As somebody's own conversion tells how a value has come.
struct Form {
  bool binary = false;
};

}  // namespace
}  // namespace tidegate::pq_test

template <>
struct tidegate::Convert<tidegate::pq_test::Form> {
  static pq_test::Form decode(const Field& in) { return {in.binary()}; }
};

namespace tidegate::pq_test {

class PqBytes : public testing::Test {
 protected:
  bool comes_as_bytes(std::string_view sql, ExecOptions options = {}) {
    return connection_.exec(options, Sql(sql))[0].get<Form>(0).binary;
  }

  Connection connection_ = connect_to_server();
};

// Hex text was twice as much on the wire, in libpq's buffer and in the result: 200 MB there and
// back took 1,010 MB.
TEST_F(PqBytes, ComeAsBytesFromTheFirstUseOn) {
  EXPECT_TRUE(comes_as_bytes("select '\\x00ff'::bytea"));
  EXPECT_TRUE(comes_as_bytes("select '\\x00ff'::bytea"));
  EXPECT_TRUE(comes_as_bytes(
      "select '\\x00ff'::bytea, 1, 2::int2, 3::int8, true, 'text', 'v'::varchar, 'n'::name, 1.50, "
      "'{}'::json, '{}'::jsonb, gen_random_uuid(), 1::oid, null::bytea"));
}

TEST_F(PqBytes, ComeAsTextWhereThatWasAskedForOrTheirNeighboursNeedIt) {
  EXPECT_FALSE(comes_as_bytes("select '\\x00ff'::bytea", {.format = ResultFormat::text}));
  EXPECT_FALSE(comes_as_bytes("select '\\x00ff'::bytea", {.prepared = false}));
  for (const char* neighbour : {"now()", "current_date", "1.5::float8", "1.5::float4", "array[1]",
                                "'x'::\"char\"", "'1 day'::interval"}) {
    EXPECT_FALSE(comes_as_bytes("select '\\x00ff'::bytea, " + std::string(neighbour))) << neighbour;
  }
  EXPECT_FALSE(comes_as_bytes("select 1, 'text'")) << "nothing is gained";
}

TEST_F(PqBytes, AreReadTogetherWithTheirNeighboursAsFromText) {
  const char* sql =
      "select '\\x00ff7f'::bytea, true, -2::int2, 2147483647, -9223372036854775807::int8, "
      "4294967295::oid, 'gr\u00fc\u00df'::text, 'v'::varchar, 'b'::char(3), 'n'::name, "
      "'[1, 2]'::json, '{\"a\": 1}'::jsonb, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, "
      "-0.000120::numeric, 'NaN'::numeric, 12345678901234567890::numeric, null::int, ''::bytea, "
      "''::text, null::bytea";
  const Rows text = connection_.exec({.format = ResultFormat::text}, sql);
  const Rows bytes = connection_.exec(sql);
  ASSERT_TRUE(bytes[0].get<Form>(0).binary);
  for (std::size_t i = 0; i < text.columns(); ++i) {
    using Text = std::optional<std::string>;
    using View = std::optional<std::string_view>;
    EXPECT_EQ(bytes[0].get<Text>(i), text[0].get<Text>(i)) << i;
    const View view = bytes[0].get<View>(i);
    EXPECT_EQ(view, text[0].get<View>(i)) << i;
    if (view) {
      EXPECT_EQ(bytes[0].get<View>(i)->data(), view->data()) << "kept, once: " << i;
    }
  }
  EXPECT_EQ(bytes[0].get<Bytes>(0), (Bytes{std::byte{0}, std::byte{0xff}, std::byte{0x7f}}));
  EXPECT_EQ(bytes[0].get<Bytes>(0), text[0].get<Bytes>(0));
  EXPECT_EQ(bytes[0].get<Bytes>(17), Bytes());
  EXPECT_EQ(bytes[0].get<std::optional<Bytes>>(19), std::nullopt);
  EXPECT_EQ(bytes[0].get<int>(3), 2147483647);
}

TEST_F(PqBytes, RowByRowAndInABatchToo) {
  const char* sql = "select i, convert_to(i::text, 'UTF8') from generate_series(1, 3) i order by i";
  Batch batch;
  batch.add(sql);
  batch.add(sql);
  const BatchResults results = connection_.run(batch);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(results[i][2].get<Form>(1).binary) << i;
    EXPECT_EQ(results[i][2].get<int>(0), 3) << i;
    EXPECT_EQ(results[i][2].get<std::string_view>(0), "3") << i;
    EXPECT_EQ(results[i][2].get<Bytes>(1), Bytes{std::byte{0x33}}) << i;
  }
  std::string seen;
  connection_.each(sql, [&](const Row& row) {
    EXPECT_TRUE(row.get<Form>(1).binary);
    seen.append(row.get<std::string_view>(0)).append(row.get<std::string_view>(1)).append(" ");
  });
  EXPECT_EQ(seen, "1\\x31 2\\x32 3\\x33 ");
}

// The column is another one at the next use.
TEST_F(PqBytes, AColumnThatBecomesOneIsReadRightAndOneThatIsNoLongerToo) {
  connection_.exec_script("create temp table t (a text); insert into t values ('3x')");
  const char* sql = "select a from t";
  EXPECT_EQ(connection_.query_value<std::string>(sql), "3x");
  connection_.exec("alter table t alter a type bytea using a::bytea");
  for (int use = 0; use < 3; ++use) {
    EXPECT_EQ(connection_.query_value<std::string>(sql), "\\x3378") << use;
  }
  connection_.exec("alter table t alter a type text using 'back'");
  for (int use = 0; use < 3; ++use) {
    EXPECT_EQ(connection_.query_value<std::string>(sql), "back") << use;
  }
}

}  // namespace tidegate::pq_test
