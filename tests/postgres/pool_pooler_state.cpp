// Through a PgBouncer that announces its mode (1.26 and later): what is lost with each transaction
// is said in the call that asks for it.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"
#include "support/pgbouncer.hpp"

namespace tidegate::test {
namespace {

class PoolerState : public testing::Test {
 protected:
  void SetUp() override {
    const int version = Bouncer(1).version();
    if (version < 126) {
      GTEST_SKIP() << "PgBouncer announces its mode from 1.26 on, and this is " << version / 100
                   << '.' << version % 100;
    }
  }
};

TEST_F(PoolerState, InTransactionModeNobodyWaitsForNotificationsInVain) {
  const Bouncer bouncer(1);
  Pool pool{bouncer.conninfo() + " pool_max_conns=1"};
  Lease lease = pool.acquire();
  EXPECT_TRUE(lease->through_pooler());
  EXPECT_THROW(lease->exec("listen news"), UsageError);
  EXPECT_THROW(lease->notifications(Deadline::never()), UsageError);
  std::vector<std::string> heard;
  lease->set_notice_handler([&heard](const Notice& n) { heard.emplace_back(n.message); });
  lease->exec("set work_mem = '1MB'");
  EXPECT_EQ(lease->query_value<int>("select 1"), 1);
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_NE(heard[0].find("this setting is lost"), std::string::npos) << heard[0];
}

TEST_F(PoolerState, InSessionModeTheyCome) {
  const Bouncer bouncer(1, {"pool_mode=session"});
  Pool pool{bouncer.conninfo() + " pool_max_conns=1"};
  Lease lease = pool.acquire();
  lease->exec("listen news");
  Pool{"pool_max_conns=1"}.exec("notify news, 'x'");
  EXPECT_EQ(lease->notifications(Deadline(30s)).size(), 1u);
}

}  // namespace
}  // namespace tidegate::test
