#include <tidegate/pool/config.hpp>

#include <string>

#include <gtest/gtest.h>

#include "support/environment.hpp"

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using test::Environment;

TEST(PoolConfigToString, RoundTrips) {
  for (const std::string text : {"", "host=h", "host = 'a b'  user=c\\ d", "postgresql://h",
                                 "postgresql://me@h1:1,h2:2/db?sslmode=disable",
                                 "postgresql:///db?host=/tmp&", "postgres://h/db?"}) {
    const auto plain = PoolConfig::parse(text);
    EXPECT_EQ(PoolConfig::parse(plain.to_string()), plain) << plain.to_string();
    PoolConfig config = plain;
    config.name = "it's a \\ name & more?";
    config.max_size = 9;
    config.min_size = 2;
    config.acquire_timeout = 1234567ms;
    config.barge_window = 1500us;
    config.max_lifetime = 0ms;
    config.max_lifetime_jitter = 90s;
    config.gates = 2;
    EXPECT_EQ(PoolConfig::parse(config.to_string()), config) << config.to_string();
  }
}

TEST(PoolConfigToString, ShowsOnlyWhatDiffersFromTheDefaults) {
  EXPECT_EQ(PoolConfig{}.to_string(), "");
  EXPECT_EQ(PoolConfig::parse("pool_ping_after=1s pool_max_conn_lifetime=90m host=h").to_string(),
            "host=h pool_max_conn_lifetime=1h30m");
  EXPECT_EQ(PoolConfig::parse("postgres://h?pool_max_conns=1&pool_name=a%20b").to_string(),
            "postgres://h?pool_name=a%20b&pool_max_conns=1");
}

TEST(PoolConfigName, IsHostPortAndDatabase) {
  const Environment clean;
  const auto name = [](const char* text) { return PoolConfig::parse(text).effective_name(); };
  EXPECT_EQ(name("host=db1 dbname=shop"), "db1:5432/shop");
  EXPECT_EQ(name("postgresql://me@db1:6432/shop"), "db1:6432/shop");
  EXPECT_EQ(name("host=db1 user=me"), "db1:5432/me");
  EXPECT_EQ(name("hostaddr=192.0.2.1 dbname=shop"), "192.0.2.1:5432/shop");
  EXPECT_EQ(name("host=a,b dbname=shop"), "a:5432,b:5432/shop");
  EXPECT_EQ(name("host=a,b port=1,2 dbname=shop"), "a:1,b:2/shop");
  EXPECT_EQ(name("host=/tmp dbname=shop"), "/tmp:5432/shop");
  EXPECT_EQ(name("dbname=shop"), "[local]:5432/shop");
  EXPECT_EQ(name("host=db1 pool_name=orders"), "orders");
  EXPECT_EQ((PoolConfig{.conninfo = "host='"}.effective_name()), "unknown");
}

TEST(PoolConfigName, UsesTheEnvironmentAsLibpqDoes) {
  const Environment set{{{"PGHOST", "envhost"}, {"PGPORT", "1234"}, {"PGDATABASE", "envdb"}}};
  EXPECT_EQ(PoolConfig{}.effective_name(), "envhost:1234/envdb");
  EXPECT_EQ((PoolConfig{.conninfo = "host=db1"}.effective_name()), "db1:1234/envdb");
  EXPECT_EQ((PoolConfig{.conninfo = "service=billing"}.effective_name()), "service billing");
  EXPECT_EQ((PoolConfig{.conninfo = "service=billing dbname=x port=1"}.effective_name()),
            "service billing:1/x");
}

}  // namespace
}  // namespace tidegate
