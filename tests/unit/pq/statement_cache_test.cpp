#include "pq/statement_cache.hpp"

#include <string>

#include <gmock/gmock.h>

#include <tidegate/pq/convert.hpp>

#include "unit/pq/made_rows.hpp"

namespace tidegate::pq_test {

using pq::Prepared;
using pq::StatementCache;
using testing::ElementsAre;
using testing::IsEmpty;

class StatementCacheTest : public testing::Test {
 protected:
  void add(const std::string& text) { cache_.add({.text = text, .name = "name of " + text}); }

  StatementCache cache_{2};
};

TEST_F(StatementCacheTest, FindsByText) {
  EXPECT_EQ(cache_.find("a"), nullptr);
  add("a");
  add("b");
  ASSERT_NE(cache_.find("a"), nullptr);
  EXPECT_EQ(cache_.find("a")->name, "name of a");
  EXPECT_EQ(cache_.find("b")->name, "name of b");
  EXPECT_EQ(cache_.find("c"), nullptr);
}

TEST_F(StatementCacheTest, TheLeastRecentlyUsedGoesWhenThereIsNoRoom) {
  add("a");
  add("b");
  cache_.find("a");
  add("c");
  EXPECT_EQ(cache_.size(), 2u);
  EXPECT_EQ(cache_.find("b"), nullptr);
  EXPECT_NE(cache_.find("a"), nullptr);
  EXPECT_THAT(cache_.evicted(), ElementsAre("name of b"));
}

TEST_F(StatementCacheTest, WhatIsDroppedIsToBeDeallocatedToo) {
  add("a");
  cache_.drop(cache_.find("a"));
  EXPECT_EQ(cache_.find("a"), nullptr);
  EXPECT_THAT(cache_.evicted(), ElementsAre("name of a"));
  add("a");
  EXPECT_NE(cache_.find("a"), nullptr);
}

TEST_F(StatementCacheTest, WhatTheServerHasForgottenNeedsNoDeallocation) {
  add("a");
  add("b");
  add("c");
  cache_.clear();
  EXPECT_EQ(cache_.find("c"), nullptr);
  EXPECT_THAT(cache_.evicted(), IsEmpty());
}

TEST_F(StatementCacheTest, NoNameComesTwice) {
  const std::string first = cache_.next_name();
  cache_.clear();
  EXPECT_NE(cache_.next_name(), first);
}

TEST(PreparedStatement, TakesBytesWhereTheServerExpectsThemAndTextWhereItsTypeWasInferred) {
  const auto takes = [](const Prepared& statement, auto value) {
    Params params;
    params.clear({});
    params.bind(value);
    params.seal();
    return statement.takes(params);
  };
  const std::vector<std::byte> bytes(3);
  EXPECT_TRUE(takes({.declared = {0}, .params = {kText}}, "text"));
  EXPECT_FALSE(takes({.declared = {0}, .params = {kText}}, bytes));
  EXPECT_TRUE(takes({.declared = {0}, .params = {kBytea}}, bytes));
  EXPECT_TRUE(takes({.declared = {0}, .params = {kBytea}}, "\\x00"));
  EXPECT_TRUE(takes({.declared = {kBytea}, .params = {kBytea}}, bytes));
  EXPECT_FALSE(takes({.declared = {kBytea}, .params = {kBytea}}, "it would be read as bytea"));
}

}  // namespace tidegate::pq_test
