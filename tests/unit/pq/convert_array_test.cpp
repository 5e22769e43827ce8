#include <tidegate/pq/convert.hpp>

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "unit/pq/made_rows.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;
using Strings = std::vector<std::string>;

TEST(ConvertArray, NumbersAreReadInTheirOrder) {
  EXPECT_EQ(read<std::vector<int>>(kInt4Array, "{1,2,-3}"), (std::vector{1, 2, -3}));
  EXPECT_EQ(read<std::vector<int>>(kInt4Array, "{}"), std::vector<int>());
  EXPECT_EQ(read<std::vector<bool>>(1000, "{t,f}"), (std::vector<bool>{true, false}));
}

TEST(ConvertArray, QuotedElementsAreUnescaped) {
  EXPECT_EQ(read<Strings>(kTextArray, R"({plain,"a b","","NULL","a\"b\\c","{,}"})"),
            (Strings{"plain", "a b", "", "NULL", "a\"b\\c", "{,}"}));
}

TEST(ConvertArray, ALowerBoundIsDropped) {
  EXPECT_EQ(read<std::vector<int>>(kInt4Array, "[2:4]={1,2,3}"), (std::vector{1, 2, 3}));
}

TEST(ConvertArray, NullElementsNeedAnOptional) {
  using Maybe = std::vector<std::optional<std::string>>;
  EXPECT_EQ(read<Maybe>(kTextArray, R"({a,NULL,"NULL"})"), (Maybe{"a", std::nullopt, "NULL"}));
  EXPECT_THAT(refusal<Strings>(kTextArray, "{a,NULL}"),
              HasSubstr("text[] cannot be read as std::vector<std::string>: it is NULL"));
}

TEST(ConvertArray, AnElementThatDoesNotConvertIsRefused) {
  EXPECT_THAT(refusal<std::vector<int>>(kTextArray, "{1,x}"),
              HasSubstr("cannot be read as std::vector<int>: it is not a whole number"));
}

TEST(ConvertArray, ArraysOfArraysAreRefusedBothWays) {
  EXPECT_THAT(refusal<std::vector<int>>(kInt4Array, "{{1},{2}}"),
              HasSubstr("more than one dimension"));
  EXPECT_THROW(sent(std::vector<std::vector<int>>{{1}}), UsageError);
}

TEST(ConvertArray, WhatIsNoArrayIsRefused) {
  for (const char* text : {"", "1", "{", "{1", "{1,", "{1,}", "{,1}", "{\"a}", "{\"a\\", "{1}x",
                           "[1:2]", "{\"a\"b}"}) {
    EXPECT_THAT(refusal<Strings>(kTextArray, text), HasSubstr("not in the text form of an array"))
        << text;
  }
}

TEST(ConvertArray, SentElementsAreQuotedSoThatNoneIsTakenForNullOrStructure) {
  EXPECT_EQ(sent(std::vector{1, -2}), R"({"1","-2"})");
  EXPECT_EQ(sent(std::vector<int>()), "{}");
  EXPECT_EQ(sent(Strings{"NULL", "", R"(a"b\c)", "{,}"}), R"({"NULL","","a\"b\\c","{,}"})");
  EXPECT_EQ(sent(std::vector<std::optional<int>>{1, std::nullopt}), R"({"1",NULL})");
  EXPECT_EQ(sent(std::vector<bool>{true}), R"({"true"})");
}

TEST(ConvertArray, WhatIsSentReadsBackTheSame) {
  const Strings values{"", "NULL", "\"", "\\", "{}", "a,b", "\xc3\xa4", "line\nline"};
  EXPECT_EQ(read<Strings>(kTextArray, sent(values)), values);
}

TEST(ConvertArray, ArraysOfByteaGoAsTextAndComeBackAsBytes) {
  using Bytes = std::vector<std::byte>;
  const std::vector<Bytes> values{{std::byte{0}, std::byte{255}}, {}};
  EXPECT_EQ(sent(values), R"({"\\x00ff","\\x"})");
  EXPECT_EQ(read<std::vector<Bytes>>(kByteaArray, R"({"\\x00ff","\\x"})"), values);
}

TEST(ConvertArray, ANulInAnElementNamesTheParameterAndLeavesNoHalfArrayBehind) {
  Params params;
  EXPECT_THROW(params.bind(Strings{"a", std::string("\0", 1)}), UsageError);
  params.clear({});
  params.bind(1);
  params.seal();
  EXPECT_STREQ(params.values()[0], "1");
}

}  // namespace tidegate::pq_test
