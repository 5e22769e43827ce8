#include <tidegate/pool/config.hpp>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;

// Takes PG* variables out of the environment, or sets some, and puts them back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& wanted = {}) {
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
                             "PGSERVICE", "PGSERVICEFILE"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : wanted) {
      set_.push_back(name);
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;
  ~Environment() {
    for (const auto& name : set_) ::unsetenv(name.c_str());
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::map<std::string, std::string> before_{};
  std::vector<std::string> set_{};
};

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
  EXPECT_EQ(config.ping_after, 1s);
  EXPECT_EQ(config.ping_timeout, 1s);
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
      {"pool_ping_after", "0", [](const auto& c) { return c.ping_after == 0ms; }},
      {"pool_ping_timeout", "250ms", [](const auto& c) { return c.ping_timeout == 250ms; }},
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

// What a person may write wrongly, with a password in it. $ stands for the password.
const char* const kWithPassword[] = {
    // keyword/value
    "password=$",
    "password=$ oops",
    "password='$",
    "password='$' oops",
    "password=$ pool_max_conns=0",
    "password = $ =",
    "password $",
    "password:$",
    "$",
    "'$'",
    "=$",
    "=$=",
    "$=",
    "$=x",
    "x=$",
    "pass=$",
    "passwd=$",
    "pwd=$",
    "PASSWORD=$",
    "Password='$",
    "pasword=$",
    "password=a $=b",
    "password=a $",
    "password=a b $=c",
    "password=a b=$ $=c",
    "passwd=a $=b",
    "password='it's $",
    "password='it's $=b",
    "password='a'$=b",
    "password='a'$",
    "password=\"a $\"",
    "password=\"a $=b\"",
    "password=a pool_$=1",
    "pwd=a pool_$=1",
    "password='a\\'$",
    "password=a\\ $ b",
    "password=$ hots=x",
    "hots=$",
    "host=u:$",
    "host=u:$@db1",
    "host=u:$@db1 pool_max_conns=0",
    "hostaddr=u:$@db1",
    "port=$",
    "port=5432,$",
    "dbname=postgres://u:$@h/d",
    "dbname=postgresql://u:$@h/d?x=y",
    "sslpassword=$ oops",
    "sslpasword=$",
    "pool_password=$",
    "pool_max_conns=4 password='$",
    "pool_max_conns=$ password='x",
    "pool_name=$ x",
    "password=$ pool_acquire_timeout=30",
    "password=$\tpool_gates=3",
    "sslmode=$ x",
    "user=me password",
    "user=$ password",
    "password=x $=y pool_max_conn=3",
    "password=%$",
    "options='$",
    "password=x service=y $",
    "{password=$}",
    "password=$;host=x",
    "password=$,host=x;",
    "password=$&host=x y",
    "jdbc:postgresql://h/d?password=$",
    " postgresql://u:$@h/d",
    "postgresql:/u:$@h/d",
    "postgresql:u:$@h",
    "Postgresql://u:$@h/d?sslmode=x",
    "pg://u:$@h/d?a=b",
    "postgresql//u:$@h/d a=b",
    "//u:$@h/d",
    "u:$@h/d",
    "u:$@h/d?pool_max_conns=4",
    // URI
    "postgresql://u:$@h?x",
    "postgresql://u:$@h?x=y",
    "postgresql://u:$@h/d?pool_max_conns=0",
    "postgresql://u:$@h:port/d",
    "postgresql://u:$@[::1/d",
    "postgresql://u:$@[]/d",
    "postgresql://u:$@[::1]x/d",
    "postgresql://u:a@$@h/d",
    "postgresql://u:a@$:b@h/d",
    "postgresql://u:a@$:1",
    "postgresql://u:$@b@h/d",
    "postgresql://u:$@b@h:1/d?x=y",
    "postgresql://u:$/b@h/d",
    "postgresql://u:1/$@h/d",
    "postgresql://u:a/$@h/d",
    "postgresql://u:1/$?b@h/d",
    "postgresql://u:1/a?$@h/d",
    "postgresql://u:1/a?$=b@h/d",
    "postgresql://u:1/a?b=$@h/d",
    "postgresql://u:1/a?pool_$=b@h/d",
    "postgresql://u:1/a?pool_max_conns=$@h/d",
    "postgresql://u:1/a?pool_max_conns=$&user=b@h/d",
    "postgresql://u:1/a?pool_ping_after=$@h/d?x",
    "postgresql://u:1/a?port=$@h/d",
    "postgresql://u:$",
    "postgresql://u:$/d",
    "postgresql://u:$?x=y",
    "postgresql://u:%$@h/d",
    "postgresql://u:$%@h/d",
    "postgresql://u:$%4@h/d",
    "postgresql://u:$%00@h/d",
    "postgresql://h/d?password=$&x",
    "postgresql://h/d?password=$=x",
    "postgresql://h/d?password=$&x=y",
    "postgresql://h/d?password=a&$",
    "postgresql://h/d?password=a&$=b",
    "postgresql://h/d?pasword=$",
    "postgresql://h/d?password=$%",
    "postgresql://h/d?password=$&pool_max_conn=3",
    "postgresql://h/d?password=a&pool_$=3",
    "postgresql://h/d?passwd=$&pool_gates=3",
    "postgresql://h/d?$",
    "postgresql://h/d?$=x",
    "postgresql://h/d?pool_max_conns=0&password=$",
    "postgresql://u@v:$@h/d",
    "postgresql://u:$@h1,h2@x/d",
    "postgresql://u:$@h/d@x",
    "postgresql://u:$#b@h/d?x",
    "postgres://u:$:$@h:x/d",
    "postgres://$@h/d?x",
};

std::string with(std::string_view shape, std::string_view password) {
  std::string text;
  for (const char c : shape) {
    if (c == '$') {
      text += password;
    } else {
      text += c;
    }
  }
  return text;
}

TEST(PoolConfigMasking, NoErrorHoldsAPasswordOrAPieceOfOne) {
  const Environment clean;
  int refused = 0;
  // The second passes for a key, the third for the number of a port.
  for (const std::string secret : {"S3cR&tM!rk", "s3cretmark", "49151"}) {
    for (const char* shape : kWithPassword) {
      for (const std::string& text :
           {with(shape, secret), with(shape, secret) + " ", "host=h " + with(shape, secret),
            with(shape, secret) + " user=u"}) {
        try {
          const PoolConfig config = PoolConfig::parse(text);
          (void)config;
        } catch (const ConfigError& error) {
          ++refused;
          EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << text << "\n"
                                                                               << error.what();
          for (const auto& problem : error.problems()) {
            EXPECT_EQ((problem.key + problem.value + problem.text).find(secret), std::string::npos)
                << text;
          }
        }
        // Hand-made, the same string must not leak either.
        const PoolConfig config{.conninfo = text};
        try {
          config.validate();
        } catch (const ConfigError& error) {
          EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << text << "\n"
                                                                               << error.what();
          EXPECT_EQ(config.to_string().find(secret), std::string::npos) << text << "\n"
                                                                        << config.to_string();
        }
      }
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(PoolConfigMasking, ToStringHidesEverySecretOfAGoodString) {
  const Environment clean;
  for (const auto& [text, shown] : std::map<std::string, std::string>{
           {"host=h password=S3c user=u", "host=h password=*** user=u"},
           {"password = 'S 3 c'", "password=***"},
           {"sslpassword=S3c", "sslpassword=***"},
           {"postgresql://u:S3c@h/d", "postgresql://***@h/d"},
           {"postgresql://:S3c@h/d", "postgresql://***@h/d"},
           {"postgresql://h/d?user=u&password=S3c", "postgresql://h/d?user=u&password=***"},
           {"postgresql://h/d?pass%77ord=S3c", "postgresql://h/d?password=***"},
           {"dbname='host=h password=S3c'", "dbname=***"},
           {"postgresql://h/password=S3c", "***"},
       }) {
    const auto config = PoolConfig::parse(text);
    EXPECT_EQ(config.to_string(), shown);
    EXPECT_EQ(config.effective_name().find("S3c"), std::string::npos) << config.effective_name();
  }
}

TEST(PoolConfigMasking, ToStringOfAFaultyConninfoShowsNothingOfIt) {
  EXPECT_EQ((PoolConfig{.conninfo = "host=h password='S3c"}.to_string()), "***");
  EXPECT_EQ((PoolConfig{.conninfo = "postgresql://u:S3c@h/%", .name = "a"}.to_string()),
            "*** pool_name=a");
  EXPECT_EQ((PoolConfig{.conninfo = "password=a pool_S3c=1"}.to_string()), "***");
}

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
  for (const auto& [key, value, took] : key_cases()) {
    const auto config = PoolConfig::parse(std::string(key) + "=" + value);
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
