#include <tidegate/pq/conninfo.hpp>

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace tidegate::pq {

const ConninfoOption* find(const std::vector<ConninfoOption>& options, const std::string& keyword) {
  const auto found = std::find_if(options.begin(), options.end(),
                                  [&](const auto& o) { return o.keyword == keyword; });
  return found == options.end() ? nullptr : &*found;
}

TEST(Conninfo, BothFormsAreReadAndOnlyWhatIsGivenIsReturned) {
  for (const char* text :
       {"host=h port=1 dbname='d b' password=secret", "postgresql://h:1/d%20b?password=secret"}) {
    const auto options = parse_conninfo(text);
    ASSERT_TRUE(options) << text;
    EXPECT_EQ(options->size(), 4u);
    ASSERT_NE(find(*options, "dbname"), nullptr);
    EXPECT_EQ(find(*options, "dbname")->value, "d b");
    EXPECT_FALSE(find(*options, "dbname")->secret);
    ASSERT_NE(find(*options, "password"), nullptr);
    EXPECT_TRUE(find(*options, "password")->secret);
  }
  EXPECT_TRUE(parse_conninfo("")->empty());
  EXPECT_TRUE(parse_conninfo("user=''")->empty());
}

TEST(Conninfo, WhatLibpqRefusesIsRefusedWithoutAWord) {
  EXPECT_EQ(parse_conninfo("nonsense"), std::nullopt);
  EXPECT_EQ(parse_conninfo("pool_max_conns=4"), std::nullopt);
  EXPECT_EQ(parse_conninfo("postgresql://h:1/?x"), std::nullopt);
  EXPECT_EQ(parse_conninfo(std::string("host=a\0 port=1", 14)), std::nullopt);
}

TEST(Conninfo, TheDefaultsAreTheEnvironmentsAndLibpqsOwn) {
  ::setenv("PGAPPNAME", "from the environment", 1);
  const auto options = conninfo_defaults();
  ::unsetenv("PGAPPNAME");
  ASSERT_NE(find(options, "application_name"), nullptr);
  EXPECT_EQ(find(options, "application_name")->value, "from the environment");
  ASSERT_NE(find(options, "sslmode"), nullptr);
  EXPECT_EQ(find(options, "sslmode")->value, "prefer");
  ASSERT_NE(find(options, "sslpassword"), nullptr);
  EXPECT_TRUE(find(options, "sslpassword")->secret);
}

TEST(Conninfo, AnUnknownServiceCostsItsDefaultsOnly) {
  ::setenv("PGSERVICE", "no such service", 1);
  const auto options = conninfo_defaults();
  ::unsetenv("PGSERVICE");
  EXPECT_NE(find(options, "host"), nullptr);
}

}  // namespace tidegate::pq
