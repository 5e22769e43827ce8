// A server that is down, or refuses: the constructor is lazy, acquire says which it is.
#include <atomic>
#include <latch>
#include <string>
#include <thread>

#include "password_role.hpp"
#include "pool_support.hpp"
#include "pq_support.hpp"

namespace tidegate::test {
namespace {

TEST(ConnectFailure, AnUnreachableServerIsNamedAtTheDeadlineWithTheSystemsText) {
  Pool pool("host=127.0.0.1 port=1 pool_name=down pool_connect_backoff_min=5ms");
  try {
    const Lease none = pool.acquire(200ms);
    FAIL() << "nobody listens on port 1";
  } catch (const ConnectError& error) {
    EXPECT_EQ(error.code(), Errc::unavailable);
    EXPECT_GE(error.attempts(), 1);
    const std::string text = error.what();
    EXPECT_NE(text.find("pool \"down\": server unreachable"), std::string::npos) << text;
    EXPECT_NE(text.find("refused"), std::string::npos) << text;
    // What is left of the 200 ms when the wait begins.
    EXPECT_THAT(text, testing::ContainsRegex("; no connection within [0-9.]+ ms "));
  }
  EXPECT_EQ(pool.stats().outcomes.unavailable, 1);
}

TEST(ConnectFailure, ARefusedDatabaseFailsAtOnceWithTheServersText) {
  Pool pool(PoolConfig{.conninfo = "dbname=no_such_database"});
  try {
    const Lease none = pool.acquire(Deadline::never());
    FAIL() << "there is no such database";
  } catch (const ConnectError& error) {
    EXPECT_EQ(error.code(), Errc::rejected);
    EXPECT_EQ(error.sqlstate(), "3D000");
    EXPECT_NE(std::string(error.what()).find("no_such_database"), std::string::npos);
  }
}

// Somebody may give the open one back: so they wait, and are told at their deadline why it is
// alone.
TEST(ConnectFailure, ARejectionWhileAConnectionIsOpenSuspendsGrowthAndIsNamedAtTheDeadline) {
  PoolConfig config{.max_size = 2};
  std::atomic<int> connects{0};
  config.hooks.before_connect = [&connects](ConnectParams& params) {
    if (++connects > 1) params.set("dbname", "no_such_database");
  };
  Pool pool(config);
  Lease held = pool.acquire();
  try {
    const Lease none = pool.acquire(500ms);
    FAIL() << "the only connection is leased";
  } catch (const AcquireTimeout& error) {
    EXPECT_NE(std::string(error.what()).find("no_such_database"), std::string::npos)
        << error.what();
  }
  std::jthread waiter([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  held.release();
}

TEST(ConnectFailure, AWrongPasswordFailsAtOnceAndIsNeverPrinted) {
  const pq_test::PasswordRole role;
  Pool pool("host=127.0.0.1 user=careful password=S3cretMarker");
  try {
    const Lease none = pool.acquire(Deadline::never());
    FAIL() << "the password is wrong";
  } catch (const ConnectError& error) {
    EXPECT_EQ(error.code(), Errc::rejected);
    EXPECT_EQ(error.sqlstate(), "28P01");
    const std::string text = error.what();
    EXPECT_NE(text.find("password authentication failed"), std::string::npos) << text;
    EXPECT_EQ(text.find("S3cretMarker"), std::string::npos) << text;
  }
}

TEST(ConnectFailure, TheRightPasswordIsTaken) {
  const pq_test::PasswordRole role;
  Pool pool("host=127.0.0.1 user=careful password=right");
  EXPECT_EQ(pool.query_value<std::string>("select current_user::text"), "careful");
}

TEST(ConnectFailure, OneAttemptPerBackoffStepHoweverManyWait) {
  Pool pool(PoolConfig{.conninfo = "host=127.0.0.1 port=1",
                       .max_size = 8,
                       .max_connecting = 8,
                       .connect_backoff_min = 50ms,
                       .connect_backoff_max = 50ms});
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&] { EXPECT_FALSE(pool.try_acquire(500ms).has_value()); });
    }
  }
  // The first attempts may be under way together; then at least 25 ms lie between two.
  EXPECT_LE(pool.stats().create_errors, 8 + 500 / 25 + 1);
  EXPECT_EQ(pool.stats().outcomes.unavailable, 16);
}

// A pool that is rejected once, for as long as `wrong`, and would not try again for half an hour.
struct Rejected {
  std::atomic<bool> wrong{true};
  std::atomic<int> connects{0};

  PoolConfig config() {
    PoolConfig config{.max_size = 1, .connect_backoff_min = 1h, .connect_backoff_max = 1h};
    config.hooks.before_connect = [this](ConnectParams& params) {
      ++connects;
      if (wrong) params.set("dbname", "no_such_database");
    };
    return config;
  }
};

// Seen failing: a pool without the backoff it was configured with, which connects again.
// The server may have begun a process for it, which lives until it hears of the end. A stress run
// through a black hole found five sessions on a pool of four, and none was in a count.
TEST(ConnectFailure, AConnectGivenUpInTheMiddleCountsAsAnAbandonedProcess) {
  const pq_test::Listener silent;
  const auto abandoned_at = [](const std::string& port) {
    Pool pool(PoolConfig{
        .conninfo = "host=127.0.0.1 port=" + port, .max_size = 1, .connect_timeout = 50ms});
    EXPECT_THROW(pool.acquire(200ms), ConnectError);
    return pool.stats().backends_abandoned;
  };
  EXPECT_GE(abandoned_at(silent.port()), 1u);
  EXPECT_EQ(abandoned_at(pq_test::Listener().close()), 0u);  // refused: there is nobody
}

TEST(ConnectFailure, ARejectionIsToldAgainWithItsAgeWhileTheBackoffRuns) {
  Rejected server;
  Pool pool(server.config());
  const auto error = [&] { return pq_test::thrown_by<ConnectError>([&] { pool.acquire(20s); }); };
  const ConnectError first = error();
  server.wrong = false;
  await_idle_long_enough();  // for a backoff of milliseconds to end
  const ConnectError again = error();
  EXPECT_EQ(again.code(), Errc::rejected);
  EXPECT_EQ(again.sqlstate(), "3D000");
  EXPECT_EQ(again.attempts(), 1u);
  EXPECT_EQ(server.connects, 1);
  EXPECT_EQ(again.report().last, first.report().last);
  EXPECT_GT(again.report().at, first.report().at);
  EXPECT_NE(std::string(again.what()).find(" ago"), std::string::npos) << again.what();
  EXPECT_EQ(pool.stats().outcomes.rejected, 2u);
}

// Somebody has mended what was wrong and says so. Seen failing: a reset() that leaves the verdict,
// and one that leaves the backoff.
TEST(ConnectFailure, ResetForgetsTheVerdictAndEndsTheBackoff) {
  Rejected server;
  Pool pool(server.config());
  EXPECT_EQ(pool.try_acquire(20s).error().code(), Errc::rejected);
  server.wrong = false;
  pool.reset();
  EXPECT_TRUE(pool.try_acquire(10s).has_value());
}

// The same while a connect is under way: its rejection comes after the reset, and the next attempt
// would be made in half an hour. Found by a stress run (server.wrong-password: "still refused").
TEST(ConnectFailure, ResetForgetsTheVerdictThatIsOnItsWay) {
  Rejected server;
  std::atomic<bool> asked{false};
  std::latch mended{1};
  PoolConfig config = server.config();
  config.hooks.before_connect = [&, ask = config.hooks.before_connect](ConnectParams& params) {
    ask(params);
    asked = true;
    mended.wait();
  };
  Pool pool(config);
  std::jthread waiter([&] { EXPECT_TRUE(pool.try_acquire(10s).has_value()); });
  ASSERT_TRUE(eventually([&] { return asked.load(); }));
  server.wrong = false;
  pool.reset();
  mended.count_down();
  waiter.join();
  EXPECT_EQ(pool.stats().outcomes.rejected, 0u);
  EXPECT_EQ(pool.stats().create_errors, 1u);
}

}  // namespace
}  // namespace tidegate::test
