// Through real poolers other than PgBouncer: Odyssey, pgagroal and Pgpool-II, as far as they are
// installed (docs/poolers.md).
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "postgres/pool_support.hpp"
#include "postgres/pooler_support.hpp"
#include "support/companion.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;

constexpr int kServerConnections = 8;

// `kind` is one of tests/support/other_pooler.py. In front of `server`, "server=FOLDER:PORT"; of
// the tests' own without it.
std::vector<std::string> pooler_command(const std::string& kind, const std::string& server = {}) {
  std::vector<std::string> words{(repository() / "tests/support/other_pooler.py").string(), kind,
                                 std::to_string(kServerConnections)};
  if (!server.empty()) words.push_back(server);
  return words;
}
std::string pooler_conninfo(const Companion& pooler) {
  return "host=127.0.0.1 port=" + pooler.said(0) +
         " user=postgres dbname=postgres pool_name=pooled pool_acquire_timeout=30s ";
}
bool is_missing(const Companion& pooler) { return pooler.said(0) == "missing"; }

class OtherPooler : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (is_missing(*pooler_))
      GTEST_SKIP() << GetParam() << " is not installed (scripts/setup --poolers)";
  }
  void lead_to(const std::string& server) {
    pooler_.reset();
    pooler_.emplace(pooler_command(GetParam(), server));
  }
  static bool is(const char* name) { return std::string(GetParam()).rfind(name, 0) == 0; }
  // Of clients that come at the same moment pgagroal 2.1 drops one now and then, also without us.
  static void connect_one_by_one(Pool& pool) { lease_all(pool); }
  PoolConfig config(const std::string& rest) const {
    return PoolConfig::parse(pooler_conninfo(*pooler_) + rest);
  }

  std::optional<Companion> pooler_{std::in_place, pooler_command(GetParam())};
  Pool direct_{"pool_max_conns=1"};
};

TEST_P(OtherPooler, TransactionsBatchesAndCopiesPassThrough) {
  Pool pool{config("pool_max_conns=2")};
  expect_all_passes_through(pool);
}

// Behind pgagroal, which hands out the server's own keys, only the quiet keeps a late request from
// whoever comes next; longer than the default here, for a machine that has other things to do. This
// sees that the quiet is kept to with the real ones; that it is needed, it does not: with
// pool_cancel_quiet=0 it passes with pgagroal 1.6, too, where a request takes most of a second.
// Without the quiet ResetsOfACancel.* fails.
TEST_P(OtherPooler, ACancelThatComesLateStrikesNobodyElse) {
  constexpr int kRounds = 2;
  Pool pool{config("pool_max_conns=8 pool_cancel_quiet=1500ms")};
  connect_one_by_one(pool);
  std::atomic<int> struck{0};
  std::atomic<int> answered{0};
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < kServerConnections; ++i) {
      workers.emplace_back([&, i] {
        for (int round = 0; round < kRounds; ++round) {
          try {
            pool.acquire()->exec({.by = 2ms}, "select pg_sleep($1)", 0.0015 + 0.0001 * i);
          } catch (const QueryTimeout&) {
          }
          try {
            pool.exec("select pg_sleep(0.02)");
            ++answered;
          } catch (const QueryError& error) {
            EXPECT_EQ(error.sqlstate(), "57014") << error.what();
            ++struck;
          }
        }
      });
    }
  }
  EXPECT_EQ(struck, 0);
  EXPECT_EQ(answered, kServerConnections * kRounds);
}

// Odyssey resets the connection of the request, and Pgpool-II keeps it for a second; the statement
// is canceled all the same.
TEST_P(OtherPooler, AStatementThatTakesTooLongIsCanceledOnTheServer) {
  Pool pool{config("pool_max_conns=2")};
  pool.exec("select 1");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.acquire()->exec({.by = 100ms}, "select pg_sleep(600)"), QueryTimeout);
    EXPECT_EQ(pool.query_value<int>("select 42"), 42);
  }
  EXPECT_TRUE(eventually([&] {
    return direct_.query_value<int>(
               "select count(*)::int from pg_stat_activity where state = 'active' and "
               "query = 'select pg_sleep(600)'") == 0;
  }));
}

// Many deadlines at once: each takes a connection of its own at the pooler for a second where that
// is Pgpool-II.
TEST_P(OtherPooler, AStormOfTimeoutsLeavesThePoolWell) {
  Pool pool{config("pool_max_conns=8")};
  connect_one_by_one(pool);
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < kServerConnections; ++i) {
      workers.emplace_back([&] {
        EXPECT_THROW(pool.acquire()->exec({.by = 20ms}, "select pg_sleep(600)"), QueryTimeout);
      });
    }
  }
  EXPECT_EQ(lease_all(pool).size(), 8u);
  EXPECT_EQ(pool.query_value<int>("select 42"), 42);
  EXPECT_EQ(pool.close().outcome, CloseReport::Outcome::drained);
}

// Odyssey gives equal texts one statement of the server's, also those without a name, until it ends
// its connection: 5 of 5 failed.
TEST_P(OtherPooler, AStatementThatIsStaleFailsOneTransactionAtMost) {
  direct_.exec_script(
      "drop table if exists grown; create table grown (a int); insert into grown values (1)");
  for (const char* cache : {"pool_statement_cache=0", "pool_statement_cache=16"}) {
    Pool pool{config(std::string("pool_max_conns=1 ") + cache)};
    // A connection that is recognized by its number, where it can be: one in 512 is not.
    const auto recognize = [&] {
      while (is("odyssey") && !pool.acquire()->through_pooler()) pool.reset();
    };
    recognize();
    const std::string text = std::string("select * from grown -- ") + cache;
    const auto columns = [&] {
      return pool.transact(
          [&](Transaction& transaction) { return transaction.exec(text)[0].columns(); });
    };
    direct_.exec_script("alter table grown drop column if exists b");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(columns(), 1u);
    direct_.exec_script("alter table grown add b int");
    int failed = 0;
    const auto use = [&] {
      try {
        EXPECT_EQ(columns(), 2u) << cache;
      } catch (const QueryError& error) {
        EXPECT_EQ(error.sqlstate(), "0A000") << error.what();
        ++failed;
      }
    };
    for (int i = 0; i < 5; ++i) use();
    EXPECT_LE(failed, 1) << cache;
    pool.reset();
    recognize();
    for (int i = 0; i < 5; ++i) use();
    EXPECT_LE(failed, 1) << cache << ", of a new connection";
  }
  direct_.exec("drop table grown");
}

TEST_P(OtherPooler, MoreTextsThanTheCacheHoldsAreAnsweredRightly) {
  constexpr int kTexts = 40;
  Pool pool{config("pool_max_conns=1 pool_statement_cache=4")};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kTexts; ++i) {
      const std::string text = "select $1::int + " + std::to_string(i);
      EXPECT_EQ(pool.query_value<int>(text, 1000), 1000 + i);
    }
  }
  if (!is("odyssey-transaction")) {
    EXPECT_LE(pool.query_value<int>("select count(*)::int from pg_prepared_statements"), 5);
  }
}

// What each makes of in_hot_standby at the greeting: Odyssey does not pass it on, pgagroal's is of
// another time.
TEST_P(OtherPooler, APoolForPrimariesTakesNoStandby) {
  const OwnServer primary;
  Companion standby{{(repository() / "tests/support/standby.py").string(),
                     std::getenv("TIDEGATE_PG_BINDIR"), primary.port()}};
  Pool{"host=127.0.0.1 user=postgres dbname=postgres port=" + primary.port()}.exec(
      "create table ledger (entry int)");
  lead_to("server=" + standby.said(1) + ":" + standby.said(0));
  const Pool readers{config("target_session_attrs=standby")};
  for (const char* attributes : {"read-write", "primary"}) {
    Pool pool{config(std::string("pool_connect_backoff_min=10ms pool_connect_backoff_max=50ms "
                                 "target_session_attrs=") +
                     attributes)};
    EXPECT_THROW(pool.acquire(500ms), ConnectError) << attributes;
  }
  Pool pool{config(
      "pool_connect_backoff_min=10ms pool_connect_backoff_max=50ms target_session_attrs=primary")};
  Pool reader{config("target_session_attrs=standby pool_max_conns=1")};
  EXPECT_TRUE(reader.query_value<bool>("select pg_is_in_recovery()"));
  reader.close();
  standby.tell("promote");
  EXPECT_TRUE(eventually([&] {
    try {
      pool.exec("insert into ledger values (1)");
      return true;
    } catch (const Error&) {
      return false;
    }
  }));
}

class HearsOfDropped : public tidegate::Observer {
 public:
  void parameter_dropped(const ParameterDropped& event) override {
    const std::lock_guard lock(mutex_);
    dropped_.insert(std::string(event.name));
  }
  std::set<std::string> dropped() {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }

 private:
  std::mutex mutex_{};
  std::set<std::string> dropped_{};
};

// pgagroal hands out a session that it has as it is, whatever the conninfo asks for. (Whether it
// has one is a matter of moments.)
TEST_P(OtherPooler, WhatItDropsOfTheConninfoIsTold) {
  Pool{config("pool_max_conns=1")}.exec("select 1");  // a session that is there already
  const std::string asked = "pool_max_conns=1 client_encoding=LATIN1 ";
  const auto told = std::make_shared<HearsOfDropped>();
  PoolConfig loose = config(asked);
  loose.observer = told;
  Pool pool{std::move(loose)};
  const bool drops = pool.query_value<std::string>("show client_encoding") != "LATIN1";
  EXPECT_EQ(told->dropped().count("client_encoding"), drops ? 1u : 0u);
  EXPECT_TRUE(!drops || is("pgagroal"));
  pool.close();
  Pool strict{config(asked + "pool_strict_parameters=true")};
  try {
    EXPECT_EQ(strict.query_value<std::string>({.by = 10s}, "show client_encoding"), "LATIN1");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("client_encoding"));
  }
}

// What 4.3 makes of a statement of the extended protocol with one server in its mode "raw": it is
// run in a transaction that Pgpool-II begins and leaves open. Seen failing: an INSERT that was
// answered for, and was undone when its lease ended.
TEST(PgpoolRaw, AWriteIsStoredOrAnError) {
  const Companion pgpool(pooler_command("pgpool-raw"));
  if (is_missing(pgpool)) GTEST_SKIP() << "Pgpool-II is not installed (scripts/setup --poolers)";
  Pool direct{"pool_max_conns=1"};
  direct.exec_script("drop table if exists tally; create table tally (n int)");
  for (const char* cache : {"pool_statement_cache=0", "pool_statement_cache=16"}) {
    Pool pool{pooler_conninfo(pgpool) + "pool_max_conns=1 " + cache};
    const auto stored = [&](const std::function<void()>& write) {
      bool done = true;
      try {
        write();
      } catch (const ConnectionLost&) {
        done = false;
      }
      pool.reset();
      EXPECT_EQ(direct.query_value<int>("select count(*)::int from tally"), done ? 1 : 0) << cache;
      direct.exec_script("truncate tally");
    };
    stored([&] { pool.exec("insert into tally values (1)"); });
    stored([&] {
      pool.acquire()->each("insert into tally values (1) returning n", [](const Row&) {});
    });
    Batch batch;
    batch.add("insert into tally values (1)");
    stored([&] { EXPECT_FALSE(pool.run(batch).failed()); });
    stored([&] { pool.copy_in({.table = "tally"}, std::vector<std::tuple<int>>{{1}}); });
    stored([&] {
      pool.transact(
          [](Transaction& transaction) { transaction.exec("insert into tally values (1)"); });
    });
  }
  direct.exec("drop table tally");
}

INSTANTIATE_TEST_SUITE_P(Real, OtherPooler,
                         testing::Values("odyssey-transaction", "odyssey-session",
                                         "pgagroal-performance", "pgagroal-session",
                                         "pgpool-streaming_replication"),
                         [](const auto& each) {
                           std::string name = each.param;
                           if (const auto at = name.find('-'); at != std::string::npos) {
                             name[at] = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace tidegate::test
