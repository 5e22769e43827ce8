#include <tidegate/pq/connection.hpp>

#include <sys/socket.h>

#include <string>
#include <thread>

#include <gmock/gmock.h>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;
using testing::StartsWith;

class PqQuery : public testing::Test {
 protected:
  void expect_usable() {
    EXPECT_TRUE(connection_.is_open());
    EXPECT_EQ(connection_.transaction_status(), TransactionStatus::idle);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
    EXPECT_EQ(connection_.query_value<int>("select 41 + $1", 1), 42);
  }

  pq::ConnectOutcome outcome_ = connected();
  Connection& connection_ = outcome_.connection;
};

TEST_F(PqQuery, RowsCarryTheirColumnsCountAndTag) {
  const Rows rows = connection_.exec("select n, 'x' as \"Text\" from generate_series(1, $1) n", 3);
  EXPECT_EQ(rows.rows(), 3u);
  EXPECT_EQ(rows.columns(), 2u);
  EXPECT_EQ(rows.column_name(1), "Text");
  EXPECT_EQ(rows.command_tag(), "SELECT 3");
  int sum = 0;
  for (auto [n, text] : rows.as<int, std::string_view>()) sum += n;
  EXPECT_EQ(sum, 6);
}

TEST_F(PqQuery, CommandsTellHowManyRowsTheyAffected) {
  EXPECT_EQ(connection_.exec("create temp table t (id int)").affected(), 0u);
  const Rows inserted = connection_.exec("insert into t select generate_series(1, 5)");
  EXPECT_EQ(inserted.affected(), 5u);
  EXPECT_EQ(inserted.command_tag(), "INSERT 0 5");
  EXPECT_TRUE(inserted.empty());
  EXPECT_EQ(connection_.exec("delete from t where id > $1", 3).affected(), 2u);
}

TEST_F(PqQuery, RowsOutliveTheirConnection) {
  Rows rows = connection_.exec("select 7 as n");
  connection_.close();
  EXPECT_EQ(rows[0].get<int>("n"), 7);
}

TEST_F(PqQuery, AnEmptyStatementIsNoError) { EXPECT_TRUE(connection_.exec("").empty()); }

TEST_F(PqQuery, AStatementIsTakenFromAViewThatNoNulEnds) {
  const std::string text = "select 12345";
  EXPECT_EQ(connection_.query_value<int>(std::string_view(text).substr(0, 9)), 12);
}

TEST_F(PqQuery, QueryRowWantsExactlyOneRowAndItsColumns) {
  const auto [id, name] = connection_.query_row<int, std::string>("select 1, $1", "one");
  EXPECT_EQ(id, 1);
  EXPECT_EQ(name, "one");
  const auto none = thrown_by<NoRows>([&] { connection_.query_row<int>("select 1 where false"); });
  EXPECT_THAT(none.what(), StartsWith("no row, exactly one is asked for (statement: select 1 where "
                                      "false) at postgres/pq_query.cpp:"));
  EXPECT_THROW(connection_.query_row<int>("values (1), (2)"), TooManyRows);
  EXPECT_THAT(thrown_by<QueryError>([&] { connection_.query_value<int>("select 1, 2"); }).what(),
              StartsWith("the result has 2 columns, 1 are asked for"));
  expect_usable();
}

TEST_F(PqQuery, AnErrorCarriesTheServersReportAndTheConnectionStaysUsable) {
  connection_.exec("create temp table people (id int constraint people_key primary key)");
  connection_.exec("insert into people values (1)");
  const auto error =
      thrown_by<QueryError>([&] { connection_.exec("insert into people values ($1)", 1); });
  EXPECT_EQ(error.code(), Errc::query);
  EXPECT_EQ(error.severity(), "ERROR");
  EXPECT_EQ(error.sqlstate(), "23505");
  EXPECT_EQ(error.message(), "duplicate key value violates unique constraint \"people_key\"");
  EXPECT_EQ(error.detail(), "Key (id)=(1) already exists.");
  EXPECT_EQ(error.table(), "people");
  EXPECT_EQ(error.constraint(), "people_key");
  EXPECT_THAT(error.schema(), StartsWith("pg_temp"));
  EXPECT_EQ(error.statement(), "insert into people values ($1)");
  EXPECT_EQ(error.where().file(), "postgres/pq_query.cpp");
  EXPECT_THAT(error.what(), StartsWith("ERROR 23505: duplicate key value violates unique "
                                       "constraint \"people_key\" (statement: insert into people "
                                       "values ($1)) at postgres/pq_query.cpp:"));
  expect_usable();
}

TEST_F(PqQuery, ASyntaxErrorHasItsPositionAndAHintWhereThereIsOne) {
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select frm x"); }).sqlstate(), "42703");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select 1 from from"); }).position(), 15);
  // (Of a function that is not there PostgreSQL 19 says it in the detail.)
  const auto error =
      thrown_by<QueryError>([&] { connection_.exec("select relnam from pg_class"); });
  EXPECT_THAT(error.hint(), HasSubstr("Perhaps you meant to reference the column"));
  EXPECT_THAT(error.what(), HasSubstr("\n  hint: Perhaps you meant to reference the column"));
  expect_usable();
}

// The rows come first, and the constraint fails after them, when the statement's own transaction
// ends.
TEST_F(PqQuery, AnErrorAfterTheRowsIsStillAnError) {
  connection_.exec(
      "create temp table late (id int, constraint k unique (id) deferrable initially deferred)");
  connection_.exec("insert into late values (1)");
  const auto error =
      thrown_by<QueryError>([&] { connection_.exec("insert into late values (1) returning id"); });
  EXPECT_EQ(error.sqlstate(), "23505");
  expect_usable();
  EXPECT_EQ(connection_.query_value<int>("select count(*) from late"), 1);
}

TEST_F(PqQuery, MistakesInTheCallLeaveTheConnectionUsable) {
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select $1::int", 1, 2); }).sqlstate(),
            "42P18");
  EXPECT_EQ(
      thrown_by<QueryError>([&] { connection_.exec("select $1::int, $2::int", 1); }).sqlstate(),
      "08P01");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select $1::int", "x"); }).sqlstate(),
            "22P02");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select $1", "\xff"); }).sqlstate(),
            "22021");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select $1::nonsense", 1); }).sqlstate(),
            "42704");
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select 1; select 2"); }).sqlstate(),
            "42601");
  expect_usable();
}

TEST_F(PqQuery, ANulIsRefusedBeforeAnythingIsSent) {
  EXPECT_THROW(connection_.exec("select $1::int, $2", 1, std::string("a\0b", 3)), UsageError);
  EXPECT_THROW(connection_.exec(std::string("select 1\0", 9)), UsageError);
  EXPECT_THROW(connection_.exec_script(std::string("select 1\0", 9)), UsageError);
  expect_usable();
}

TEST_F(PqQuery, AClosedConnectionIsAUsageError) {
  Connection moved = std::move(connection_);
  EXPECT_FALSE(connection_.is_open());  // NOLINT(bugprone-use-after-move): documented as closed
  EXPECT_THROW(connection_.exec("select 1"), UsageError);
  EXPECT_THROW(connection_.exec_script("select 1"), UsageError);
  EXPECT_THROW(connection_.set_notice_handler({}), UsageError);
  EXPECT_FALSE(connection_.ping(kLong));
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_EQ(pq::PoolAccess(connection_).check_socket(), pq::SocketCheck::dead);
  EXPECT_EQ(connection_.backend_pid(), 0);
  EXPECT_EQ(connection_.native_handle(), nullptr);
  EXPECT_EQ(pq::PoolAccess(connection_).socket(), -1);
  EXPECT_EQ(connection_.parameter_status("server_version"), std::nullopt);
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::unknown);
  connection_ = std::move(moved);
  expect_usable();
}

TEST_F(PqQuery, AScriptRunsAllItsStatementsAsOneTransaction) {
  connection_.exec_script("create temp table s (id int); insert into s values (1), (2);");
  EXPECT_EQ(connection_.query_value<int>("select count(*) from s"), 2);
  const auto error = thrown_by<QueryError>([&] {
    connection_.exec_script("insert into s values (3); select 1/0; insert into s values (4)");
  });
  EXPECT_EQ(error.sqlstate(), "22012");
  EXPECT_EQ(connection_.query_value<int>("select count(*) from s"), 2);
  expect_usable();
}

TEST_F(PqQuery, CopyIsRefusedAndBroughtToItsEnd) {
  connection_.exec("create temp table c (id int)");
  for (const char* copy : {"copy c from stdin", "copy c to stdout",
                           "copy (select generate_series(1, 200000)) to stdout"}) {
    EXPECT_THAT(thrown_by<UsageError>([&] { connection_.exec(copy); }).what(),
                StartsWith("COPY is not for exec()"));
    EXPECT_THROW(connection_.exec_script(copy), UsageError);
    expect_usable();
  }
}

TEST_F(PqQuery, StatementsParametersAndRowsMayBeLargerThanAnyBuffer) {
  const std::string large(20'000'000, 'x');
  EXPECT_EQ(connection_.query_value<std::string>("select $1", large), large);
  const std::string script = "do $$begin for i in 1..2000 loop raise notice '" +
                             std::string(1000, 'n') + "'; end loop; end$$; --" + large;
  connection_.exec_script(script);
  expect_usable();
}

TEST_F(PqQuery, TheStateOfTheTransactionIsKnown) {
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::idle);
  connection_.exec("begin");
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::in_transaction);
  EXPECT_THROW(connection_.exec("select 1/0"), QueryError);
  EXPECT_EQ(connection_.transaction_status(), TransactionStatus::in_failed_transaction);
  EXPECT_EQ(thrown_by<QueryError>([&] { connection_.exec("select 1"); }).sqlstate(), "25P02");
  connection_.exec("rollback");
  expect_usable();
}

TEST_F(PqQuery, TheServerTellsAboutItself) {
  EXPECT_EQ(connection_.backend_pid(), connection_.query_value<int>("select pg_backend_pid()"));
  EXPECT_EQ(connection_.parameter_status("server_version"),
            connection_.query_value<std::string>("show server_version"));
  EXPECT_EQ(connection_.parameter_status("no such parameter"), std::nullopt);
}

TEST_F(PqQuery, ASessionThatEndsUnderAQueryIsAConnectionLost) {
  const auto lost = thrown_by<ConnectionLost>(
      [&] { connection_.exec("select pg_terminate_backend(pg_backend_pid())"); });
  EXPECT_EQ(lost.code(), Errc::connection_lost);
  EXPECT_EQ(lost.sqlstate(), "57P01");
  EXPECT_EQ(lost.severity(), "FATAL");
  EXPECT_THAT(lost.what(), StartsWith("FATAL 57P01: terminating connection due to administrator "
                                      "command (statement: select pg_terminate_backend("));
  EXPECT_FALSE(connection_.is_open());
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(),
            "57P01: terminating connection due to administrator command");
}

TEST_F(PqQuery, ABrokenConnectionSaysThatNothingWasSent) {
  terminate(connection_.backend_pid(), outcome_.duplicate.get());
  EXPECT_THROW(connection_.exec("select 1"), ConnectionLost);
  const auto lost = thrown_by<ConnectionLost>([&] { connection_.exec("select 1"); });
  EXPECT_THAT(lost.what(), StartsWith("FATAL 57P01: the connection was already broken, nothing was "
                                      "sent: terminating connection"));
  EXPECT_THROW(connection_.exec_script("select 1"), ConnectionLost);
}

TEST_F(PqQuery, AShutDownOfTheDuplicateEndsAQueryInAnotherThread) {
  const int pid = connection_.backend_pid();
  std::string lost;
  std::jthread query([&] {
    lost = thrown_by<ConnectionLost>([&] { connection_.exec("select pg_sleep(600)"); }).message();
  });
  wait_until_asleep(pid);
  ::shutdown(outcome_.duplicate.get(), SHUT_RDWR);
  query.join();
  EXPECT_NE(lost, "");
  EXPECT_FALSE(connection_.is_open());
  connect_to_server().exec("select pg_terminate_backend($1)", pid);
}

// An error of class 08 that the server reports about something else (here: as a foreign data
// wrapper would) leaves the session alive; it is not given to the next user all the same.
TEST_F(PqQuery, AnErrorOfClass08DoomsButDoesNotBreak) {
  const auto error = thrown_by<QueryError>(
      [&] { connection_.exec("do $$begin raise 'far away' using errcode = '08006'; end$$"); });
  EXPECT_EQ(error.code(), Errc::query);
  EXPECT_TRUE(connection_.is_open());
  EXPECT_EQ(connection_.query_value<int>("select 1"), 1);
  EXPECT_FALSE(pq::PoolAccess(connection_).usable());
  EXPECT_FALSE(pq::PoolAccess(connection_).reusable());
}

TEST_F(PqQuery, NoticesGoToTheHandlerAndNeverToStderr) {
  const char* script = "do $$begin raise notice 'hello' using detail = 'd', hint = 'h'; end$$";
  testing::internal::CaptureStderr();
  connection_.exec(script);
  std::vector<std::string> heard;
  connection_.set_notice_handler([&](const Notice& notice) {
    heard.push_back(std::string(notice.severity) + " " + std::string(notice.sqlstate) + " " +
                    std::string(notice.message) + " " + std::string(notice.detail) + " " +
                    std::string(notice.hint));
  });
  connection_.exec(script);
  EXPECT_THAT(heard, testing::ElementsAre("NOTICE 00000 hello d h"));
  connection_.set_notice_handler({});
  connection_.exec(script);
  EXPECT_EQ(heard.size(), 1u);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PqQuery, ANoticeHandlerThatThrowsDoesNotFailTheStatement) {
  connection_.set_notice_handler([](const Notice&) { throw std::runtime_error("no"); });
  connection_.exec("do $$begin raise warning 'hello'; end$$");
  expect_usable();
}

}  // namespace tidegate::pq_test
