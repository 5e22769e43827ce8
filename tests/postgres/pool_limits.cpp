// Deadlines and stop_tokens of the pool's own statements: acquire and query together.
#include <stop_token>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// Whichever ends first, the deadline of the statement or the pool's acquire_timeout. Seen failing,
// as the next one, with an acquire that knows the other only.
TEST(PoolLimits, OneDeadlineBoundsAcquireAndQueryTogether) {
  Pool pool(PoolConfig{.max_size = 1, .acquire_timeout = 10s});
  EXPECT_EQ(pool.query_value<int>({.by = 30s}, "select $1 + 1", 1), 2);
  EXPECT_THROW(pool.exec({.by = 20ms}, "select pg_sleep(600)"), QueryTimeout);
  EXPECT_EQ(std::get<0>(pool.query_row<int>({.by = 30s}, "select 3")), 3);
  const Lease held = pool.acquire();
  expect_timeout_before(10s, [&] { pool.exec({.by = 20ms}, "select 1"); });
}

TEST(PoolLimits, TheAcquireIsAlsoBoundedByTheAcquireTimeout) {
  Pool pool(PoolConfig{.max_size = 1, .acquire_timeout = 20ms});
  const Lease held = pool.acquire(30s);
  std::jthread([&] {
    expect_timeout_before(10s, [&] { pool.exec({.by = 10s}, "select 1"); });
    expect_timeout_before(10s, [&] { pool.exec_script({.by = 10s}, "select 1"); });
  }).join();
}

TEST(PoolLimits, OneStopEndsAcquireAndQuery) {
  Pool pool(PoolConfig{.max_size = 1});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(pool.exec({.stop = stop.get_token()}, "select 1"), AcquireCanceled);
}

// A late cancel strikes whatever runs then: nobody but the one who asked for it may see it, and a
// storm of timeouts is no storm of reconnects. Whether one is late here is luck; what becomes of
// those that are is shown by LateCancel and by stress's hygiene.
TEST(PoolLimits, NobodySeesTheCancelOfAnother) {
  Pool pool(PoolConfig{.max_size = 2});
  for (int i = 0; i < 50; ++i) {
    try {
      pool.exec({.by = 1ms}, "select pg_sleep(0.001 * ($1 % 3))", i);
    } catch (const QueryTimeout&) {
    } catch (const AcquireTimeout&) {
    }
    EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i);
  }
  EXPECT_EQ(pool.stats().destroyed.dirty, 0u);
  EXPECT_LE(pool.stats().created, 2u);
}

TEST(PoolLimits, AConnectionWhoseCancelHasArrivedIsUsedAgain) {
  Pool pool(PoolConfig{.max_size = 1});
  const int pid = pool.acquire()->backend_pid();
  EXPECT_THROW(pool.exec({.by = 20ms}, "select pg_sleep(600)"), QueryTimeout);
  EXPECT_EQ(pool.acquire()->backend_pid(), pid);
  EXPECT_EQ(pool.stats().resets.clean, 1u);
  EXPECT_GE(pool.stats().cancels.sent, 1u);
}

// The second request is due a second after the first. Seen failing: a pool that keeps its
// cancel_rate to itself.
TEST(PoolLimits, CancelsAreSentAtTheConfiguredRate) {
  Pool pool("pool_max_conns=1 pool_cancel_rate=1");
  Lease lease = pool.acquire();
  const auto began = std::chrono::steady_clock::now();
  for (const char* sql : {"select pg_sleep(600)", "select pg_sleep(0.2)"}) {
    try {
      lease->exec({.by = 20ms}, sql);
    } catch (const QueryTimeout&) {
    }
  }
  const auto sent = pool.stats().cancels.sent;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(sent, 1u);
  EXPECT_LE(static_cast<double>(sent), 1 + took.count());
}

}  // namespace
}  // namespace tidegate::test
