// The text format of COPY, and names in statements.
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "pq/copy/copy_text.hpp"
#include "pq/sql_text.hpp"

namespace tidegate::pq {
namespace {

using testing::ElementsAre;

std::string escaped(std::string_view value) {
  std::string out;
  append_copy_text(out, value);
  return out;
}

std::vector<std::string> split(std::string line) {
  std::vector<CopyValue> values;
  split_copy_line(line, values);
  std::vector<std::string> texts;
  for (const CopyValue& value : values) {
    texts.push_back(value.null ? "(null)" : std::string(value.text));
  }
  return texts;
}

std::string identifier(std::string_view name) {
  std::string out;
  append_identifier(out, name);
  return out;
}

TEST(CopyText, WhatWouldBeStructureIsEscaped) {
  EXPECT_EQ(escaped(""), "");
  EXPECT_EQ(escaped("plain text, \"quotes\", {braces}"), "plain text, \"quotes\", {braces}");
  EXPECT_EQ(escaped("a\tb\nc\rd\\e"), "a\\tb\\nc\\rd\\\\e");
  EXPECT_EQ(escaped("\\N"), "\\\\N");
  EXPECT_EQ(escaped("\\."), "\\\\.");
  EXPECT_EQ(escaped("\t"), "\\t");
  EXPECT_EQ(escaped("\xc3\xa4"), "\xc3\xa4");
}

TEST(CopyText, BytesAreByteaInHex) {
  std::string out;
  append_copy_bytes(out, std::string_view("\0\xff\x0a", 3));
  EXPECT_EQ(out, "\\\\x00ff0a");
}

TEST(CopyText, ALineIsTakenApartAtItsTabs) {
  EXPECT_THAT(split("1\ttwo\t3\n"), ElementsAre("1", "two", "3"));
  EXPECT_THAT(split("1\ttwo\t3"), ElementsAre("1", "two", "3"));
  EXPECT_THAT(split("\t\n"), ElementsAre("", ""));
  EXPECT_THAT(split("\n"), ElementsAre(""));
  EXPECT_THAT(split(""), ElementsAre(""));
}

TEST(CopyText, NullIsNotTheTextOfItsName) {
  EXPECT_THAT(split("\\N\t\\\\N\tN\t\\N\n"), ElementsAre("(null)", "\\N", "N", "(null)"));
}

TEST(CopyText, EscapesAreUndone) {
  EXPECT_THAT(split("a\\tb\\nc\\rd\\\\e\t\\b\\f\\v\t\\x\n"),
              ElementsAre("a\tb\nc\rd\\e", "\b\f\v", "x"));
  EXPECT_THAT(split("ends in a backslash\\"), ElementsAre("ends in a backslash\\"));
}

TEST(CopyText, WhatIsWrittenIsReadBack) {
  const std::string all = "\\N \\. \\t \t\n\r\b\f\v\\\\ x\\";
  EXPECT_THAT(split(escaped(all) + "\t" + escaped("\\N") + "\n"), ElementsAre(all, "\\N"));
}

TEST(SqlText, ANameInQuotesMeansItself) {
  EXPECT_EQ(identifier("orders"), "\"orders\"");
  EXPECT_EQ(identifier("Or.ders"), "\"Or.ders\"");
  EXPECT_EQ(identifier("a\"; drop table t; --"), "\"a\"\"; drop table t; --\"");
}

TEST(SqlText, ACopyIsFoundBehindBlanksAndComments) {
  for (const char* copy : {"copy t from stdin", "COPY(select 1) to stdout", " \n\tCoPy t to stdout",
                           "copy", "-- x\ncopy t", "/* a /* nested */ one */copy t",
                           "--\n--\n/**/ copy t", "; copy t", "copy\"T\" to stdout"}) {
    EXPECT_TRUE(is_copy_statement(copy)) << copy;
  }
  for (const char* other :
       {"", " ", "select 1", "copyright", "copy_t()", "-- copy t", "/* copy */ select 1", "/* copy",
        "cop", "select copy", "copy1", "copy\xc3\xa4"}) {
    EXPECT_FALSE(is_copy_statement(other)) << other;
  }
}

}  // namespace
}  // namespace tidegate::pq
