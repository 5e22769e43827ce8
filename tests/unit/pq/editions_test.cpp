#include "pq/editions.hpp"

#include <string>

#include <gmock/gmock.h>

namespace tidegate::pq_test {
namespace {

using testing::HasSubstr;

std::string in_edition(std::string text) {
  pq::append_edition(text);
  return text;
}

TEST(Editions, ATextGetsAnotherEachTime) {
  const std::string text = "select 'an edition'";
  pq::next_edition(text);
  const std::string first = in_edition(text);
  EXPECT_THAT(first, HasSubstr("select 'an edition'\n/* tidegate "));
  EXPECT_EQ(in_edition(text), first);
  EXPECT_EQ(pq::without_edition(first), text);
  pq::next_edition(text);
  EXPECT_NE(in_edition(text), first);
}

TEST(Editions, AllGetOneAtOnce) {
  pq::next_edition_of_all();
  EXPECT_NE(in_edition("select 'never seen'"), "select 'never seen'");
}

TEST(Editions, WhatHasNoneIsAsItIs) {
  for (const char* text : {"", "select 1", "select 1 /* c */", "/* tidegate 1 */"}) {
    EXPECT_EQ(pq::without_edition(text), text);
  }
}

// So that a pooler that keeps each is not filled with them.
TEST(Editions, ALookIsTheSameForAWhile) {
  const std::string look = pq::edition_for_a_look("select 1", 1'000'000'000);
  EXPECT_EQ(pq::edition_for_a_look("select 1", 1'000'000'000), look);
  EXPECT_EQ(pq::edition_for_a_look(look, 1'000'000'000), look);
  EXPECT_EQ(pq::without_edition(look), "select 1");
}

}  // namespace
}  // namespace tidegate::pq_test
