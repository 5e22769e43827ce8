// Cancel requests to a server that takes them and does not answer, beside those to healthy ones.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "close_support.hpp"
#include "support/proxy.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;

constexpr const char* kSleep = "select pg_sleep(3600)";

stress::Proxy before_server() {
  return {pq_test::environment("PGHOST"), pq_test::environment("PGPORT")};
}

// What a pool of many connections does when its server no longer answers to cancels: each statement
// reaches its deadline, and each request stays on its way.
class SickServer : public testing::Test {
 protected:
  static constexpr std::uint32_t kSessions = 6;

  SickServer() {
    config_.max_size = kSessions + 1;
    config_.hooks.before_connect = [this](ConnectParams& params) {
      if (healthy_) return;
      params.set("host", "127.0.0.1");
      params.set("port", proxy_.port());
    };
  }
  ~SickServer() override {
    proxy_.heal();
    proxy_.finish_all();
  }

  // Their texts, in any order.
  std::vector<std::string> time_out_on(Pool& pool) {
    proxy_.delay_cancels(1h);
    std::vector<Lease> leases;
    for (std::uint32_t i = 0; i < kSessions; ++i) leases.push_back(pool.acquire());
    std::vector<std::future<std::string>> ends;
    for (Lease& lease : leases) {
      ends.push_back(std::async(std::launch::async, [&lease] {
        try {
          lease->exec({.by = 300ms, .prepared = false}, kSleep);
        } catch (const QueryTimeout& error) {
          EXPECT_TRUE(error.outcome_unknown());
          EXPECT_FALSE(lease->is_open());
          return std::string(error.what());
        }
        ADD_FAILURE() << "no timeout";
        return std::string();
      }));
    }
    std::vector<std::string> texts;
    for (auto& end : ends) texts.push_back(end.get());
    return texts;
  }

  stress::Proxy proxy_ = before_server();
  std::atomic<bool> healthy_ = false;
  PoolConfig config_{};
};

// Four blocking requests were all that the process could make: then no statement of any pool was
// canceled, each deadline cost a second more and the connection, and the error said that the server
// had not answered though it had not been asked.
TEST_F(SickServer, DoesNotKeepTheStatementsOfAnotherPoolFromBeingCanceled) {
  Pool sick(config_);
  for (const std::string& text : time_out_on(sick)) {
    EXPECT_THAT(text, HasSubstr("the server did not answer the cancel request within 1 s"));
  }
  EXPECT_EQ(sick.stats().cancels.sent, kSessions);
  EXPECT_EQ(sick.stats().cancels.stuck, kSessions);

  Pool healthy(PoolConfig{.max_size = 1});
  Lease lease = healthy.acquire();
  for (int i = 0; i < 3; ++i) {
    try {
      lease->exec({.by = 300ms, .prepared = false}, kSleep);
      ADD_FAILURE() << "no timeout";
    } catch (const QueryTimeout& error) {
      EXPECT_EQ(error.sqlstate(), "57014") << error.what();
      EXPECT_FALSE(error.outcome_unknown());
    }
    ASSERT_TRUE(lease->is_open());
  }
  EXPECT_GE(healthy.stats().cancels.sent, 3u);
  EXPECT_EQ(healthy.stats().cancels.stuck, 0u);
}

// A failover to another address: what hangs at the old one is no reason to leave out the new one.
TEST_F(SickServer, DoesNotKeepTheStatementsOfItsOwnPoolFromBeingCanceledAfterAFailover) {
  Pool pool(config_);
  time_out_on(pool);
  healthy_ = true;
  Lease lease = pool.acquire();
  try {
    lease->exec({.by = 300ms, .prepared = false}, kSleep);
    ADD_FAILURE() << "no timeout";
  } catch (const QueryTimeout& error) {
    EXPECT_EQ(error.sqlstate(), "57014") << error.what();
  }
  EXPECT_TRUE(lease->is_open());
  EXPECT_EQ(pool.stats().cancels.stuck, kSessions);
}

// The end of the pool, and of the process's canceller, waits for none of them.
TEST_F(SickServer, DoesNotHoldUpTheEnd) {
  auto pool = std::make_unique<Pool>(config_);
  time_out_on(*pool);
  const Deadline too_late(4s);
  pool.reset();
  EXPECT_FALSE(too_late.passed());
}

}  // namespace
}  // namespace tidegate::test
