#include <tidegate/pool/registry.hpp>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"

namespace tidegate::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Registry : public testing::Test {
 protected:
  // The text of the error that opening it again with `config` gives.
  std::string clash(const PoolConfig& config) {
    try {
      registry_.open("orders", config);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "none";
  }

  PoolRegistry registry_;
};

TEST_F(Registry, AllWhoOpenAPoolAtOnceGetTheSame) {
  constexpr int kThreads = 16;
  std::vector<std::shared_ptr<Pool>> pools(kThreads);
  std::atomic<bool> go{false};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        while (!go) std::this_thread::yield();
        pools[static_cast<std::size_t>(i)] = registry_.open("orders", {.max_size = 2});
      });
    }
    go = true;
  }
  EXPECT_EQ(std::set(pools.begin(), pools.end()).size(), 1u);
  EXPECT_EQ(registry_.get("orders"), pools[0]);
  EXPECT_EQ(pools[0]->config().name, "orders");
  EXPECT_EQ(pools[0]->query_value<int>("select 1"), 1);
}

TEST_F(Registry, AnotherConfigurationIsRefusedWithEachFieldThatDiffers) {
  registry_.open("orders", PoolConfig::parse("host=a password=tide pool_max_conns=4"));
  EXPECT_THAT(
      clash(PoolConfig::parse("host=b password=gate pool_max_conns=5 pool_min_conns=1")),
      AllOf(HasSubstr("host"), HasSubstr("\"a\""), HasSubstr("\"b\""), HasSubstr("pool_max_conns"),
            HasSubstr("pool_min_conns"), HasSubstr("password"), HasSubstr("pool_registry.cpp"),
            Not(HasSubstr("tide ")), Not(HasSubstr("gate\""))));
}

TEST_F(Registry, SpellingIsNoDifference) {
  registry_.open("orders", PoolConfig::parse("host=a port=1 pool_max_conn_lifetime=60m"));
  EXPECT_EQ(clash(PoolConfig::parse("postgresql://a:1?pool_max_conn_lifetime=1h")), "none");
  auto spelled_out = PoolConfig::parse("port=1 host=a pool_max_conn_lifetime_jitter=6m");
  spelled_out.name = "orders";
  EXPECT_EQ(clash(spelled_out), "none");
}

// Seen failing with code that is not compared at all: who brought a hook got a pool without it.
TEST_F(Registry, AHookOrAnObserverIsADifferenceOnlyAsSetOrNot) {
  PoolConfig config;
  config.hooks.before_close = [](Connection&) {};
  registry_.open("orders", config);
  EXPECT_THAT(clash({}), AllOf(HasSubstr("hooks.before_close = \"unset\": "),
                               HasSubstr("pool_registry.cpp"), HasSubstr(", has set")));
  config.hooks.before_close = [](Connection&) { FAIL() << "another one, but this is not seen"; };
  EXPECT_EQ(clash(config), "none");

  PoolConfig more = config;
  more.hooks.before_connect = [](ConnectParams&) {};
  more.hooks.after_connect = [](Connection&) {};
  more.hooks.prepare = [](Connection&) { return Verdict::use(); };
  more.hooks.should_ping = [](const Connection&, std::chrono::nanoseconds) { return true; };
  more.hooks.after_release = [](Connection&) { return true; };
  more.observer = std::make_shared<tidegate::Observer>();
  const std::string text = clash(more);
  EXPECT_THAT(text, Not(HasSubstr("hooks.before_close")));
  for (const char* field : {"hooks.before_connect", "hooks.after_connect", "hooks.prepare",
                            "hooks.should_ping", "hooks.after_release", "observer"}) {
    EXPECT_THAT(text, HasSubstr(std::string(field) + " = \"set\": ")) << field;
  }
}

TEST_F(Registry, NeverGivesAClosedPool) {
  const auto first = registry_.open("orders", {});
  first->close();
  try {
    registry_.get("orders");
    FAIL() << "it is closed";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is closed"));
  }
  const auto second = registry_.open("orders", {.max_size = 9});
  EXPECT_NE(first, second);
  EXPECT_EQ(registry_.get("orders"), second);
}

TEST_F(Registry, AnUnknownNameIsRefusedWithThoseThatAreKnown) {
  EXPECT_THROW(registry_.get("orders"), UsageError);
  registry_.open("stock", {});
  try {
    registry_.get("orders");
    FAIL() << "there is none";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"orders\""), HasSubstr("stock")));
  }
}

TEST_F(Registry, ClosesAllInReverseOrder) {
  const auto first = registry_.open("first", {});
  const auto second = registry_.open("second", {});
  const auto reports = registry_.close_all({.reason = "the end"});
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].first, "second");
  EXPECT_EQ(reports[1].first, "first");
  EXPECT_EQ(reports[1].second.closer.reason, "the end");
  EXPECT_TRUE(first->closed() && second->closed());
  EXPECT_THROW(registry_.get("first"), UsageError);
}

TEST_F(Registry, ClosesTheOthersWhenOneCannotBeClosedHere) {
  const auto first = registry_.open("first", {});
  const auto second = registry_.open("second", {});
  second->with([&](Connection&) { EXPECT_THROW(registry_.close_all(), WouldDeadlock); });
  EXPECT_TRUE(first->closed());
  EXPECT_EQ(registry_.get("second"), second);
}

TEST(GlobalRegistry, IsOne) { EXPECT_EQ(&PoolRegistry::global(), &PoolRegistry::global()); }

}  // namespace
}  // namespace tidegate::test
