#include "pool/config/nearest.hpp"

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

TEST(EditDistance, CountsAddedDroppedChangedAndSwappedLetters) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("host", "host"), 0u);
  EXPECT_EQ(edit_distance("", "host"), 4u);
  EXPECT_EQ(edit_distance("hst", "host"), 1u);
  EXPECT_EQ(edit_distance("hoost", "host"), 1u);
  EXPECT_EQ(edit_distance("hast", "host"), 1u);
  EXPECT_EQ(edit_distance("hots", "host"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, TakesTheFirstOfTheClosest) {
  EXPECT_EQ(nearest("hots", {"port", "host", "hosts"}).word, "host");
  EXPECT_EQ(nearest("hots", {"port", "host", "hosts"}).distance, 1u);
  EXPECT_EQ(nearest("x", {"ab", "cd"}).word, "ab");
}

TEST(Nearest, ATypoIsOneLetterInThree) {
  EXPECT_TRUE(is_typo("ab", 1));
  EXPECT_FALSE(is_typo("ab", 2));
  EXPECT_TRUE(is_typo("passwd", 2));
  EXPECT_FALSE(is_typo("hunter", 3));
}

}  // namespace
}  // namespace tidegate::detail
