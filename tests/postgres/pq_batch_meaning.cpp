// What a statement of a batch means is decided where it stands: behind those before it.
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>

#include "postgres/pq_support.hpp"

namespace tidegate::pq_test {
namespace {

// Two tables of one name, of which search_path picks one: a date here, a time of the day there.
class PqBatchMeaning : public testing::Test {
 protected:
  PqBatchMeaning() {
    connection_.exec_script(
        "drop schema if exists one, two cascade; create schema one; create schema two;"
        "create table one.r (v date); create table two.r (v timestamp);"
        "create table one.q (v int); set search_path = one");
  }
  ~PqBatchMeaning() override { connect_to_server().exec("drop schema one, two cascade"); }

  std::string stored(const std::string& table) {
    return connection_.query_value<std::string>(
        {.prepared = false},
        Sql("select coalesce(string_agg(v::text, ', ' order by v), 'nothing') from " + table));
  }
  void run(const Batch& batch) { connection_.run(batch).raise(); }

  const char* const insert_ = "insert into r values ($1)";
  const char* const noon_ = "2024-05-06 12:00:00";
  const char* const two_noons_ = "2024-05-06 12:00:00, 2024-05-06 12:00:00";
  Connection connection_ = connect_to_server();
};

// They were parsed before the batch began: as dates, and the times were stored as midnight. Nor is
// what was parsed too early kept for later.
TEST_F(PqBatchMeaning, ATextThatStandsTwiceIsParsedBehindTheSetInFrontOfIt) {
  Batch batch;
  batch.add("set search_path = two").add(insert_, noon_).add(insert_, noon_);
  run(batch);
  EXPECT_EQ(stored("two.r"), two_noons_);
  connection_.exec("truncate two.r");
  for (int i = 0; i < 2; ++i) connection_.exec(insert_, noon_);
  EXPECT_EQ(stored("two.r"), two_noons_);
}

TEST_F(PqBatchMeaning, ACachedTextIsParsedAnewBehindTheSetInFrontOfIt) {
  connection_.prepare(insert_);
  Batch batch;
  batch.add("set search_path = two").add(insert_, noon_).add("select 1").add(insert_, noon_);
  run(batch);
  EXPECT_EQ(stored("two.r"), two_noons_);
}

TEST_F(PqBatchMeaning, HoweverTheSettingIsWritten) {
  connection_.prepare(insert_);
  for (const char* setting :
       {"/* a /* nested */ comment */ set search_path = two", "-- select\nset search_path = two",
        "-- select\rset search_path = two", "SeT Local search_path to two",
        "select set_config('search_path', 'two', false)",
        "select 1 where pg_catalog . \"set_config\" ('search_path', 'two', false) <> ''",
        "do $$begin perform set_config('search_path', 'two', false); end$$",
        "with x as (select SET_CONFIG('search_path', 'two', false)) select * from x",
        "alter table r alter v type timestamp", "alter table r rename to s; ",
        "create temp table r on commit drop as select null::timestamp v limit 0",
        "select null::timestamp v into temp table r limit 0",
        "with x as (select null::timestamp v) select * into temp table r from x limit 0",
        "(select null::timestamp v into temp table r limit 0) union all select null limit 0",
        "create temp table r (v timestamp) on commit drop"}) {
    connection_.exec_script("begin");
    Batch batch;
    batch.add(Sql(setting));
    if (std::string(setting).find("rename") != std::string::npos) {
      batch.add("alter table two.r set schema one");
    }
    for (int i = 0; i < 2; ++i) batch.add(insert_, noon_);
    batch.add("select v::text from r where v is not null");
    const BatchResults results = connection_.run(batch);
    connection_.exec_script("rollback; set search_path = one");
    ASSERT_FALSE(results.failed()) << setting << ": " << results.error(*results.failed())->what();
    const Rows& rows = results[batch.size() - 1];
    ASSERT_EQ(rows.size(), 2u) << setting;
    EXPECT_EQ(rows[0].get<std::string>(0), noon_) << setting;
  }
}

TEST_F(PqBatchMeaning, AColumnsNewTypeIsThatOfTheParametersBehindIt) {
  Batch batch;
  batch.add("alter table q alter v type text");
  for (int i = 0; i < 2; ++i) batch.add("insert into q values ($1)", "007");
  run(batch);
  EXPECT_EQ(stored("one.q"), "007, 007");
}

// 0A000, again at every repeat.
TEST_F(PqBatchMeaning, AColumnThatTheBatchAddsIsAmongTheResults) {
  connection_.exec("insert into q values (1)");
  connection_.prepare("select * from q");
  for (std::size_t columns = 2; columns < 5; ++columns) {
    Batch batch;
    const std::string added = 'c' + std::to_string(columns);
    batch.add("alter table q add column " + added + " int");
    for (int i = 0; i < 2; ++i) batch.add("select * from q");
    const BatchResults results = connection_.run(batch);
    ASSERT_FALSE(results.failed()) << results.error(*results.failed())->what();
    EXPECT_EQ(results[1].columns(), columns);
    EXPECT_EQ(results[2].columns(), columns);
  }
}

// Repeated, a statement that changes what its own text means is not what it was the first time.
TEST_F(PqBatchMeaning, AStatementMayChangeItsOwnMeaning) {
  const char* const sql =
      "insert into r select $1 where set_config('search_path', 'two', false) = 'two'";
  Batch batch;
  batch.add(sql, noon_).add(sql, noon_);
  run(batch);
  EXPECT_EQ(stored("one.r"), "2024-05-06");
  EXPECT_EQ(stored("two.r"), noon_);
}

TEST_F(PqBatchMeaning, WhatTheBatchDeallocatesIsNotUsedByName) {
  for (const char* clear : {"deallocate all", "do $$begin deallocate all; end$$"}) {
    for (int i = 0; i < 2; ++i) connection_.exec("select $1::int + 1", i);
    connection_.exec_script("begin");  // where nothing is repeated
    Batch batch;
    batch.add(clear).add("select $1::int + 1", 41);
    const BatchResults results = connection_.run(batch);
    connection_.exec_script("rollback");
    ASSERT_FALSE(results.failed()) << clear << ": " << results.error(*results.failed())->what();
    EXPECT_EQ(results[1][0].get<int>(0), 42);
  }
}

// Behind statements that change nothing but rows, names are as good as ever. Seen failing with a
// rule that lets names go behind one statement only.
TEST_F(PqBatchMeaning, BehindPlainStatementsTheCacheIsUsed) {
  const char* const counted = "select count(*)::int from q";
  for (int i = 0; i < 2; ++i) connection_.exec(counted);
  const auto executions = [&] {
    return connection_.query_value<int>(
        {.prepared = false},
        "select (generic_plans + custom_plans)::int from pg_prepared_statements "
        "where statement = $1",
        counted);
  };
  const int before = executions();
  Batch batch;
  for (const char* plain :
       {"insert into q (v) values (1), (2)", " update q set v = v + 1",
        "-- set search_path\ndelete from q where v = 2",
        "/* set */ with gone as (delete from q returning v) insert into q select v from gone",
        "(values (1))", "table q", "select 'set_config(', \"into\" from (select 1 \"into\") x",
        "merge into q using (values (3)) s (n) on q.v = s.n when matched then delete",
        "select current_date, $1::text"}) {
    std::string(plain).find('$') == std::string::npos ? batch.add(plain) : batch.add(plain, "x");
    batch.add(counted);
  }
  run(batch);
  EXPECT_EQ(executions(), before + static_cast<int>(batch.size()) / 2);
}

// One that is doubted was prepared anew beside itself, and neither was ever found again.
TEST_F(PqBatchMeaning, ADoubtedTextIsPreparedInThePlaceOfItself) {
  const std::string text = "select count(*) from q where v = $1";
  Batch twice;
  twice.add(text, 1).add(text, 2);
  run(twice);
  connection_.exec("create table one.doubt ()");
  run(twice);
  run(twice);
  EXPECT_EQ(connection_.query_value<int>({.prepared = false},
                                         "select count(*)::int from pg_prepared_statements "
                                         "where statement = $1",
                                         text),
            1);
}

}  // namespace
}  // namespace tidegate::pq_test
