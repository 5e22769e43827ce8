// Names of prepared statements through a pooler in transaction mode that does not map them: each
// transaction may meet another server session, and each server session many clients.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "postgres/pool_support.hpp"
#include "support/companion.hpp"

namespace tidegate::test {
namespace {

class Told : public tidegate::Observer {
 public:
  bool wants_leases() const noexcept override { return false; }
  void pooler_recognized(const PoolerRecognized& event) override {
    ++times;
    named = event.named_statements;
  }

  std::atomic<int> times{0};
  std::atomic<bool> named{false};
};

class PoolerNames : public testing::Test {
 protected:
  static constexpr int kServerConnections = 2;
  static constexpr int kThreads = 4;

  PoolConfig config(const std::string& rest = {}) const {
    PoolConfig config = PoolConfig::parse("host=127.0.0.1 port=" + bouncer_.said(0) + " " + rest);
    config.max_size = kThreads;
    return config;
  }

  // Every connection of it is recognized: one in a thousand is not, by its number.
  static void recognize(Pool& pool) {
    for (;;) {
      std::vector<Lease> all = lease_all(pool);
      if (std::all_of(all.begin(), all.end(), [](Lease& l) { return l->through_pooler(); })) return;
      pool.reset();
    }
  }

  struct Seen {
    std::atomic<int> wrong{0};
    std::atomic<int> failed{0};
  };
  // `ask(connection, n)` gives what text_of(n) gives; else it is wrong.
  template <class Ask>
  static void ask_on_every_thread(std::vector<Pool*> pools, Seen& seen, Ask ask) {
    constexpr int kQueries = 200;
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Pool& pool = *pools[static_cast<std::size_t>(t) % pools.size()];
        for (int i = 0; i < kQueries; ++i) {
          const int n = t * kQueries + i;
          try {
            Lease lease = pool.acquire();
            if (ask(*lease, n) != right(n)) ++seen.wrong;
          } catch (const Error&) {
            ++seen.failed;
          }
        }
      });
    }
  }
  static int ask(Connection& connection, int n) {
    return connection.query_value<int>(text_of(n), n);
  }
  // They take the same, so that one that runs in the other's place is no error.
  static std::string text_of(int n) {
    return n % 3 == 0 ? "select $1::int" : "select $1::int + 1000000";
  }
  static int right(int n) { return n % 3 == 0 ? n : n + 1000000; }
  // What the pooler's server sessions hold: both of them, each held by a transaction meanwhile.
  int detached() {
    Pool pool(config("pool_statement_cache=0 pool_max_conns=2"));
    std::vector<Lease> held;
    int statements = 0;
    for (int i = 0; i < kServerConnections; ++i) {
      held.push_back(pool.acquire());
      held.back()->exec_script("begin");
      statements += held.back()->query_value<int>(
          "select count(*)::int from pg_prepared_statements where name like 'tidegate%'");
    }
    return statements;
  }

  Companion bouncer_{
      {(repository() / "tests/support/pgbouncer.py").string(), std::to_string(kServerConnections)}};
};

// A SELECT ran somebody else's DELETE: each connection counted its statements, so that one name was
// another text for each.
TEST_F(PoolerNames, ByDefaultStatementsHaveNoneThere) {
  PoolConfig by_default = config();
  const auto told = std::make_shared<Told>();
  by_default.observer = told;
  Pool pool(by_default);
  recognize(pool);
  Seen seen;
  ask_on_every_thread({&pool}, seen, ask);
  EXPECT_EQ(seen.wrong, 0);
  EXPECT_EQ(seen.failed, 0);
  EXPECT_EQ(told->times, 1) << "once a pool";
  EXPECT_FALSE(told->named);
  EXPECT_EQ(detached(), 0);
}

TEST_F(PoolerNames, WhoeverAsksForThemGetsNamesThatAreNobodyElses) {
  PoolConfig named = config("pool_statement_cache=16");
  const auto told = std::make_shared<Told>();
  named.observer = told;
  Pool one(named);
  Pool two(config("pool_name=two pool_statement_cache=16"));
  recognize(one);
  recognize(two);
  Seen seen;
  ask_on_every_thread({&one, &two}, seen, ask);
  EXPECT_EQ(seen.wrong, 0);
  EXPECT_EQ(seen.failed, 0) << "what is not there is prepared again, or goes without a name";
  EXPECT_EQ(told->times, 1);
  EXPECT_TRUE(told->named);
  // A connection that a name was not found on stops using them: two pools, two texts.
  EXPECT_LE(detached(), 2 * kThreads * 2);
}

TEST_F(PoolerNames, RowsOneByOneAndBatchesGetTheirOwnToo) {
  for (const char* cache : {"", "pool_statement_cache=16"}) {
    Pool pool(config(cache));
    recognize(pool);
    Seen seen;
    ask_on_every_thread({&pool}, seen, [](Connection& connection, int n) {
      int got = -1;
      if (n % 2 == 0) {
        connection.each(Sql(text_of(n)), n, [&got](const Row& row) { got = row.get<int>(0); });
        return got;
      }
      Batch batch;
      const std::string sql = text_of(n);
      batch.add(Sql(sql), n + 1).add(Sql(sql), n).add("select $1::int - 1", n);
      const BatchResults results = connection.run(batch);
      got = results[1][0].get<int>(0);
      return results[2][0].get<int>(0) == n - 1 ? got : -1;
    });
    EXPECT_EQ(seen.wrong, 0);
    EXPECT_EQ(seen.failed, 0);
  }
}

// Inside a transaction a name that is not there ends that transaction: once for a connection, which
// uses none from then on.
TEST_F(PoolerNames, InsideTransactionsAConnectionFailsOnceAtMost) {
  Pool pool(config("pool_statement_cache=16"));
  recognize(pool);
  Seen seen;
  ask_on_every_thread({&pool}, seen, [](Connection& connection, int n) {
    return connection.transact(
        [n](Transaction& transaction) { return transaction.query_value<int>(text_of(n), n); });
  });
  EXPECT_EQ(seen.wrong, 0);
  EXPECT_LE(seen.failed, kThreads);
}

// A DEALLOCATE arrives at some server session, and says a name that nobody else has.
TEST_F(PoolerNames, WhatOneDeallocatesIsNobodyElses) {
  Pool pool(config("pool_statement_cache=1"));
  recognize(pool);
  Seen seen;
  ask_on_every_thread({&pool}, seen, ask);
  EXPECT_EQ(seen.wrong, 0);
  EXPECT_EQ(seen.failed, 0);
}

TEST(StatementNames, ThoseOfOneConnectionAreNobodyElses) {
  Pool pool{"pool_max_conns=2"};
  std::vector<Lease> leases = lease_all(pool);
  std::vector<std::string> names;
  for (Lease& lease : leases) {
    lease->prepare("select 'named'");
    names.push_back(lease->query_value<std::string>(
        {.prepared = false},
        "select name from pg_prepared_statements where statement = 'select ''named'''"));
  }
  EXPECT_NE(names[0], names[1]);
  EXPECT_EQ(names[0].rfind("tidegate_", 0), 0u);
  // "tidegate_", 64 random bits, "_1"
  EXPECT_EQ(names[0].size(), 9u + 13 + 2) << names[0];
}

}  // namespace
}  // namespace tidegate::test
