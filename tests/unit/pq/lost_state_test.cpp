// A pooler that says that each transaction has another session of the server: what needs one beyond
// that is said to be lost, in the call that asks for it.
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/plain_sql.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {
namespace {

using pq::Leaves;
using pq::leaves_behind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(LeavesBehind, TellsByTheText) {
  for (const char* sql : {"listen news", "LISTEN \"News\"", "select 1; listen news"}) {
    EXPECT_EQ(leaves_behind(sql), Leaves::subscription) << sql;
  }
  for (const char* sql : {"set search_path = app", "SET SESSION statement_timeout = 1",
                          "/* c */ set role r", "begin; set work_mem = '1MB'; commit",
                          "set session characteristics as transaction read only"}) {
    EXPECT_EQ(leaves_behind(sql), Leaves::setting) << sql;
  }
  for (const char* sql : {"select pg_advisory_lock(1)", "select pg_try_advisory_lock_shared(1, 2)",
                          "select PG_CATALOG.PG_ADVISORY_LOCK_SHARED(1)"}) {
    EXPECT_EQ(leaves_behind(sql), Leaves::lock) << sql;
  }
  for (const char* sql : {"create temp table t (i int)", "create temporary table t as select 1",
                          "create local temp table t (i int) on commit delete rows"}) {
    EXPECT_EQ(leaves_behind(sql), Leaves::table) << sql;
  }
  EXPECT_EQ(leaves_behind("prepare p as select 1"), Leaves::statement);
}

TEST(LeavesBehind, NothingWhereNothingIsLeft) {
  for (const char* sql : {"",
                          "select 1",
                          "set local search_path = app",
                          "set transaction read only",
                          "set constraints all deferred",
                          "set application_name = 'a'",
                          "set time zone 'UTC'",
                          "set TimeZone = 'UTC'",
                          "set client_encoding to latin1",
                          "set names 'latin1'",
                          "set datestyle = iso",
                          "create table t (i int)",
                          "create temp table t (i int) on commit drop",
                          "select pg_advisory_xact_lock(1)",
                          "select 'listen', 'set x', 'pg_advisory_lock(1)'",
                          "notify news",
                          "prepare transaction 'p'",
                          "update t set x = 1",
                          "unlisten *",
                          "select 1 -- set x = 1",
                          "select $$ set x = 1 $$"}) {
    EXPECT_EQ(leaves_behind(sql), Leaves::nothing) << sql;
  }
}

std::string welcome_of_pgbouncer(const char* mode) {
  return welcome(parameter_status("pgbouncer.version", "1.26.1") +
                 parameter_status("pgbouncer.pool_mode", mode));
}
std::string command_done(const char* tag) {
  return message('C', c_string(tag)) + message('Z', "I");
}

class LostState : public testing::Test {
 protected:
  void hear(Connection& connection) {
    connection.set_notice_handler([this](const Notice& notice) {
      EXPECT_EQ(notice.severity, "WARNING");
      heard_.emplace_back(notice.message);
    });
  }
  // One to each message.
  void answer(ScriptedServer& server, std::vector<std::string> answers) {
    answers_ = std::jthread([&server, answers = std::move(answers)] {
      for (const std::string& each : answers) {
        server.receive_message();
        server.send(each);
      }
    });
  }
  std::vector<std::string> heard_{};
  std::jthread answers_{};
};

// They were accepted, and nothing ever arrived.
TEST_F(LostState, ListeningIsRefusedInTheCall) {
  for (const char* mode : {"transaction", "statement"}) {
    ScriptedServer server({welcome_of_pgbouncer(mode)});
    Connection connection = server.connect().connection;
    const ExecOptions soon{.by = std::chrono::seconds(10)};
    EXPECT_TRUE(connection.through_pooler()) << "whatever number it gave out";
    try {
      connection.exec(soon, "listen news");
      ADD_FAILURE() << "no error";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("no notification ever comes here"));
    }
    EXPECT_THROW(connection.exec_script(soon, "select 1; listen news"), UsageError);
    EXPECT_THROW(connection.notifications(Deadline(std::chrono::seconds(30))), UsageError);
    Batch batch;
    batch.add("select 1").add("listen news");
    EXPECT_THROW(static_cast<void>(connection.run(batch, soon)), UsageError);
    EXPECT_TRUE(connection.is_open());
  }
}

TEST_F(LostState, WhatIsLostWithItsTransactionIsToldOf) {
  ScriptedServer server({welcome_of_pgbouncer("transaction")});
  Connection connection = server.connect().connection;
  answer(server, {command_done("SET"), command_done("CREATE TABLE"), command_done("SET")});
  hear(connection);
  connection.exec_script("set search_path = app");
  connection.exec_script("create temp table t (i int)");
  connection.exec_script("set local search_path = app");
  EXPECT_THAT(heard_, ElementsAre(StartsWith("this setting is lost"),
                                  StartsWith("this temporary table is lost")));
}

TEST_F(LostState, WhereASessionIsKeptNothingIsSaid) {
  for (const std::string& greeting : {welcome_of_pgbouncer("session"), welcome()}) {
    ScriptedServer server({greeting});
    Connection connection = server.connect().connection;
    answer(server, {command_done("SET"), command_done("LISTEN")});
    hear(connection);
    connection.exec_script("set search_path = app");
    connection.exec_script("listen news");
    EXPECT_THAT(connection.notifications(Deadline::now()), IsEmpty());
    EXPECT_THAT(heard_, IsEmpty());
    answers_.join();
  }
}

}  // namespace
}  // namespace tidegate::pq_test
