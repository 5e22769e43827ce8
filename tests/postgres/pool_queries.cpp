// PoolConfig::queries, slow_statement: every statement has one start and one end, whatever becomes
// of it; and the observer harms nothing.
#include <algorithm>
#include <functional>
#include <mutex>
#include <random>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include "pool_support.hpp"
#include "pq_support.hpp"
#include "support/test_points.hpp"

namespace tidegate::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Keeps what it is told, and checks that starts and ends belong together.
class Kept : public QueryObserver {
 public:
  struct Told {
    QueryKind kind;
    std::string text;
    std::size_t statements, parameters;
    std::string where, acquired;
    int backend_pid;
    bool on_lane;
    bool failed;
    std::optional<Errc> error;
    std::string sqlstate;
    bool outcome_unknown;
    std::uint64_t rows, bytes;
    std::uint32_t sent;
    bool moved;
    std::chrono::nanoseconds took;
  };

  void* query_started(const QueryStarted& event) override {
    const std::scoped_lock lock(mutex_);
    ++started_;
    const bool fits = event.values != nullptr && event.values->count() > 0;
    values_.push_back(fits ? event.values->value(0) : "");
    return reinterpret_cast<void*>(started_);
  }
  void query_ended(void* started_as, const QueryStarted& s, const QueryEnded& e) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_GT(reinterpret_cast<std::uintptr_t>(started_as), 0u);
    EXPECT_EQ(ended_with_.count(started_as), 0u) << "two ends";
    ended_with_.insert(started_as);
    told_.push_back({s.kind, std::string(s.text), s.statements, s.parameters, s.where.to_string(),
                     s.acquired.known() ? s.acquired.to_string() : "", s.backend_pid, s.on_lane,
                     e.failed, e.error, std::string(e.sqlstate), e.outcome_unknown, e.rows, e.bytes,
                     e.sent, e.moved, e.took});
  }

  std::vector<Told> take() {
    const std::scoped_lock lock(mutex_);
    EXPECT_EQ(started_, ended_with_.size()) << "a start without an end";
    return std::exchange(told_, {});
  }
  Told only() {
    const auto told = take();
    EXPECT_EQ(told.size(), 1u);
    return told.empty() ? Told{} : told.front();
  }
  std::vector<std::string> values() { return values_; }

 private:
  std::mutex mutex_;
  std::uintptr_t started_ = 0;
  std::set<void*> ended_with_;
  std::vector<Told> told_;
  std::vector<std::string> values_;
};

class Queries : public testing::Test {
 protected:
  PoolConfig config() const { return {.max_size = 2, .queries = kept_}; }

  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

TEST_F(Queries, OfEveryVerbAreToldOnceWithWhatCame) {
  Pool pool(config());
  Lease lease = pool.acquire();
  lease->exec_script("create temp table q(a int, b text); insert into q values (1, 'x')");
  Kept::Told told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::script);
  EXPECT_EQ(told.sent, 1u);
  EXPECT_FALSE(told.failed);

  const unsigned line = __LINE__ + 1;
  lease->exec("insert into q select i, 'abc' from generate_series(1, $1) i", 5);
  told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::exec);
  EXPECT_EQ(told.text, "insert into q select i, 'abc' from generate_series(1, $1) i");
  EXPECT_EQ(told.parameters, 1u);
  EXPECT_EQ(told.rows, 5u);
  EXPECT_THAT(told.where, HasSubstr("pool_queries.cpp:" + std::to_string(line)));
  EXPECT_THAT(told.acquired, HasSubstr("pool_queries.cpp:"));
  EXPECT_EQ(told.backend_pid, lease->backend_pid());
  EXPECT_GT(told.took, 0ns);

  EXPECT_EQ(lease->query_value<std::string>("select 'four'"), "four");
  told = kept_->only();
  EXPECT_EQ(std::tuple(told.rows, told.bytes), std::tuple(1u, 4u));

  lease->each("select b from q where b = 'abc'", [](Row) {});
  told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::each);
  EXPECT_EQ(std::tuple(told.rows, told.bytes), std::tuple(5u, 15u));

  lease->prepare("select 17");
  EXPECT_EQ(kept_->only().kind, QueryKind::prepare);

  const auto changed = lease->run(Batch().add("select 1").add("select 22, $1::int", 3));
  told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::batch);
  EXPECT_EQ(std::tuple(told.text, told.statements, told.parameters),
            std::tuple("select 1", 2u, 1u));
  EXPECT_EQ(std::tuple(told.rows, told.failed, told.sent), std::tuple(2u, false, 1u));

  EXPECT_EQ(lease->copy_in({.table = "q"}, std::vector<std::tuple<int, std::string>>{{7, "y"}}),
            1u);
  told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::copy_in);
  EXPECT_EQ(told.text, "COPY \"q\" FROM STDIN");
  EXPECT_EQ(std::tuple(told.rows, told.bytes), std::tuple(1u, 4u));  // "7\ty\n"

  lease->copy_out("select a from q where b = 'y'", [](Row) {});
  told = kept_->only();
  EXPECT_EQ(told.kind, QueryKind::copy_out);
  EXPECT_EQ(told.text, "select a from q where b = 'y'");
  EXPECT_EQ(std::tuple(told.rows, told.bytes), std::tuple(1u, 2u));

  lease->transact([](Transaction&) {});
  const auto both = kept_->take();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(std::tuple(both[0].text, both[1].text), std::tuple("BEGIN", "COMMIT"));
}

TEST_F(Queries, PingsAndResetsAreNoStatementsOfAnybody) {
  PoolConfig config = this->config();
  config.reset = ResetPolicy::discard_all;
  config.max_size = 1;
  Pool pool(config);
  {
    Lease lease = pool.acquire();
    EXPECT_TRUE(lease->ping(30s));
    EXPECT_THAT(lease->notifications(Deadline::now()), IsEmpty());
    lease->exec("listen here");
  }
  pool.ping();
  EXPECT_EQ(kept_->only().text, "listen here");
}

TEST_F(Queries, AFailureIsToldWithItsCode) {
  Pool pool(config());
  Lease lease = pool.acquire();
  EXPECT_THROW(lease->exec("select 1/0"), QueryError);
  Kept::Told told = kept_->only();
  EXPECT_TRUE(told.failed);
  EXPECT_EQ(told.error, Errc::query);
  EXPECT_EQ(told.sqlstate, "22012");
  EXPECT_FALSE(told.outcome_unknown);

  EXPECT_THROW(lease->exec({.by = Deadline(20ms)}, "select pg_sleep(3600)"), QueryTimeout);
  told = kept_->only();
  EXPECT_EQ(told.error, Errc::timeout);
  EXPECT_EQ(told.sqlstate, "57014");

  EXPECT_THROW(lease->exec({.by = Deadline::now()}, "select 1"), QueryTimeout);
  told = kept_->only();
  EXPECT_EQ(told.error, Errc::timeout);
  EXPECT_EQ(told.sent, 0u);

  EXPECT_THROW(lease->exec("select $1", std::string_view("\0", 1)), UsageError);
  told = kept_->only();
  EXPECT_TRUE(told.failed);
  EXPECT_EQ(told.sent, 0u);

  // Bound to fail: the answer to the first statement is no error of the next.
  const auto results = lease->run(Batch().add("select 1").add("select 1/0"));
  EXPECT_EQ(results.failed(), 1u);
  told = kept_->only();
  EXPECT_EQ(std::tuple(told.failed, told.sqlstate), std::tuple(true, "22012"));
  lease->exec("select 1");
  told = kept_->only();
  EXPECT_EQ(std::tuple(told.failed, told.sqlstate), std::tuple(false, ""));
  EXPECT_FALSE(told.error.has_value());
}

TEST_F(Queries, AnExceptionOfTheCallersOwnCodeIsAFailureWithoutACode) {
  Pool pool(config());
  Lease lease = pool.acquire();
  EXPECT_THROW(lease->each("select generate_series(1, 10)",
                           [](Row row) {
                             if (row.get<int>(0) == 3) throw std::runtime_error("mine");
                           }),
               std::runtime_error);
  Kept::Told told = kept_->only();
  EXPECT_TRUE(told.failed);
  EXPECT_FALSE(told.error.has_value());

  lease->each("select generate_series(1, 10)", [](Row row) { return row.get<int>(0) < 3; });
  told = kept_->only();
  EXPECT_FALSE(told.failed);

  lease->exec("create temp table q(a int)");
  kept_->take();
  const auto throws = [](int i) -> std::tuple<int> {
    if (i == 2) throw std::runtime_error("mine");
    return {i};
  };
  EXPECT_THROW(lease->copy_in({.table = "q"}, std::vector{1, 2, 3} | std::views::transform(throws)),
               std::runtime_error);
  told = kept_->only();
  EXPECT_TRUE(told.failed);
  EXPECT_FALSE(told.error.has_value());
  EXPECT_THROW(lease->copy_out("select 1, pg_sleep(1e-4) from generate_series(1, 100000)",
                               [](Row) { throw std::runtime_error("mine"); }),
               std::runtime_error);
  told = kept_->only();
  EXPECT_TRUE(told.failed);
  EXPECT_FALSE(told.error.has_value());
}

TEST_F(Queries, AConnectionThatDiesEndsItsStatement) {
  Pool pool(config());
  Lease lease = pool.acquire();
  EXPECT_THROW(lease->exec("select pg_terminate_backend(pg_backend_pid())"), ConnectionLost);
  Kept::Told told = kept_->only();
  EXPECT_EQ(told.error, Errc::connection_lost);
  EXPECT_EQ(told.sqlstate, "57P01");
  EXPECT_THROW(lease->exec("select 1"), ConnectionLost);
  told = kept_->only();
  EXPECT_EQ(std::tuple(told.failed, told.sent), std::tuple(true, 0u));
}

// The plan is of a table that has changed: the statement goes once more, without a name.
TEST_F(Queries, AStatementThatIsRunAnewIsStillOne) {
  Pool pool(config());
  Lease lease = pool.acquire();
  lease->exec("create temp table q(a int)");
  lease->exec("select * from q");
  lease->exec("select * from q");
  pool.acquire()->exec("select 1");
  lease->exec("discard plans");
  lease->exec_script("alter table q add b int");
  kept_->take();
  EXPECT_EQ(lease->exec("select * from q").columns(), 2u);
  EXPECT_FALSE(kept_->only().failed);
}

TEST_F(Queries, ValuesAreToldOnlyToWhoAsksForThem) {
  {
    Pool pool(config());
    pool.acquire()->exec("select $1::text", "secret");
    EXPECT_THAT(kept_->values(), ElementsAre(""));
  }
  struct Curious : Kept {
    bool wants_values() const noexcept override { return true; }
  };
  const auto curious = std::make_shared<Curious>();
  Pool pool(PoolConfig{.queries = curious});
  pool.acquire()->exec("select $1::text", "told");
  EXPECT_THAT(curious->values(), ElementsAre("told"));
}

// What an observer does in the verb that it is told of.
TEST_F(Queries, AnObserverThatThrowsHarmsNothing) {
  struct Thrower : QueryObserver {
    void* query_started(const QueryStarted&) override { throw std::runtime_error("start"); }
    void query_ended(void* started_as, const QueryStarted&, const QueryEnded& end) override {
      EXPECT_EQ(started_as, nullptr);
      failures += end.failed;
      ++ended;
      throw 17;
    }
    int ended = 0;
    int failures = 0;
  };
  const auto thrower = std::make_shared<Thrower>();
  Pool pool(PoolConfig{.queries = thrower});
  Lease lease = pool.acquire();
  EXPECT_EQ(lease->query_value<int>("select 1"), 1);
  EXPECT_THROW(lease->exec("select 1/0"), QueryError);
  EXPECT_EQ(lease->query_value<int>("select 2"), 2);
  EXPECT_EQ(std::tuple(thrower->ended, thrower->failures), std::tuple(3, 1));
}

TEST_F(Queries, AnObserverMayUseThePoolButNotTheConnection) {
  struct Meddler : QueryObserver {
    void* query_started(const QueryStarted&) override {
      if (lease == nullptr || inside) return nullptr;
      inside = true;
      EXPECT_THROW((*lease)->exec("select 3"), UsageError);
      EXPECT_EQ(pool->acquire()->query_value<int>("select 4"), 4);
      inside = false;
      return nullptr;
    }
    void query_ended(void*, const QueryStarted&, const QueryEnded&) override {
      if (lease == nullptr || inside) return;
      EXPECT_THROW((*lease)->exec("select 3"), UsageError);
      if (ends) lease->release();
    }
    Pool* pool = nullptr;
    Lease* lease = nullptr;
    bool inside = false;
    bool ends = false;
  };
  const auto meddler = std::make_shared<Meddler>();
  Pool pool(PoolConfig{.max_size = 2, .queries = meddler});
  Lease lease = pool.acquire();
  meddler->pool = &pool;
  meddler->lease = &lease;
  EXPECT_EQ(lease->query_value<int>("select 5"), 5);
  meddler->ends = true;
  EXPECT_EQ(lease->query_value<int>("select 6"), 6);
  EXPECT_FALSE(lease);
  meddler->lease = nullptr;
  EXPECT_TRUE(eventually([&] { return pool.stats().leased == 0; }));
  EXPECT_EQ(pool.acquire()->query_value<int>("select 7"), 7);
}

TEST_F(Queries, OfHooksAndOfHijackedConnectionsHaveNoAcquire) {
  PoolConfig config = this->config();
  config.hooks.after_connect = [](Connection& c) { c.exec("select 'hook'"); };
  std::optional<Connection> hijacked;
  {
    Pool pool(config);
    Lease lease = pool.acquire();
    EXPECT_EQ(kept_->only().acquired, "");
    lease->exec("select 1");
    EXPECT_NE(kept_->only().acquired, "");
    hijacked = std::move(lease).hijack();
    hijacked->exec("select 2");
    EXPECT_EQ(kept_->only().acquired, "");
  }
  hijacked->exec("select 3");
  EXPECT_EQ(kept_->only().acquired, "");
}

// The hook has the connection in its place in the pool, behind the lease.
TEST_F(Queries, OfAHookBehindALeaseAreNotTheLeases) {
  PoolConfig config = this->config();
  config.max_size = 1;
  config.hooks.after_release = [](Connection& c) { return c.exec("select 'hook'").size() == 1; };
  Pool pool(config);
  pool.acquire()->exec("select 1");
  pool.acquire()->exec("select 2");  // behind the hook
  const auto told = kept_->take();
  ASSERT_GE(told.size(), 3u);
  EXPECT_EQ(told[1].text, "select 'hook'");
  EXPECT_EQ(told[1].acquired, "");
  EXPECT_NE(told[2].acquired, "");
}

TEST_F(Queries, OfAConnectionWithoutAPoolAreToldAsWell) {
  pq::ConnectOptions options;
  options.queries = kept_;
  Connection connection = std::move(pq_test::connected_with(options).connection);
  connection.exec("select 1");
  const Kept::Told told = kept_->only();
  EXPECT_EQ(std::tuple(told.text, told.backend_pid),
            std::tuple("select 1", connection.backend_pid()));
}

TEST_F(Queries, OnALaneAreToldByTheCallersOwnThread) {
  PoolConfig config = this->config();
  config.max_size = 1;
  config.lanes = 1;
  Pool pool(config);
  std::vector<std::jthread> callers;
  {
    const Lease held = pool.acquire();
    for (int i = 0; i < 4; ++i) {
      Hold pushed("lane.pushed");
      callers.emplace_back([&pool, i] {
        if (i == 3) {
          EXPECT_THROW(pool.exec("select 1/0"), QueryError);
        } else {
          EXPECT_EQ(pool.query_value<int>("select $1::int", i), i);
        }
      });
      pushed.await();
    }
  }
  callers.clear();
  const auto told = kept_->take();
  ASSERT_EQ(told.size(), 4u);
  for (const Kept::Told& one : told) {
    EXPECT_TRUE(one.on_lane);
    EXPECT_FALSE(one.moved);
    EXPECT_EQ(one.sent, 1u);
    EXPECT_THAT(one.acquired, HasSubstr("pool_queries.cpp:"));
    EXPECT_EQ(one.failed, one.text == "select 1/0");
    EXPECT_EQ(one.sqlstate, one.failed ? "22012" : "");
    EXPECT_EQ(one.rows, one.failed ? 0u : 1u);
  }
}

TEST_F(Queries, OnALaneWithoutATurnAreTold) {
  PoolConfig config = this->config();
  config.max_size = 1;
  config.lanes = 1;
  Pool pool(config);
  const Lease held = pool.acquire();
  EXPECT_THROW(pool.exec({.by = Deadline(20ms)}, "select 1"), AcquireTimeout);
  for (const Kept::Told& one : kept_->take()) {
    EXPECT_TRUE(one.failed);
    EXPECT_EQ(one.error, Errc::timeout);
    EXPECT_EQ(one.sent, 0u);
  }
}

// ---- slow statements and acquires ---------------------------------------------------------------

struct Slow : tidegate::Observer {
  bool wants_leases() const noexcept override { return false; }
  void slow_statement(const QueryStarted& statement, const QueryEnded& end) override {
    statements.push_back(std::string(statement.text) + (end.failed ? " failed" : ""));
  }
  void slow_acquire(Location where, std::chrono::nanoseconds waited) override {
    EXPECT_GE(waited, 20ms);
    acquires.push_back(where.to_string());
  }
  std::vector<std::string> statements;
  std::vector<std::string> acquires;
};

TEST_F(Queries, ThatAreSlowAreToldToTheObserver) {
  const auto slow = std::make_shared<Slow>();
  PoolConfig config = this->config();
  config.slow_statement = 20ms;
  config.observer = slow;
  Pool pool(config);
  Lease lease = pool.acquire();
  lease->exec("select pg_sleep(0.03)");
  EXPECT_THROW(lease->exec({.by = Deadline(30ms)}, "select pg_sleep(3600)"), QueryTimeout);
  EXPECT_THAT(slow->statements,
              testing::IsSupersetOf({"select pg_sleep(0.03)", "select pg_sleep(3600) failed"}));
  EXPECT_EQ(kept_->take().size(), 2u) << "the observer of statements is told all the same";
}

TEST_F(Queries, ThatAreFastAreNotToldToTheObserver) {
  const auto slow = std::make_shared<Slow>();
  Pool pool(PoolConfig{.max_size = 1, .slow_acquire = 1h, .slow_statement = 1h, .observer = slow});
  Lease lease = pool.acquire();
  lease->exec("select 1");
  EXPECT_FALSE(pool.try_acquire(Deadline(30ms)).has_value());
  EXPECT_THAT(slow->statements, IsEmpty());
  EXPECT_THAT(slow->acquires, IsEmpty());
}

TEST_F(Queries, AnAcquireThatWaitsLongIsToldServedOrNot) {
  const auto slow = std::make_shared<Slow>();
  Pool pool(PoolConfig{.max_size = 1, .slow_acquire = 20ms, .observer = slow});
  Lease lease = pool.acquire();
  slow->acquires.clear();  // the first has waited for a connect
  EXPECT_FALSE(pool.try_acquire(Deadline(30ms)).has_value());
  EXPECT_THAT(slow->acquires, ElementsAre(HasSubstr("pool_queries.cpp:")));
}

// ---- random ------------------------------------------------------------------------------------

// Whatever the order of the verbs and of their failures, on two connections in turn: each call has
// one start and one end, and these say what the call itself has shown.
TEST_F(Queries, InAnyOrderAreToldAsTheyWent) {
  Pool pool(config());
  std::mt19937 random(17);
  Lease leases[2] = {pool.acquire(), pool.acquire()};
  for (int round = 0; round < 400; ++round) {
    Lease& lease = leases[random() % 2];
    if (!lease || !lease->is_open()) {
      lease.release();
      lease = pool.acquire();
    }
    const int n = static_cast<int>(random() % 50);
    std::uint64_t rows = 0;
    bool failed = false;
    std::string sqlstate;
    try {
      switch (random() % 8) {
        case 0: rows = lease->exec("select generate_series(1, $1)", n).rows(); break;
        case 1: lease->each("select generate_series(1, $1)", n, [&](Row) { ++rows; }); break;
        case 2:
          for (const auto results = lease->run(Batch().add("select 1").add("select 1/$1", n % 3));
               const std::size_t i : {0u, 1u}) {
            if (results.ok(i)) rows += results[i].rows();
            if (!results.ok(i)) failed = true;
            if (!results.ok(i)) sqlstate = results.error(i)->sqlstate();
          }
          break;
        case 3: rows = lease->exec("select 1 / $1", n % 2).rows(); break;
        case 4: lease->copy_out("select generate_series(1, 7)", [&](Row) { ++rows; }); break;
        case 5:
          lease->exec_script("select 1; select 2");
          rows = 2;
          break;
        case 6: lease->exec("select pg_sleep($1)", "no number"); break;
        case 7:
          if (n == 0) lease->exec("select pg_terminate_backend(pg_backend_pid())");
          lease->exec({.stop =
                           [] {
                             std::stop_source s;
                             s.request_stop();
                             return s.get_token();
                           }()},
                      "select 1");
          break;
      }
    } catch (const QueryError& error) {
      failed = true;
      sqlstate = error.sqlstate();
    }
    const Kept::Told told = kept_->only();
    EXPECT_EQ(std::tuple(told.failed, told.sqlstate), std::tuple(failed, sqlstate)) << told.text;
    if (!failed) {
      EXPECT_EQ(told.rows, rows) << told.text;
    }
    EXPECT_EQ(told.backend_pid, lease->is_open() ? lease->backend_pid() : told.backend_pid)
        << told.text;
  }
}

}  // namespace
}  // namespace tidegate::test
