#include <tidegate/pool/config.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;

std::vector<ConfigError::Problem> problems_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const ConfigError& error) {
    return error.problems();
  }
  return {};
}
std::vector<ConfigError::Problem> problems_of(std::string_view text) {
  return problems_of([text] { (void)PoolConfig::parse(text); });
}

// The error's text, or "" when the string is fine.
std::string what_of(std::string_view text) {
  try {
    (void)PoolConfig::parse(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

// "key=value: text" of the one problem that there should be.
std::string only_problem(std::string_view text) {
  const auto problems = problems_of(text);
  if (problems.size() != 1) return std::to_string(problems.size()) + " problems: " + what_of(text);
  const auto& problem = problems.front();
  return problem.key + (problem.value.empty() ? "" : "=" + problem.value) + ": " + problem.text;
}

TEST(PoolConfig, DefaultsAreThoseOfTheTable) {
  const PoolConfig config;
  EXPECT_EQ(config.conninfo, "");
  EXPECT_EQ(config.name, std::nullopt);
  EXPECT_GE(config.max_size, 4u);
  EXPECT_EQ(config.min_size, 0u);
  EXPECT_EQ(config.min_idle, 0u);
  EXPECT_EQ(config.acquire_timeout, 30s);
  EXPECT_EQ(config.max_waiters, 0u);
  EXPECT_EQ(config.barge_window, 50us);
  EXPECT_EQ(config.effective_max_connecting(), 4u);
  EXPECT_EQ(config.connect_timeout, 10s);
  EXPECT_EQ(config.connect_backoff_min, 100ms);
  EXPECT_EQ(config.connect_backoff_max, 10s);
  EXPECT_EQ(config.max_lifetime, 1h);
  EXPECT_EQ(config.max_lifetime_jitter, std::nullopt);
  EXPECT_EQ(config.effective_lifetime_jitter(), 6min);
  EXPECT_EQ(config.max_idle_time, 30min);
  EXPECT_EQ(config.health_period, 1min);
  EXPECT_EQ(config.keepalive, 0s);
  EXPECT_EQ(config.ping_after, 1s);
  EXPECT_EQ(config.ping_timeout, 1s);
  EXPECT_EQ(config.reset, ResetPolicy::rollback);
  EXPECT_EQ(config.statement_cache, std::nullopt);
  EXPECT_EQ(config.cancel_rate, 100u);
  EXPECT_EQ(config.leak_threshold, 0s);
  EXPECT_FALSE(config.strict_parameters);
  EXPECT_FALSE(config.capture_stack);
  EXPECT_EQ(config.nested_acquire, NestedAcquire::off);
  EXPECT_EQ(config.close_drain, 10s);
  EXPECT_EQ(config.gates, std::nullopt);
  EXPECT_NO_THROW(config.validate());
}

TEST(PoolConfig, IsAnAggregateWithDesignatedInitialisers) {
  const PoolConfig config{
      .conninfo = "host=db1", .max_size = 16, .acquire_timeout = 250ms, .gates = 4};
  EXPECT_EQ(config.max_size, 16u);
  EXPECT_EQ(config.gates, 4u);
  EXPECT_NO_THROW(config.validate());
  PoolConfig copy = config;
  EXPECT_EQ(copy, config);
  copy.min_size = 1;
  EXPECT_NE(copy, config);
}

TEST(PoolConfig, ComputesWhatIsUnset) {
  EXPECT_EQ((PoolConfig{.max_size = 2}.effective_max_connecting()), 2u);
  EXPECT_EQ((PoolConfig{.max_size = 64, .max_connecting = 9}.effective_max_connecting()), 9u);
  EXPECT_EQ((PoolConfig{.max_lifetime = 15ms}.effective_lifetime_jitter()), 1ms);
  EXPECT_EQ(
      (PoolConfig{.max_lifetime = 1h, .max_lifetime_jitter = 0ms}.effective_lifetime_jitter()),
      0ms);
  EXPECT_EQ(
      (PoolConfig{.max_lifetime = 0ms, .max_lifetime_jitter = 5s}.effective_lifetime_jitter()),
      0ms);
}

struct KeyCase {
  const char* key;
  const char* value;
  std::function<bool(const PoolConfig&)> took;
};

const std::vector<KeyCase>& key_cases() {
  static const std::vector<KeyCase> cases{
      {"pool_name", "orders", [](const auto& c) { return c.name == "orders"; }},
      {"pool_max_conns", "16", [](const auto& c) { return c.max_size == 16; }},
      {"pool_min_conns", "3", [](const auto& c) { return c.min_size == 3; }},
      {"pool_min_idle_conns", "2", [](const auto& c) { return c.min_idle == 2; }},
      {"pool_acquire_timeout", "1.5s", [](const auto& c) { return c.acquire_timeout == 1500ms; }},
      {"pool_max_waiters", "1000", [](const auto& c) { return c.max_waiters == 1000; }},
      {"pool_barge_window", "70us", [](const auto& c) { return c.barge_window == 70us; }},
      {"pool_max_connecting", "2", [](const auto& c) { return c.max_connecting == 2; }},
      {"pool_connect_timeout", "5s", [](const auto& c) { return c.connect_timeout == 5s; }},
      {"pool_connect_backoff_min", "10ms",
       [](const auto& c) { return c.connect_backoff_min == 10ms; }},
      {"pool_connect_backoff_max", "20s",
       [](const auto& c) { return c.connect_backoff_max == 20s; }},
      {"pool_max_conn_lifetime", "1h30m", [](const auto& c) { return c.max_lifetime == 90min; }},
      {"pool_max_conn_lifetime_jitter", "7ms",
       [](const auto& c) { return c.max_lifetime_jitter == 7ms; }},
      {"pool_max_conn_idle_time", "0", [](const auto& c) { return c.max_idle_time == 0ms; }},
      {"pool_health_check_period", "10s", [](const auto& c) { return c.health_period == 10s; }},
      {"pool_keepalive", "30s", [](const auto& c) { return c.keepalive == 30s; }},
      {"pool_ping_after", "0", [](const auto& c) { return c.ping_after == 0ms; }},
      {"pool_ping_timeout", "250ms", [](const auto& c) { return c.ping_timeout == 250ms; }},
      {"pool_reset", "discard_all",
       [](const auto& c) { return c.reset == ResetPolicy::discard_all; }},
      {"pool_statement_cache", "0", [](const auto& c) { return c.statement_cache == 0; }},
      {"pool_strict_parameters", "true", [](const auto& c) { return c.strict_parameters; }},
      {"pool_cancel_rate", "5", [](const auto& c) { return c.cancel_rate == 5; }},
      {"pool_cancel_quiet", "40ms", [](const auto& c) { return c.cancel_quiet == 40ms; }},
      {"pool_leak_threshold", "2s", [](const auto& c) { return c.leak_threshold == 2s; }},
      {"pool_capture_stack", "true", [](const auto& c) { return c.capture_stack; }},
      {"pool_nested_acquire", "fail",
       [](const auto& c) { return c.nested_acquire == NestedAcquire::fail; }},
      {"pool_close_drain", "1m", [](const auto& c) { return c.close_drain == 1min; }},
      {"pool_gates", "8", [](const auto& c) { return c.gates == 8u; }},
  };
  return cases;
}

TEST(PoolConfigParse, TakesEveryKeyOutOfAKeywordValueString) {
  for (const auto& [key, value, took] : key_cases()) {
    const std::string pair = std::string(key) + "=" + value;
    const auto config = PoolConfig::parse("host=db1 " + pair + " user='a b'");
    EXPECT_TRUE(took(config)) << pair;
    EXPECT_EQ(config.conninfo, "host=db1 user='a b'") << pair;
    EXPECT_TRUE(took(PoolConfig::parse(std::string(key) + " = '" + value + "'"))) << pair;
  }
}

TEST(PoolConfigParse, TakesEveryKeyOutOfAUri) {
  for (const auto& [key, value, took] : key_cases()) {
    const std::string pair = std::string(key) + "=" + value;
    const auto config = PoolConfig::parse("postgresql://me@db1/shop?" + pair + "&sslmode=disable");
    EXPECT_TRUE(took(config)) << pair;
    EXPECT_EQ(config.conninfo, "postgresql://me@db1/shop?sslmode=disable") << pair;
    const auto alone = PoolConfig::parse("postgres://db1?" + pair);
    EXPECT_TRUE(took(alone)) << pair;
    EXPECT_EQ(alone.conninfo, "postgres://db1");
  }
}

TEST(PoolConfigParse, ReadsEveryKeyBackFromToString) {
  for (const auto& [key, value, took] : key_cases()) {
    const auto config = PoolConfig::parse(std::string(key) + "=" + value);
    EXPECT_EQ(PoolConfig::parse(config.to_string()), config) << config.to_string();
  }
}

TEST(PoolConfigParse, AResetPolicyIsOneOfFourWords) {
  const std::string words = "allowed: none, rollback, discard_all, destroy";
  EXPECT_EQ(PoolConfig::parse("pool_reset=none").reset, ResetPolicy::none);
  EXPECT_EQ(PoolConfig::parse("pool_reset=rollback").reset, ResetPolicy::rollback);
  EXPECT_EQ(PoolConfig::parse("pool_reset=destroy").reset, ResetPolicy::destroy);
  EXPECT_EQ(only_problem("pool_reset=Rollback"), "pool_reset=Rollback: " + words);
  EXPECT_EQ(only_problem("pool_reset="), "pool_reset: " + words);
  const PoolConfig odd{.reset = static_cast<ResetPolicy>(9)};
  const auto problems = problems_of([&] { odd.validate(); });
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].value, "9");
}

TEST(PoolConfigParse, CaptureStackIsTrueOrFalse) {
  EXPECT_FALSE(PoolConfig::parse("pool_capture_stack=false").capture_stack);
  EXPECT_EQ(only_problem("pool_capture_stack=yes"), "pool_capture_stack=yes: allowed: false, true");
  EXPECT_EQ(only_problem("pool_capture_stack=1"), "pool_capture_stack=1: allowed: false, true");
}

TEST(PoolConfigParse, NestedAcquireIsOneOfThreeWords) {
  EXPECT_EQ(PoolConfig::parse("pool_nested_acquire=warn").nested_acquire, NestedAcquire::warn);
  EXPECT_EQ(PoolConfig::parse("pool_nested_acquire=off").nested_acquire, NestedAcquire::off);
  EXPECT_EQ(only_problem("pool_nested_acquire=on"),
            "pool_nested_acquire=on: allowed: off, warn, fail");
  const PoolConfig odd{.nested_acquire = static_cast<NestedAcquire>(9)};
  EXPECT_EQ(problems_of([&] { odd.validate(); }).size(), 1u);
}

TEST(PoolConfig, HooksAndObserverAreNeitherComparedNorShown) {
  PoolConfig with{.max_size = 3};
  with.hooks.before_close = [](Connection&) {};
  EXPECT_EQ(with, PoolConfig{.max_size = 3});
  EXPECT_EQ(with.to_string(), PoolConfig{.max_size = 3}.to_string());
  EXPECT_TRUE(PoolConfig(with).hooks.before_close) << "but copied";
}

TEST(PoolConfigParse, TakesAllKeysAtOnceInEitherForm) {
  std::string words;
  std::string uri = "postgresql://h1:5432,h2:5433/db";
  for (const auto& [key, value, took] : key_cases()) {
    words += std::string(key) + "=" + value + " ";
    uri += (uri.ends_with("db") ? "?" : "&") + std::string(key) + "=" + value;
  }
  for (const auto& [key, value, took] : key_cases()) {
    EXPECT_TRUE(took(PoolConfig::parse(words))) << key;
    EXPECT_TRUE(took(PoolConfig::parse(uri))) << key;
  }
  EXPECT_EQ(PoolConfig::parse(words).conninfo, "");
  EXPECT_EQ(PoolConfig::parse(uri).conninfo, "postgresql://h1:5432,h2:5433/db");
}

TEST(PoolConfigParse, DecodesKeysAndValuesOfAUri) {
  const auto config = PoolConfig::parse("postgresql://h?pool%5Fname=a%20b%26c");
  EXPECT_EQ(config.name, "a b&c");
  EXPECT_EQ(config.conninfo, "postgresql://h");
}

TEST(PoolConfigParse, ReadsQuotedValues) {
  EXPECT_EQ(PoolConfig::parse("pool_name='it\\'s here'").name, "it's here");
  EXPECT_EQ(PoolConfig::parse("pool_name=a\\ b").name, "a b");
}

TEST(PoolConfigParse, LeavesEveryOtherPartAsItIsWritten) {
  EXPECT_EQ(PoolConfig::parse("password='a\\'b'pool_name=x host = c\\ d").conninfo,
            "password='a\\'b' host = c\\ d");
  EXPECT_EQ(
      PoolConfig::parse("postgres://%6de:p%40@h/d%62?options=-c%20a%3Db&pool_name=x").conninfo,
      "postgres://%6de:p%40@h/d%62?options=-c%20a%3Db");
  EXPECT_EQ(PoolConfig::parse("").conninfo, "");
  EXPECT_EQ(PoolConfig::parse("postgres://h?ssl=true").conninfo, "postgres://h?ssl=true");
}

TEST(PoolConfigParse, APoolKeyInsideAValueIsPartOfTheValue) {
  EXPECT_EQ(PoolConfig::parse("application_name='pool_max_conns=3'").max_size,
            PoolConfig{}.max_size);
  EXPECT_EQ(PoolConfig::parse("user= pool_max_conns=3").max_size, PoolConfig{}.max_size);
}

TEST(PoolConfigParse, GatesMayBeAuto) {
  EXPECT_EQ(PoolConfig::parse("pool_gates=auto").gates, std::nullopt);
  EXPECT_EQ(PoolConfig::parse("pool_gates=1").gates, 1u);
}

TEST(PoolConfigParse, AnUnknownPoolKeyNamesTheNearest) {
  EXPECT_EQ(only_problem("pool_max_conn=4"),
            "pool_max_conn: position 1: unknown key; the nearest is pool_max_conns");
  EXPECT_EQ(only_problem("host=a pool_pingafter=4s"),
            "pool_pingafter: position 8: unknown key; the nearest is pool_ping_after");
  EXPECT_EQ(only_problem("postgres://h/db?pool_gate=4"),
            "pool_gate: position 17: unknown key; the nearest is pool_gates");
  EXPECT_EQ(only_problem("password=x pool_max_conn=4"),
            "pool_max_conn: position 12: unknown key; the nearest is pool_max_conns");
}

TEST(PoolConfigParse, AnUnknownLibpqKeywordIsNamedOnlyAsATypo) {
  EXPECT_EQ(only_problem("hots=a"), "hots: position 1: unknown keyword; the nearest is host");
  EXPECT_EQ(only_problem("host=a usr=b"), "usr: position 8: unknown keyword; the nearest is user");
  EXPECT_EQ(only_problem("postgres://h?ssl_mode=require"),
            "ssl_mode: position 14: unknown keyword; the nearest is sslmode");
  EXPECT_EQ(only_problem("hunter2=a"), ": position 1: unknown keyword");
  EXPECT_EQ(only_problem("password=my hots=x"), ": position 13: unknown keyword");
}

TEST(PoolConfigParse, ADurationNeedsAUnit) {
  const std::string how = "; write it as 50us, 250ms, 1.5s, 1h30m";
  EXPECT_EQ(only_problem("pool_acquire_timeout=30"),
            "pool_acquire_timeout=30: a duration needs a unit" + how);
  EXPECT_EQ(only_problem("pool_barge_window=50"),
            "pool_barge_window=50: a duration needs a unit" + how);
  EXPECT_EQ(only_problem("pool_ping_after=soon"), "pool_ping_after=soon: not a duration" + how);
  EXPECT_EQ(only_problem("pool_ping_after="), "pool_ping_after: not a duration" + how);
  EXPECT_EQ(only_problem("pool_ping_after=50us"), "pool_ping_after=50us: finer than 1ms");
  EXPECT_EQ(only_problem("pool_barge_window=50ns"), "pool_barge_window=50ns: finer than 1us");
}

TEST(PoolConfigParse, WhatIsOutOfRangeNamesTheRange) {
  EXPECT_EQ(only_problem("pool_max_conns=0"), "pool_max_conns=0: allowed: 1 to 65535");
  EXPECT_EQ(only_problem("pool_max_conns=65536"), "pool_max_conns=65536: allowed: 1 to 65535");
  EXPECT_EQ(only_problem("pool_max_conns=-1"), "pool_max_conns=-1: allowed: 1 to 65535");
  EXPECT_EQ(only_problem("pool_max_conns=99999999999999999999"),
            "pool_max_conns=99999999999999999999: allowed: 1 to 65535");
  EXPECT_EQ(only_problem("pool_max_waiters=4294967296"),
            "pool_max_waiters=4294967296: allowed: 0 to 4294967295");
  EXPECT_EQ(only_problem("pool_max_connecting=0"), "pool_max_connecting=0: allowed: 1 to 65535");
  EXPECT_EQ(only_problem("pool_health_check_period=0"),
            "pool_health_check_period=0: allowed: 1ms to 876000h");
  EXPECT_EQ(only_problem("pool_connect_timeout=0"),
            "pool_connect_timeout=0: allowed: 1ms to 876000h");
  EXPECT_EQ(only_problem("pool_ping_timeout=-1s"),
            "pool_ping_timeout=-1s: allowed: 1ms to 876000h");
  EXPECT_EQ(only_problem("pool_acquire_timeout=-1s"),
            "pool_acquire_timeout=-1s: allowed: 0 to 876000h");
  EXPECT_EQ(only_problem("pool_max_conn_lifetime_jitter=-1s"),
            "pool_max_conn_lifetime_jitter=-1s: allowed: 0 to 876000h");
  EXPECT_EQ(only_problem("pool_barge_window=2s"), "pool_barge_window=2s: allowed: 0 to 1s");
  EXPECT_EQ(only_problem("pool_close_drain=876001h"),
            "pool_close_drain=876001h: allowed: 0 to 876000h");
  const std::string gates = "allowed: auto, or a power of two from 1 to 64";
  EXPECT_EQ(only_problem("pool_gates=3"), "pool_gates=3: " + gates);
  EXPECT_EQ(only_problem("pool_gates=0"), "pool_gates=0: " + gates);
  EXPECT_EQ(only_problem("pool_gates=128"), "pool_gates=128: " + gates);
  EXPECT_EQ(only_problem("pool_gates=many"), "pool_gates=many: " + gates);
}

TEST(PoolConfigParse, ACountMustBeAWholeNumber) {
  for (const char* value : {"4.5", "four", "4x", "+4", "0x4", "'4 '", "''"}) {
    const auto problems = problems_of("pool_max_conns=" + std::string(value));
    ASSERT_EQ(problems.size(), 1u) << value;
    EXPECT_EQ(problems[0].text, "not a whole number") << value;
    EXPECT_EQ(problems[0].field, "max_size");
  }
}

TEST(PoolConfigParse, ANameMustBePrintable) {
  EXPECT_EQ(only_problem("pool_name="), "pool_name: must not be empty");
  EXPECT_EQ(only_problem("pool_name='a\nb'"), "pool_name=a?b: must not hold control characters");
  EXPECT_EQ(PoolConfig::parse("pool_name=\xc3\xa9").name, "\xc3\xa9");
}

TEST(PoolConfigParse, AKeyGivenTwiceIsAnError) {
  EXPECT_EQ(only_problem("pool_max_conns=4 pool_max_conns=4"),
            "pool_max_conns: position 18: given twice");
  EXPECT_EQ(only_problem("postgres://h?pool_gates=4&pool%5fgates=4"),
            "pool_gates: position 27: given twice");
  // libpq lets the last one win for its own.
  EXPECT_NO_THROW((void)PoolConfig::parse("host=a host=b"));
}

TEST(PoolConfigParse, TellsASyntaxErrorByPositionAndRule) {
  EXPECT_EQ(only_problem("host=a secret"), ": position 8: a keyword without '=' behind it");
  EXPECT_EQ(only_problem("password='a"), ": position 10: a quoted value without its closing quote");
  EXPECT_EQ(only_problem("postgres://h?user"), ": position 14: a parameter without '='");
  EXPECT_EQ(problems_of("host=a secret")[0].field, "conninfo");
}

TEST(PoolConfigParse, RefusesWhatWouldPutAPasswordIntoTheName) {
  EXPECT_EQ(only_problem("host=me:pw@db1"), "host=***: an '@' in the name of a host");
  EXPECT_EQ(only_problem("hostaddr=me:pw@db1"), "hostaddr=***: an '@' in the name of a host");
  EXPECT_EQ(only_problem("postgres://me:pw/x"),
            "port=***: a port that is not a number from 1 to 65535");
  EXPECT_EQ(only_problem("dbname=postgres://me:pw@h/x"),
            "dbname=***: a URI as name of the database; it can only be the whole string");
  EXPECT_NO_THROW((void)PoolConfig::parse("host=@abstract,@other port=1,2"));
  EXPECT_NO_THROW((void)PoolConfig::parse("host=a,b port=,5433"));
  EXPECT_NO_THROW((void)PoolConfig::parse("postgres://h/db?user=me@server"));
}

TEST(PoolConfigParse, ReportsAllProblemsAtOnce) {
  const std::string text =
      "hots=x pool_max_conns=0 pool_ping_after=5 pool_min_conns=-1 pool_max_conn=3 pool_gates=5 "
      "pool_connect_backoff_min=20s pool_health_check_period=0 unfinished";
  std::map<std::string, std::string> found;
  for (const auto& problem : problems_of(text))
    found[problem.key + "/" + problem.field] = problem.text;
  EXPECT_EQ(found.size(), 9u) << what_of(text);
  for (const char* name :
       {"hots/conninfo", "pool_max_conns/max_size", "pool_ping_after/ping_after",
        "pool_min_conns/min_size", "pool_max_conn/", "pool_gates/gates", "/conninfo",
        "pool_connect_backoff_min/connect_backoff_min", "pool_health_check_period/health_period"}) {
    EXPECT_EQ(found.count(name), 1u) << name;
  }
}

TEST(PoolConfigParse, OneFaultIsNotToldTwice) {
  // The size is not known, so nothing is compared with it.
  EXPECT_EQ(only_problem("pool_max_conns=many pool_min_conns=60000"),
            "pool_max_conns=many: not a whole number");
  EXPECT_EQ(only_problem("pool_connect_backoff_min=1 pool_connect_backoff_max=1ms")
                .find("pool_connect_backoff_min=1:"),
            0u);
}

TEST(PoolConfigValidate, ComparesMembersWithEachOther) {
  EXPECT_EQ(only_problem("pool_max_conns=4 pool_min_conns=5"),
            "pool_min_conns=5: more than max_size (pool_max_conns), which is 4");
  EXPECT_EQ(only_problem("pool_max_conns=4 pool_min_idle_conns=5"),
            "pool_min_idle_conns=5: more than max_size (pool_max_conns), which is 4");
  EXPECT_EQ(only_problem("pool_connect_backoff_min=2s pool_connect_backoff_max=1s"),
            "pool_connect_backoff_min=2s: more than connect_backoff_max "
            "(pool_connect_backoff_max), which is 1s");
}

TEST(PoolConfigValidate, ReportsAllProblemsOfAHandMadeOneAtOnce) {
  PoolConfig config{.conninfo = "host='a",
                    .name = "",
                    .max_size = 0,
                    .min_size = 70'000,
                    .acquire_timeout = -1s,
                    .barge_window = -1us,
                    .max_lifetime = std::chrono::milliseconds::max(),
                    .max_idle_time = std::chrono::milliseconds::min(),
                    .health_period = 0s,
                    .gates = 6};
  const auto problems = problems_of([&] { config.validate(); });
  std::vector<std::string> fields;
  for (const auto& problem : problems) fields.push_back(problem.field);
  EXPECT_EQ(fields, (std::vector<std::string>{"conninfo", "name", "max_size", "min_size",
                                              "acquire_timeout", "barge_window", "max_lifetime",
                                              "max_idle_time", "health_period", "gates"}));
  EXPECT_EQ(problems[3].value, "70000");
  EXPECT_EQ(problems[3].text, "allowed: 0 to 65535");
  EXPECT_EQ(problems[4].value, "-1s");
}

TEST(PoolConfigValidate, APoolKeyInTheConninfoOfAHandMadeOneNamesParse) {
  const PoolConfig config{.conninfo = "host=a pool_max_conns=4"};
  const auto problems = problems_of([&] { config.validate(); });
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].text.find("PoolConfig::parse()"), std::string::npos);
  EXPECT_EQ(
      problems_of([] { PoolConfig{.conninfo = "postgres://h?pool_nonsense=4"}.validate(); }).size(),
      1u);
}

TEST(PoolConfigError, NamesTheCallersPlace) {
  const Location here = Location::current();
  try {
    (void)PoolConfig::parse("pool_gates=3");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.where().line(), here.line() + 2);
    EXPECT_EQ(error.code(), Errc::config);
  }
}

}  // namespace
}  // namespace tidegate
