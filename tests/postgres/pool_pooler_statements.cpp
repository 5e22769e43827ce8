// Through a PgBouncer that maps the names of prepared statements (1.21 and later): it gives equal
// texts one statement of the server's, whoever prepares them under whatever name, until it closes
// its connection to the server. So one that is stale there is stale for whoever comes.
#include <string>
#include <vector>

#include "postgres/pool_support.hpp"
#include "support/pgbouncer.hpp"

namespace tidegate::test {
namespace {

class PoolerStatements : public testing::Test {
 protected:
  PoolerStatements() {
    direct_.exec_script(
        "drop table if exists grown; create table grown (a int); "
        "insert into grown values (1)");
  }
  ~PoolerStatements() override { direct_.exec_script("drop table grown"); }

  void SetUp() override {
    if (bouncer_.version() < 121) {
      GTEST_SKIP() << "PgBouncer maps the names of prepared statements from 1.21 on, and this is "
                   << bouncer_.version() / 100 << '.' << bouncer_.version() % 100;
    }
  }

  PoolConfig config(const std::string& rest = {}) const {
    return PoolConfig::parse(bouncer_.conninfo() + " pool_max_conns=1 pool_statement_cache=16 " +
                             rest);
  }
  // A connection that is recognized by its number: one in 512 is not.
  static void recognize(Pool& pool) {
    while (!pool.acquire()->through_pooler()) pool.reset();
  }
  // How many of five fail.
  template <class Use>
  static int failures(Use use) {
    int failed = 0;
    for (int i = 0; i < 5; ++i) {
      try {
        use();
      } catch (const QueryError&) {
        ++failed;
      }
    }
    return failed;
  }

  Bouncer bouncer_{1, {"max_prepared_statements=100"}};
  Pool direct_{"pool_max_conns=1"};
};

TEST_F(PoolerStatements, ATableThatHasGrownFailsNoUseOutsideATransaction) {
  Pool pool(config());
  recognize(pool);
  const auto columns = [&] { return pool.exec("select * from grown /* 1 */")[0].columns(); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(columns(), 1u);
  direct_.exec_script("alter table grown add b int");
  EXPECT_EQ(failures([&] { EXPECT_EQ(columns(), 2u); }), 0);
  pool.reset();
  recognize(pool);
  EXPECT_EQ(failures([&] { EXPECT_EQ(columns(), 2u); }), 0) << "of a new connection";
}

// 5 of 5, until the pooler's server_lifetime, an hour, had passed.
TEST_F(PoolerStatements, ATableThatHasGrownFailsOneTransactionAtMost) {
  Pool pool(config());
  recognize(pool);
  const auto columns = [&] {
    return pool.transact([](Transaction& transaction) {
      return transaction.exec("select * from grown /* 2 */")[0].columns();
    });
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(columns(), 1u);
  direct_.exec_script("alter table grown add b int");
  EXPECT_LE(failures([&] { EXPECT_EQ(columns(), 2u); }), 1);
  for (int i = 0; i < 3; ++i) {
    pool.reset();
    recognize(pool);
    EXPECT_EQ(failures([&] { EXPECT_EQ(columns(), 2u); }), 0) << "of a new connection";
  }
}

// The server's error names the pooler's statement.
TEST_F(PoolerStatements, WhatIsDeallocatedBehindThePoolersBackIsNotMissed) {
  Pool pool(config());
  recognize(pool);
  const auto value = [&] { return pool.query_value<int>("select 41 + $1::int", 1); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(value(), 42);
  // From inside a function, where no pooler looks.
  pool.exec({.prepared = false}, "do $$ begin execute 'deallocate all'; end $$");
  EXPECT_EQ(failures([&] { EXPECT_EQ(value(), 42); }), 0);
  pool.reset();
  recognize(pool);
  EXPECT_EQ(failures([&] { EXPECT_EQ(value(), 42); }), 0) << "of a new connection";
}

TEST_F(PoolerStatements, WhatIsDeallocatedBehindThePoolersBackFailsOneTransactionAtMost) {
  Pool pool(config());
  recognize(pool);
  const auto value = [&] {
    return pool.transact([](Transaction& transaction) {
      return transaction.query_value<int>("select 40 + $1::int", 2);
    });
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(value(), 42);
  pool.exec({.prepared = false}, "do $$ begin execute 'deallocate all'; end $$");
  EXPECT_LE(failures([&] { EXPECT_EQ(value(), 42); }), 1);
  pool.reset();
  recognize(pool);
  EXPECT_EQ(failures([&] { EXPECT_EQ(value(), 42); }), 0) << "of a new connection";
}

// 22003 at each use: the pooler's statement has the type that the column had.
TEST_F(PoolerStatements, ALargerTypeTakesLargerValues) {
  Pool pool(config());
  recognize(pool);
  const auto insert = [&](std::int64_t value) {
    pool.exec("insert into grown (a) values ($1)", value);
  };
  for (int i = 0; i < 3; ++i) insert(i);
  direct_.exec_script("alter table grown alter a type bigint");
  EXPECT_EQ(failures([&] { insert(5'000'000'000); }), 0);
  pool.reset();
  recognize(pool);
  EXPECT_EQ(failures([&] { insert(5'000'000'000); }), 0) << "of a new connection";
  EXPECT_EQ(direct_.query_value<int>("select count(*)::int from grown where a = 5000000000"), 10);
}

// A value that the old type takes, too, and shortens. A new connection met the pooler's statement
// of the old one.
TEST_F(PoolerStatements, ANewConnectionDoesNotStoreWhatAnOldTypeMakesOfAValue) {
  direct_.exec_script("alter table grown alter a type date using null");
  Pool pool(config());
  recognize(pool);
  const auto insert = [&] {
    pool.exec("insert into grown values ($1)", std::string("2024-05-06 07:08:09"));
  };
  for (int i = 0; i < 3; ++i) insert();
  direct_.exec_script("truncate grown; alter table grown alter a type timestamp using null");
  pool.reset();
  recognize(pool);
  for (int i = 0; i < 3; ++i) insert();
  EXPECT_EQ(direct_.query_value<int>(
                "select count(*)::int from grown where a = timestamp '2024-05-06 07:08:09'"),
            3);
}

TEST_F(PoolerStatements, BatchesAndRowsOneByOneHealToo) {
  Pool pool(config());
  recognize(pool);
  const auto batch = [&] {
    Batch several;
    for (int i = 0; i < 3; ++i) several.add("select * from grown /* 4 */");
    return pool.run(several)[2][0].columns();
  };
  const auto rows = [&] {
    std::size_t columns = 0;
    pool.acquire()->each("select * from grown /* 5 */",
                         [&](const Row& row) { columns = row.columns(); });
    return columns;
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(batch(), 1u);
    EXPECT_EQ(rows(), 1u);
  }
  direct_.exec_script("alter table grown add b int");
  EXPECT_EQ(failures([&] { EXPECT_EQ(batch(), 2u); }), 0);
  EXPECT_EQ(failures([&] { EXPECT_EQ(rows(), 2u); }), 0);
}

// What is no error of a statement's name stays one, each time.
TEST_F(PoolerStatements, OtherErrorsAreTold) {
  Pool pool(config());
  recognize(pool);
  EXPECT_EQ(failures([&] { pool.exec("select * from nowhere"); }), 5);
  EXPECT_EQ(failures([&] { pool.exec("select 1 / $1::int", 0); }), 5);
  EXPECT_EQ(failures([&] { pool.exec({.prepared = true}, "execute nobody"); }), 5);
  EXPECT_EQ(pool.query_value<int>("select 1 / $1::int", 1), 1);
}

}  // namespace
}  // namespace tidegate::test
