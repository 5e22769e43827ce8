#include "pq/plain_sql.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::pq_test {

using pq::is_plain;

TEST(PlainSql, ReadsAndChangesOfRowsArePlain) {
  for (const char* sql : {
           "select 1",
           "SELECT * FROM t WHERE a = $1 and b = $22",
           " \t\r\n\f(( select 1))",
           "values (1)",
           "table t",
           "insert into t (a, b) values ($1, 'into')",
           "Insert Into t select * from u",
           "insert into t values ('it''s', \"a\"\"b\")",
           "update t set a = 1",
           "delete from t",
           "merge into t using u on true when matched then delete",
           "with x as (insert into t values (1) returning *) select * from x",
           "with x as materialized (delete from t returning *) insert into u select * from x",
           "with recursive x (n) as (select 1), y as (merge into t using x on true when matched "
           "then do nothing) merge into u using x on true when matched then do nothing",
           "-- set search_path\nselect 1 -- into",
           "-- set search_path\rselect 1",
           "/* a /* nested */ comment */ select /**/ 1",
           "select 'into', 'set_config', \"into\", \"x\" from t",
           "select 1;",
           "begin",
           "start transaction read only",
           "savepoint s",
           "select into_, xinto, interest from t",
       }) {
    EXPECT_TRUE(is_plain(sql)) << sql;
  }
}

TEST(PlainSql, EverythingElseMayChangeWhatATextMeans) {
  for (const char* sql : {
           "",
           ";",
           "   ",
           "-- select",
           "/* select",
           "/* a /* select 1 */",
           "set search_path = x",
           "-- select\rset search_path = x",
           "/* select */ set search_path = x",
           "(set search_path = x)",
           ";select 1",
           "reset all",
           "discard plans",
           "deallocate x",
           "alter table t add a int",
           "create table t ()",
           "do $$begin end$$",
           "call p()",
           "commit",
           "rollback",
           "release s",
           "execute x",
           "explain analyze insert into t values (1)",
           "selects",
           "\"select\" 1",
           "select set_config('search_path', 'x', false)",
           "select pg_catalog.Set_Config('search_path', 'x', false)",
           "select \"set_config\"('search_path', 'x', false)",
           "select U&\"\\0073et_config\"('search_path', 'x', false)",
           "select u&'x'",
           "select * into x from t",
           "select 1into x",
           "select 1 into x",
           "select 1 insert into x",
           "select a.insert into x from a",
           "with x as (select 1) select (1) insert into y",
           "with insert as (select 1) select 1 into y",
           "with x as (select 1) select * into y from x",
           "with x as (insert into t values (1) returning *) select * into y from x",
           "insert into t select 1 into y",
           "(select 1) union select 2 into y",
           "select $$text$$",
           "select $a$text$a$",
           "select 'back\\'' into y --'",
           "select E'\\n'",
           "select 'without an end",
           "select \"without an end",
       }) {
    EXPECT_FALSE(is_plain(sql)) << sql;
  }
}

TEST(PlainSql, WhatIsLookedUpByNameChangesTheMeaningOfTexts) {
  using pq::changes_meaning;
  for (const auto& [tag, sql] : std::vector<std::pair<const char*, const char*>>{
           {"ALTER TABLE", "alter table t add a int"},
           {"CREATE TABLE", "create temp table t ()"},
           {"DROP TYPE", "drop type t"},
           {"DO", "do $$begin end$$"},
           {"RESET", "reset all"},
           {"DISCARD PLANS", "discard plans"},
           {"SET", "set local Search_Path = x"},
           {"SET", "set schema 'x'"},
           {"SET", "set role x"},
           {"SET", "set session authorization x"},
           {"SET", ""},
           {"SELECT 1", "create table t as select 1"},
           {"SELECT 1", "/* a */ Create table t as select 1"},
           {"SELECT 1", "select 1; create table t as select 1"},
           {"SELECT 1", "select 1 into t"},
           {"SELECT 1", "select set_config('search_path', 'x', false)"},
           {"SELECT 1", "select set_config($1, $2, false)"},
           {"SELECT 1",
            "select set_config('my.x', '', true), set_config('search_' || 'path', '', true)"},
       }) {
    EXPECT_TRUE(changes_meaning(tag, sql)) << tag << ": " << sql;
  }
  for (const auto& [tag, sql] : std::vector<std::pair<const char*, const char*>>{
           {"SELECT 1", "select created_at, 'into' from t"},
           {"SELECT 1", "select created_at from t where a ~ '\\d'"},
           {"SELECT 1", "select $$text$$"},
           {"SELECT 1", "select set_config('my.tenant', $1, true)"},
           {"SELECT 1", ""},
           {"SET", "set statement_timeout = 0"},
           {"INSERT 0 1", "insert into t values ('set search_path')"},
           {"BEGIN", "begin"},
           {"CALL", "call p()"},
           {"COMMIT", "commit"},
           {"DELETE 1", "delete from t"},
       }) {
    EXPECT_FALSE(changes_meaning(tag, sql)) << tag << ": " << sql;
  }
}

TEST(PlainSql, WhatMayShareItsSession) {
  for (const char* sql : {
           "select 1", "  /* a */ -- b\n select $1::int4", "((select 1))", "values (1)", "table t",
           "insert into t values (1) returning *", "update t set a = 1", "delete from t",
           "merge into t using u on true when matched then delete",
           "with x as (insert into t values (1) returning *) select * from x",
           "select pg_advisory_xact_lock(1)",
           "select 1; select 2",  // the server refuses it
       }) {
    EXPECT_TRUE(pq::may_share_session(sql)) << sql;
  }
  for (const char* sql : {
           "",
           ";",
           "begin",
           "start transaction",
           "savepoint a",
           "commit",
           "set work_mem = '1MB'",
           "reset all",
           "discard all",
           "listen a",
           "notify a",
           "copy t from stdin",
           "copy (select 1) to stdout",
           "call p()",
           "do 'begin end'",
           "create table t ()",
           "drop table t",
           "truncate t",
           "vacuum",
           "prepare a as select 1",
           "execute a",
           "declare c cursor for select 1",
           "fetch c",
           "lock t",
           "explain select 1",
           "show all",
           "select 1 into t",
           "select set_config('a.b', 'c', false)",
           "select pg_advisory_lock(1)",
           "select pg_try_advisory_lock_shared(1)",
           "/* select",
       }) {
    EXPECT_FALSE(pq::may_share_session(sql)) << sql;
  }
}

}  // namespace tidegate::pq_test
