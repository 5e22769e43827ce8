// What logs and traces may show of a statement: no value that is written into it, whatever it is
// written like.
#include <random>
#include <string>

#include <gmock/gmock.h>

#include <tidegate/watch/query_text.hpp>

namespace tidegate::test {
namespace {

struct Shown {
  const char* sql;
  const char* text;
};

TEST(WithoutLiterals, ATextHasAQuestionMarkForEach) {
  const Shown table[] = {
      {"select 'secret'", "select ?"},
      {"select 'it''s'||'x'", "select ?||?"},
      {"select $1, $23 from a1", "select $1, $23 from a1"},
      {"select 1, -2.5e-3, .5, 0xFF, 1_000 from t2", "select ?, -?, ?, ?, ? from t2"},
      {"select a1, _2, \"3 'x'\", \"a\"\"4\"", "select a1, _2, \"3 'x'\", \"a\"\"4\""},
      {"select $$ 'a' $$, $q$ $$ b $q$, c", "select ?, ?, c"},
      {"select $q$ never ends $$", "select ?"},
      {"select 'never ends", "select ?"},
      {"select E'a\\'b', e'c'", "select ?, ?"},
      {"select E'a\\'b", "select ?"},
      // Where it ends depends on standard_conforming_strings.
      {"select 'a\\', 'secret', 'b'", "select ?"},
      {"select B'01', x'ff', N'n'", "select ?, ?, ?"},
      {"select U&'d\\0061t', U&\"d\\0061\"", "select ?, U&\"d\\0061\""},
      {"select date'2020-01-01', interval '1' day", "select date?, interval ? day"},
      {"select 1 -- secret\n, 2 /* more /* nested */ secret */ , 3", "select ? , ? , ?"},
      {"select 1 /* secret", "select ?"},
      {"  select\n\t a ;  ", "select a ;"},
      {"select a.b, c::int4[2], d->>'k'", "select a.b, c::int4[?], d->>?"},
      {"select 5and 6", "select ? ?"},  // as the server before 15: nothing of 5and stays
      {"", ""},
      {"$", "$"},
      {"'", "?"},
      {"select caf\xc3\xa9", "select caf\xc3\xa9"}};
  for (const auto& [sql, text] : table) EXPECT_EQ(without_literals(sql), text) << sql;
}

// Whatever stands around it, a value in quotes never comes through.
TEST(WithoutLiterals, NoValueEverStays) {
  std::mt19937 random(5);
  const char* const parts[] = {"select ", "a",   "\"b\"", " , ",   "1",  "'x'", "E'\\''",
                               "$$",      "$t$", "--c\n", "/*",    "*/", "(",   ")",
                               "''",      "\\",  "\n",    "U&'q'", "e",  "n"};
  for (int round = 0; round < 20'000; ++round) {
    std::string sql = "select ";
    for (int i = 0; i < 6; ++i) sql += parts[random() % std::size(parts)];
    // Behind whatever that has opened, it is in a literal, a comment, or unclear.
    const std::string shown = without_literals(sql + "'SECRET'");
    EXPECT_EQ(shown.find("SECRET"), shown.npos) << sql;
    const std::string once = without_literals(sql);
    EXPECT_EQ(once.find('\''), once.npos) << sql << " -> " << once;
  }
}

TEST(Summaries, NameOperationsAndTables) {
  const Shown table[] = {
      {"select * from orders where id = 7", "SELECT orders"},
      {"select 1", "SELECT"},
      {"select * from a, b c, only d as e, \"F\".g h where x", "SELECT a b d \"F\".g"},
      {"select * from a join b on true left join c using (id)", "SELECT a b c"},
      {"insert into ship (a, b) select x, 'from y' from orders", "INSERT ship SELECT orders"},
      {"insert into t values (1) on conflict do update set a = 2", "INSERT t"},
      {"update t set a = 1 from u where true", "UPDATE t u"},
      {"delete from t using u", "DELETE t u"},
      {"select * from t for update", "SELECT t"},
      {"select extract(year from d), trim(both from x) from t", "SELECT t"},
      {"select a is distinct from b from t", "SELECT t"},
      {"select * from (select * from t) x", "SELECT SELECT t"},
      {"with n as (select 1 from a) insert into b select * from n", "SELECT a INSERT b SELECT n"},
      {"BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"},
      {"  /* x */ (select 1)", "SELECT"},
      {"create table if not exists s.t (a int)", "CREATE s.t"},
      {"COPY \"q\" FROM STDIN", "COPY STDIN"},
      {"", ""},
      {"'x'", ""}};
  for (const auto& [sql, text] : table) EXPECT_EQ(summary_of(sql), text) << sql;
}

TEST(Summaries, AreBounded) {
  std::string sql = "select * from t";
  for (int i = 0; i < 1000; ++i) sql += " join table_number_" + std::to_string(i) + " on true";
  EXPECT_LE(summary_of(sql).size(), 255u);
  EXPECT_GT(summary_of(sql).size(), 200u);
}

TEST(Summaries, BeginWithTheOperation) {
  EXPECT_EQ(operation_of(" -- x\n ((select 1))"), "SELECT");
  EXPECT_EQ(operation_of("commit"), "COMMIT");
  EXPECT_EQ(operation_of("17"), "");
}

}  // namespace
}  // namespace tidegate::test
