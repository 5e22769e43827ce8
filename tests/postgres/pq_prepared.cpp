// The cache of prepared statements.
#include <algorithm>
#include <string>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

class PqPrepared : public testing::Test {
 protected:
  explicit PqPrepared(std::uint32_t capacity = 256)
      : connection_(std::move(connected_with({.statement_cache = capacity}).connection)) {}

  int on_server() {
    return connection_.query_value<int>({.prepared = false},
                                        "select count(*) from pg_prepared_statements");
  }
  int executions(const char* statement) {
    return connection_.query_value<int>({.prepared = false},
                                        "select coalesce(sum(generic_plans + custom_plans), -1) "
                                        "from pg_prepared_statements where statement = $1",
                                        statement);
  }
  void expect_usable() {
    EXPECT_EQ(connection_.query_value<int>("select $1 + 1", 41), 42);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
  }

  Connection connection_;
};

TEST_F(PqPrepared, AStatementIsPreparedAtItsFirstUseAndBoundFromThenOn) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(connection_.query_value<int>("select $1 * 2", i), 2 * i);
  EXPECT_EQ(on_server(), 1);
  EXPECT_EQ(executions("select $1 * 2"), 3);
}

TEST_F(PqPrepared, NotWhereTheCallerSaysSo) {
  connection_.exec({.prepared = false}, "select 1");
  connection_.exec_script("select 1");
  EXPECT_EQ(on_server(), 0);
}

TEST_F(PqPrepared, AStatementCanBePreparedAhead) {
  connection_.prepare("select $1::int");
  connection_.prepare("select $1::int");
  EXPECT_EQ(on_server(), 1);
  EXPECT_EQ(executions("select $1::int"), 0);
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.prepare("select frm x"); }).sqlstate(),
            "42703");
  expect_usable();
}

TEST_F(PqPrepared, AStatementThatFailsIsStillPrepared) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select 1 / $1", 0); }).sqlstate(),
              "22012");
  }
  EXPECT_EQ(on_server(), 1);
  expect_usable();
}

// "cached plan must not change result type"
TEST_F(PqPrepared, AChangeOfTheTableIsNotNoticedOutsideATransaction) {
  Connection other = connect_to_server();
  other.exec("create table altered (a int)");
  EXPECT_EQ(connection_.exec("select * from altered").columns(), 1u);
  other.exec("alter table altered add column b int");
  EXPECT_EQ(connection_.exec("select * from altered").columns(), 2u);
  EXPECT_EQ(connection_.exec("select * from altered").columns(), 2u);
  connection_.exec("select $1 = a from altered", 1);
  other.exec("alter table altered alter column a type bigint");
  EXPECT_NO_THROW(connection_.exec("select $1 = a from altered", 1));
  other.exec("drop table altered");
  expect_usable();
}

TEST_F(PqPrepared, InATransactionThatErrorIsReportedAndTheNextUseIsWell) {
  connection_.exec("create table altered (a int)");
  connection_.exec("select * from altered");
  connect_to_server().exec("alter table altered add column b int");
  connection_.exec("begin");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select * from altered"); }).sqlstate(),
            "0A000");
  connection_.exec("rollback");
  EXPECT_EQ(connection_.exec("select * from altered").columns(), 2u);
  connection_.exec("drop table altered");
  expect_usable();
}

TEST_F(PqPrepared, AStatementDeallocatedBehindItsBackIsPreparedAgain) {
  connection_.exec_script(
      "create function pg_temp.forget() returns int language plpgsql as "
      "$$begin deallocate all; return 1; end$$");
  for (int i = 0; i < 2; ++i) connection_.exec("select 1");
  connection_.exec({.prepared = false}, "select pg_temp.forget()");
  EXPECT_EQ(on_server(), 0);
  EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
  connection_.exec("select 1");
  EXPECT_EQ(on_server(), 1);
  expect_usable();
}

// A pooler that is not recognized and does not map names loses them all the time. What was lost
// with the first one is not looked for by name.
TEST_F(PqPrepared, AConnectionThatLosesNamesTwiceUsesNone) {
  connection_.exec_script(
      "create function pg_temp.forget() returns int language plpgsql as "
      "$$begin deallocate all; return 1; end$$");
  const auto use_both = [this] {
    EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
    EXPECT_EQ(connection_.query_value<int>("select 2"), 2);
  };
  use_both();
  connection_.exec({.prepared = false}, "select pg_temp.forget()");
  EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
  connection_.exec("begin");
  use_both();
  connection_.exec("commit");
  for (int i = 0; i < 3; ++i) use_both();
  EXPECT_EQ(executions("select 2"), 3);
  connection_.exec({.prepared = false}, "select pg_temp.forget()");
  for (int i = 0; i < 3; ++i) use_both();
  EXPECT_EQ(on_server(), 0);
  connection_.prepare("select 3");
  Batch batch;
  for (int i = 0; i < 2; ++i) batch.add("select $1::int", i);
  EXPECT_EQ(connection_.run(batch)[1][0].get<int>(0), 1);
  EXPECT_EQ(on_server(), 0);
  expect_usable();
}

TEST_F(PqPrepared, DiscardAllAndDeallocateAllClearTheCache) {
  for (const char* clear : {"discard all", "deallocate all"}) {
    connection_.exec("select 1");
    connection_.exec_script(clear);
    EXPECT_EQ(on_server(), 0);
    connection_.exec("begin");  // where a stale statement would be an error
    EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
    connection_.exec("rollback");
    connection_.exec(clear);
    EXPECT_EQ(on_server(), 0);
  }
  expect_usable();
}

// The server reads text and bytes differently, and what it inferred for one is wrong for the other.
TEST_F(PqPrepared, BytesAndTextInTheSamePlaceAreToldApart) {
  const char* sql = "select octet_length($1)";
  const std::vector<std::byte> bytes{std::byte{0xff}, std::byte{0}, std::byte{'\\'}};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(connection_.query_value<int>(sql, "a\\\\b"), 4);
    EXPECT_EQ(connection_.query_value<int>(sql, bytes), 3);
  }
  Connection another = connect_to_server();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(another.query_value<int>(sql, bytes), 3);
    EXPECT_EQ(another.query_value<int>(sql, "a\\\\b"), 4);
  }
}

TEST_F(PqPrepared, ADeadlineWhileItIsPreparedIsATimeout) {
  Connection other = connect_to_server();
  other.exec("create table if not exists locked (id int)");
  other.exec_script("begin; lock table locked in access exclusive mode");
  EXPECT_THROW(connection_.exec({.by = 20ms}, "select * from locked"), QueryTimeout);
  other.exec_script("drop table locked; commit");
  expect_usable();
}

class PqPreparedFew : public PqPrepared {
 protected:
  PqPreparedFew() : PqPrepared(2) {}
};

// One more than was asked for stayed. What a mistake has no need of stays, too.
TEST_F(PqPreparedFew, WhatHasNoRoomIsDeallocatedWithTheNextThatIsPrepared) {
  for (int i = 0; i < 20; ++i) {
    connection_.exec("select " + std::to_string(i));
    EXPECT_EQ(on_server(), std::min(i + 1, 2));
  }
  for (int i = 0; i < 3; ++i) EXPECT_THROW(connection_.exec("select frm x"), QueryError);
  EXPECT_EQ(executions("select 18"), 1);
  EXPECT_EQ(executions("select 19"), 1);
  connection_.exec("begin");
  for (int i = 0; i < 20; ++i) connection_.exec("select " + std::to_string(i));
  connection_.exec("commit");
  connection_.exec("select 'outside'");
  EXPECT_EQ(on_server(), 2);
  expect_usable();
}

// Deallocating what is gone is an error of its own, and nobody's.
TEST_F(PqPreparedFew, AStatementThatIsGoneAlreadyIsNoReasonToFail) {
  connection_.exec("select 1");
  connection_.exec("do $$begin deallocate all; end$$");
  for (int i = 0; i < 4; ++i) connection_.exec("select " + std::to_string(i + 2));
  EXPECT_EQ(on_server(), 2);
  // Several in front of the next one, each of them in vain.
  connection_.exec("begin");
  for (int i = 0; i < 4; ++i) connection_.exec("select " + std::to_string(i));
  connection_.exec("commit");
  connection_.exec_script("do $$begin deallocate all; end$$");
  for (int i = 0; i < 4; ++i) connection_.exec("select " + std::to_string(i));
  EXPECT_EQ(on_server(), 2);
  expect_usable();
}

// It would be an error inside the transaction, and the end of that. Seen failing: a DEALLOCATE that
// goes in front of the next statement wherever that is.
TEST_F(PqPreparedFew, NothingIsDeallocatedInsideATransaction) {
  for (int i = 0; i < 3; ++i) connection_.exec("select " + std::to_string(i));
  connection_.exec_script("do $$begin deallocate all; end$$; begin");
  EXPECT_NO_THROW(connection_.exec("select 'first'"));
  EXPECT_NO_THROW(connection_.exec("select 'second'"));
  connection_.exec_script("commit");
  expect_usable();
}

class PqUnprepared : public PqPrepared {
 protected:
  PqUnprepared() : PqPrepared(0) {}
};

TEST_F(PqUnprepared, ACacheOfNothingUsesUnnamedStatementsOnly) {
  connection_.prepare("select 1");
  for (int i = 0; i < 2; ++i) connection_.exec("select $1", 1);
  EXPECT_EQ(on_server(), 0);
  expect_usable();
}

}  // namespace tidegate::pq_test
