// What errors say of a pool in unusual states is true.
#include <latch>
#include <string>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// It used to be "exhausted: 0 of 1 are leased", with the hint to look for a missing release.
TEST(PoolWords, AnAcquireThatWaitsForAConnectionToBeClosedSaysThat) {
  std::latch may_close{1};
  PoolConfig config{.name = "orders", .max_size = 1, .ping_timeout = 30s};
  config.hooks.before_close = [&](Connection&) { may_close.wait(); };
  Pool pool(config);
  pool.acquire().discard();
  ASSERT_TRUE(eventually([&] { return pool.stats().retiring == 1; }));
  try {
    const Lease none = pool.acquire(20ms);
    ADD_FAILURE() << "the place is not free";
  } catch (const AcquireTimeout& error) {
    EXPECT_EQ(error.cause(), AcquireTimeout::Cause::retiring) << error.what();
    EXPECT_EQ(error.counts().leased, 0u);
    EXPECT_EQ(error.counts().retiring, 1u);
    const std::string text = error.what();
    EXPECT_NE(text.find("cause: retiring: 1 connection being closed"), text.npos) << text;
    EXPECT_EQ(text.find("exhausted"), text.npos) << text;
  }
  may_close.count_down();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

}  // namespace
}  // namespace tidegate::test
