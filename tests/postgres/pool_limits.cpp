// Deadlines and stop_tokens of the pool's own statements: acquire and query together.
#include <stop_token>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

TEST(PoolLimits, OneDeadlineBoundsAcquireAndQueryTogether) {
  Pool pool(PoolConfig{.max_size = 1});
  EXPECT_EQ(pool.query_value<int>({.by = 30s}, "select $1 + 1", 1), 2);
  EXPECT_THROW(pool.exec({.by = 20ms}, "select pg_sleep(600)"), QueryTimeout);
  EXPECT_EQ(std::get<0>(pool.query_row<int>({.by = 30s}, "select 3")), 3);
  const Lease held = pool.acquire();
  EXPECT_THROW(pool.exec({.by = 20ms}, "select 1"), WouldDeadlock);
  std::jthread other([&] { EXPECT_THROW(pool.exec({.by = 20ms}, "select 1"), AcquireTimeout); });
}

TEST(PoolLimits, TheAcquireIsAlsoBoundedByTheAcquireTimeout) {
  Pool pool(PoolConfig{.max_size = 1, .acquire_timeout = 20ms});
  pool.exec({.by = 30s}, "select 1");
  const Lease held = pool.acquire();
  std::jthread other([&] {
    EXPECT_THROW(pool.exec({.by = 30s}, "select 1"), AcquireTimeout);
    EXPECT_THROW(pool.exec_script({.by = 30s}, "select 1"), AcquireTimeout);
  });
}

TEST(PoolLimits, OneStopEndsAcquireAndQuery) {
  Pool pool(PoolConfig{.max_size = 1});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(pool.exec({.stop = stop.get_token()}, "select 1"), AcquireCanceled);
}

}  // namespace
}  // namespace tidegate::test
