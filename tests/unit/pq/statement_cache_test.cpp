#include "pq/statement_cache.hpp"

#include <cstdint>
#include <string>
#include <vector>

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
  void add(const std::string& text) {
    cache_.add(Prepared::make({.text = text, .number = number_of(text)}));
  }
  static std::uint32_t number_of(const std::string& text) {
    return static_cast<std::uint32_t>(text.front());
  }
  std::string name_of(const std::string& text) { return std::string(cache_.name(number_of(text))); }

  StatementCache cache_{2};
};

TEST_F(StatementCacheTest, FindsByText) {
  EXPECT_EQ(cache_.find("a"), nullptr);
  add("a");
  add("b");
  ASSERT_NE(cache_.find("a"), nullptr);
  EXPECT_EQ(cache_.find("a")->number(), number_of("a"));
  EXPECT_EQ(cache_.find("b")->number(), number_of("b"));
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
  EXPECT_THAT(cache_.evicted(), ElementsAre(name_of("b")));
}

TEST_F(StatementCacheTest, WhatIsDroppedIsToBeDeallocatedToo) {
  add("a");
  cache_.drop(cache_.find("a"));
  EXPECT_EQ(cache_.find("a"), nullptr);
  EXPECT_THAT(cache_.evicted(), ElementsAre(name_of("a")));
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

// From the ninth on texts are found by their hash. Seen failing with an index that a dropped
// statement stays in, and with one that has none of the first eight.
TEST_F(StatementCacheTest, ManyAreFoundByTextToo) {
  cache_.set_capacity(20);
  const auto text = [](int i) { return "statement " + std::to_string(i); };
  for (int i = 0; i < 25; ++i) {
    add(text(i));
    EXPECT_NE(cache_.find(text(i / 2)), nullptr) << i;  // used again, so it stays
  }
  EXPECT_EQ(cache_.size(), 20u);
  for (int i = 0; i < 25; ++i) {
    const Prepared* const found = cache_.find(text(i));
    if (found == nullptr) continue;
    EXPECT_EQ(found->text(), text(i));
    cache_.drop(found);
    EXPECT_EQ(cache_.find(text(i)), nullptr);
  }
  EXPECT_EQ(cache_.size(), 0u);
  EXPECT_EQ(cache_.evicted().size(), 25u);
}

TEST_F(StatementCacheTest, NoNameComesTwice) {
  const std::string first(cache_.name(cache_.next_number()));
  cache_.clear();
  EXPECT_NE(std::string(cache_.name(cache_.next_number())), first);
}

TEST(PreparedStatement, TakesBytesWhereTheServerExpectsThemAndTextWhereItsTypeWasInferred) {
  const auto takes = [](std::uint32_t declared, std::uint32_t expected, auto value) {
    Params params;
    params.clear({});
    params.bind(value);
    params.seal();
    return Prepared::make({.declared = {&declared, 1}, .params = {&expected, 1}})->takes(params);
  };
  const std::vector<std::byte> bytes(3);
  EXPECT_TRUE(takes(0, kText, "text"));
  EXPECT_FALSE(takes(0, kText, bytes));
  EXPECT_TRUE(takes(0, kBytea, bytes));
  EXPECT_TRUE(takes(0, kBytea, "\\x00"));
  EXPECT_TRUE(takes(kBytea, kBytea, bytes));
  EXPECT_FALSE(takes(kBytea, kBytea, "it would be read as bytea"));
}

}  // namespace tidegate::pq_test
