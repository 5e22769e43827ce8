// The verbs of coroutines: values, errors, tokens, transactions, and what may not be done.
#include <atomic>
#include <future>
#include <numeric>
#include <thread>

#include "coroutines/asio_support.hpp"

namespace tidegate::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Asio, ALeaseAnswersItsOwnStatements) {
  Pool pool("pool_max_conns=2");
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool, 5s);
    EXPECT_EQ(co_await lease.query_value<int>("select $1::int4 + 1", 41), 42);
    const std::tuple<int, std::string> row =
        co_await lease.query_row<int, std::string>("select 7, 'seven'");
    EXPECT_EQ(row, (std::tuple{7, std::string("seven")}));
    const Rows rows = co_await lease.exec("select generate_series(1, 3)");
    EXPECT_EQ(rows.rows(), 3u);
    co_await lease.exec_script("create temporary table t (i int); insert into t values (1), (2)");
    EXPECT_EQ(co_await lease.query_value<std::int64_t>("select count(*) from t"), 2);
    EXPECT_TRUE(co_await lease.ping(5s));
    lease.discard();
  });
}

TEST(Asio, OneShotVerbsAcquireAndRelease) {
  Pool pool("pool_max_conns=1");
  run([&]() -> Task {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(co_await ta::query_value<int>(pool, "select $1::int4", i), i);
    }
    EXPECT_EQ((co_await ta::exec(pool, "select 1")).rows(), 1u);
    EXPECT_EQ((co_await ta::query_row<int, int>(pool, "select 1, 2")), (std::tuple{1, 2}));
    const ExecOptions options{.by = Deadline(20s), .prepared = false};
    EXPECT_EQ((co_await ta::query_row<int, int>(pool, options, "select 3, $1::int4", 4)),
              (std::tuple{3, 4}));
    ta::Lease lease = co_await ta::acquire(pool);
    EXPECT_EQ((co_await lease.query_row<int, int>(options, "select 5, 6")), (std::tuple{5, 6}));
  });
  EXPECT_EQ(pool.stats().created, 1);
  EXPECT_EQ(pool.stats().released, 104);
}

// A text that is gone when the statement is sent, and a parameter, too.
TEST(Asio, StatementAndParametersAreKept) {
  Pool pool("pool_max_conns=1");
  run([&]() -> Task {
    net::awaitable<std::string> later = [&] {
      const std::string sql = "select $1::text || $2::text";
      const std::string first(100, 'a');
      return ta::query_value<std::string>(pool, sql, first.c_str(), std::string_view(first));
    }();
    EXPECT_EQ(co_await std::move(later), std::string(200, 'a'));
  });
}

TEST(Asio, ErrorsAreThoseOfTheBlockingVerbs) {
  Pool pool("pool_max_conns=1");
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    bool caught = false;
    try {
      co_await lease.exec("select 1/0");
    } catch (const QueryError& e) {
      caught = true;
      EXPECT_EQ(e.sqlstate(), "22012");
      EXPECT_THAT(e.what(), HasSubstr("asio_verbs.cpp"));
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(co_await lease.query_value<int>("select 1"), 1) << "the connection stays usable";
  });
  run([&]() -> Task {
    ta::Lease lease;
    bool caught = false;
    try {
      co_await lease.exec("select 1");
    } catch (const UsageError&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

// ---- tokens ------------------------------------------------------------------------------------

TEST(Asio, ACallbackComesNeverInsideTheInitiatingFunction) {
  Pool pool("pool_max_conns=2");
  net::io_context loop;
  bool inside = true;
  int called = 0;
  const auto expect = [&](int value) {
    return net::bind_executor(loop, [&, value](std::exception_ptr error, int got) {
      EXPECT_FALSE(inside);
      EXPECT_FALSE(error);
      EXPECT_EQ(got, value);
      ++called;
    });
  };
  pool.query_value<int>("select 1");  // warm: the acquire is over at once
  ta::query_value<int>(pool, "select $1::int4", 7, expect(7));
  ta::query_value<int>(pool, "select 8", expect(8));
  ta::query_value<int>(pool, "select 1/0",
                       net::bind_executor(loop, [&](std::exception_ptr error, int) {
                         EXPECT_FALSE(inside);
                         EXPECT_THROW(std::rethrow_exception(error), QueryError);
                         ++called;
                       }));
  ta::acquire(pool, net::bind_executor(loop, [&](std::exception_ptr error, ta::Lease lease) {
                EXPECT_FALSE(inside);
                EXPECT_FALSE(error);
                EXPECT_TRUE(lease);
                ++called;
              }));
  inside = false;
  loop.run();
  EXPECT_EQ(called, 4);
}

TEST(Asio, AFutureNeedsNoLoopOfTheUsers) {
  Pool pool("pool_max_conns=1");
  EXPECT_EQ(ta::query_value<int>(pool, "select 3", net::use_future).get(), 3);
  auto failed = ta::query_value<int>(pool, "select 1/0", net::use_future);
  EXPECT_THROW(failed.get(), QueryError);
}

// The lease ends with the operation then, and the operation with its own answer.
TEST(Asio, ALeaseThatEndsDuringItsOperationIsGivenBackAfterIt) {
  Pool pool("pool_max_conns=1");
  net::io_context loop;
  ta::Lease lease(pool.acquire());
  int got = 0;
  lease.query_value<int>("select 5 from pg_sleep(0.05)",
                         net::bind_executor(loop, [&](std::exception_ptr error, int value) {
                           EXPECT_FALSE(error);
                           got = value;
                         }));
  lease.release();
  EXPECT_EQ(pool.stats().leased, 1u);
  EXPECT_FALSE(ta::try_acquire(pool));
  loop.run();
  EXPECT_EQ(got, 5);
  EXPECT_EQ(pool.stats().leased, 0u);
  EXPECT_EQ(pool.query_value<int>("select 6"), 6);
}

TEST(Asio, APoolThatEndsTellsWhoWaits) {
  net::io_context loop;
  std::optional<Pool> pool(std::in_place, "pool_max_conns=1");
  std::optional<Lease> held(pool->acquire());
  bool told = false;
  ta::query_value<int>(*pool, "select 1",
                       net::bind_executor(loop, [&](std::exception_ptr error, int) {
                         EXPECT_THROW(std::rethrow_exception(error), PoolClosed);
                         told = true;
                       }));
  EXPECT_EQ(waiting(*pool), 1u);
  held.reset();  // served, and then not: the loop has not run
  pool->close({.drain = 10ms, .cancel = 0ms, .force = 0ms});
  pool.reset();
  loop.run();
  EXPECT_TRUE(told);
}

TEST(Asio, TheHandlerRunsOnItsStrand) {
  Pool pool("pool_max_conns=2");
  net::io_context loop;
  auto strand = net::make_strand(loop);
  bool ran = false;
  ta::query_value<int>(pool, "select 1", net::bind_executor(strand, [&](std::exception_ptr, int) {
                         EXPECT_TRUE(strand.running_in_this_thread());
                         ran = true;
                       }));
  loop.run();
  EXPECT_TRUE(ran);
}

TEST(Asio, AHandlerThatThrowsEndsTheLoopAndNothingElse) {
  Pool pool("pool_max_conns=1");
  net::io_context loop;
  ta::query_value<int>(pool, "select 1", net::bind_executor(loop, [](std::exception_ptr, int) {
                         throw std::runtime_error("the handler's");
                       }));
  EXPECT_THROW(loop.run(), std::runtime_error);
  EXPECT_EQ(pool.query_value<int>("select 2"), 2);
  loop.run();
  EXPECT_EQ(pool.stats().leased, 0u);
}

// ---- transactions, and blocking code on a stack of its own ------------------------------------

TEST(Asio, ATransactionCommitsOrRollsBack) {
  Pool pool("pool_max_conns=2");
  pool.exec_script("drop table if exists asio_t; create table asio_t (i int primary key)");
  run([&]() -> Task {
    const int sum = co_await ta::transact(pool, [](ta::Transaction& tx) -> net::awaitable<int> {
      co_await tx.exec("insert into asio_t values (1)");
      co_await tx.exec("insert into asio_t values (2)");
      co_return co_await tx.query_value<int>("select sum(i)::int4 from asio_t");
    });
    EXPECT_EQ(sum, 3);
    const std::string error =
        co_await error_of<QueryError>(ta::transact(pool, [](ta::Transaction& tx) -> Task {
          co_await tx.exec("insert into asio_t values (3)");
          co_await tx.exec("insert into asio_t values (1)");
        }));
    EXPECT_THAT(error, HasSubstr("23505"));
    co_await ta::transact(pool, [](ta::Transaction& tx) -> Task {
      co_await tx.exec("insert into asio_t values (4)");
      co_await tx.rollback();
      EXPECT_FALSE(tx.open());
    });
    EXPECT_EQ(co_await ta::query_value<int>(pool, "select sum(i)::int4 from asio_t"), 3);
    {
      // Left open: the pool rolls back, and nobody waits for that here.
      ta::Transaction tx = co_await ta::begin(pool);
      co_await tx.exec("insert into asio_t values (5)");
    }
    co_await until([&] { return pool.stats().resets.clean > 0; });
    EXPECT_EQ(co_await ta::query_value<int>(pool, "select sum(i)::int4 from asio_t"), 3);
  });
  pool.exec_script("drop table asio_t");
}

TEST(Asio, BlockingCodeRunsOnAStackOfItsOwn) {
  Pool pool("pool_max_conns=2");
  run([&]() -> Task {
    // Everything that a Connection does, straight down, while the loop goes on.
    const std::int64_t sum = co_await ta::call(pool, [](Connection& c) {
      c.exec_script("create temporary table b (i int4)");
      std::vector<std::tuple<int>> rows(1000);
      for (int i = 0; i < 1000; ++i) rows[static_cast<std::size_t>(i)] = {i};
      EXPECT_EQ(c.copy_in({.table = "b", .columns = {"i"}}, rows), 1000u);
      std::int64_t each = 0;
      c.each("select i from b", [&](const Row& row) { each += row.get<int>(0); });
      std::int64_t copied = 0;
      c.copy_out("select i from b", [&](const Row& row) { copied += row.get<int>(0); });
      EXPECT_EQ(copied, each);
      Batch batch;
      batch.add("select 1");
      batch.add("select $1::int4", 2);
      const BatchResults results = c.run(batch);
      EXPECT_EQ(results[0].only().get<int>(0), 1);
      EXPECT_EQ(results[1].only().get<int>(0), 2);
      return c.transact([&](Transaction& tx) {
        tx.exec("insert into b values (1000)");
        return tx.query_value<std::int64_t>("select sum(i) from b");
      });
    });
    EXPECT_EQ(sum, 1000 * 1001 / 2);
  });
}

// ---- what may not be done ----------------------------------------------------------------------

TEST(Asio, ALeaseOfTwoCoroutinesAtOnceIsAUsageErrorThatNamesBoth) {
  Pool pool("pool_max_conns=1");
  net::io_context loop;
  run_on(loop, [&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    std::optional<std::string> first;
    net::co_spawn(
        loop,
        [&]() -> Task {
          first = co_await lease.query_value<std::string>("select 'mine' from pg_sleep(0.2)");
        },
        net::detached);
    co_await turn();
    const std::string error = co_await error_of<UsageError>(
        [](ta::Lease& of) -> Task { co_await of.exec("select 'other'"); }(lease));
    EXPECT_THAT(error, HasSubstr("is under way on this connection"));
    EXPECT_THAT(error, testing::ContainsRegex("asio_verbs.cpp:[0-9]+.*asio_verbs.cpp:[0-9]+"));
    co_await until([&] { return first.has_value(); });
    EXPECT_EQ(*first, "mine");
    EXPECT_EQ(co_await lease.query_value<int>("select 1"), 1);
  });
}

}  // namespace
}  // namespace tidegate::test
