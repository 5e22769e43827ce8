#include "base/printable.hpp"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include <support/shown.hpp>
#include <tidegate/base/error.hpp>

#include "base/json.hpp"

namespace tidegate::detail {
namespace {

std::string lines(std::string_view text) { return printable(text, Lines::kept); }

TEST(Printable, WhatCanBeReadStaysAsItIs) {
  for (const char* text : {"", "select 1", "größer als \"1 €\" 𝄞", "C:\\path", "\\x1b"}) {
    EXPECT_EQ(one_line(text), text);
    EXPECT_EQ(lines(text), text);
  }
}

TEST(Printable, ControlCharactersAreNamed) {
  EXPECT_EQ(one_line("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(one_line(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(one_line("bell\a, delete\x7f"), "bell\\x07, delete\\x7f");
  EXPECT_EQ(one_line("\xc2\x9b"
                     "31m"),
            "\\u009b31m");
  EXPECT_EQ(one_line("\xc2\xa0"), "\xc2\xa0");
  EXPECT_EQ(one_line("\xe2\x80\xae txt.exe \xe2\x80\xa8 \xe2\x81\xa6"),
            "\\u202e txt.exe \\u2028 \\u2066");
}

TEST(Printable, ALineStaysOneAndATextKeepsItsLines) {
  EXPECT_EQ(one_line("a\n\tb\r\n"), "a\\n\\tb\\r\\n");
  EXPECT_EQ(lines("a\n\tb\r\n"), "a\n\tb\\r\n");
  EXPECT_EQ(indented("a\nb\x1b\nc", "  "), "a\n  b\\x1b\n  c");
}

TEST(Printable, BytesThatAreNoUtf8AreNamed) {
  EXPECT_EQ(one_line("ung\xfcltig"), "ung\\xfcltig");
  EXPECT_EQ(one_line("half \xe2\x82"), "half \\xe2\\x82");
  EXPECT_EQ(one_line("\xed\xa0\x80 \xc0\x80 \xf5\x80\x80\x80"),
            "\\xed\\xa0\\x80 \\xc0\\x80 \\xf5\\x80\\x80\\x80");
}

TEST(Printable, WhatIsTooLongIsCutAndSaysByHowMuch) {
  EXPECT_EQ(printable("0123456789", Lines::escaped, 10), "0123456789");
  EXPECT_EQ(printable("0123456789", Lines::escaped, 4), "0123... (6 bytes more)");
  EXPECT_EQ(printable("0123456789", Lines::escaped, 0), "... (10 bytes more)");
  EXPECT_EQ(printable("12\xe2\x82\xac", Lines::escaped, 4), "12... (3 bytes more)");
  EXPECT_EQ(printable("12\xe2\x82\xac"
                      "3",
                      Lines::escaped, 5),
            "12\xe2\x82\xac... (1 bytes more)");
  const std::string megabyte(1'000'000, 'x');
  std::string cut(8192, 'x');
  cut += "... (991808 bytes more)";  // g++ 12 warns of an array's bounds where this is one `+`
  EXPECT_EQ(one_line(megabyte), cut);
}

// Whatever bytes: what comes out can be shown, is not touched again, and is cut at a character.
TEST(Printable, HoldsForAnyBytes) {
  std::minstd_rand random(1);
  const std::string pieces[] = {test::kNasty, "\xf0\x9f\x98\x80", "\xc3\xa4", "\xe2\x82\xac", "a"};
  for (int i = 0; i < 2000; ++i) {
    std::string bytes;
    for (std::size_t n = random() % 12; n > 0; --n) {
      if (random() % 3 != 0) {
        const std::string& piece = pieces[random() % std::size(pieces)];
        const std::size_t from = random() % piece.size();
        bytes += piece.substr(from, 1 + random() % 5);
      } else {
        bytes += static_cast<char>(random() % 256);
      }
    }
    for (const Lines keeping : {Lines::kept, Lines::escaped}) {
      for (std::size_t most = 0; most <= bytes.size(); ++most) {
        const std::string shown = printable(bytes, keeping, most);
        EXPECT_EQ(test::why_unfit(shown), "");
        EXPECT_EQ(printable(shown, keeping), shown);
      }
      // Nothing else is lost: what is cut is told.
      EXPECT_EQ(printable(bytes, keeping, bytes.size()).find("bytes more"), std::string::npos);
    }
    EXPECT_EQ(test::why_unfit(json_string(bytes)), "") << json_string(bytes);
  }
}

TEST(Printable, JsonHasNothingThatATerminalDoes) {
  EXPECT_EQ(json_string("\x1b\x7f\xc2\x9b\xc2\xa0"), "\"\\u001b\\u007f\\u009b\xc2\xa0\"");
}

// Whoever makes an error of the library, in a hook or an application: it is the same.
TEST(ErrorText, IsPrintableWhateverItIsMadeOf) {
  const UsageError error("no pool " + test::kNasty);
  EXPECT_EQ(test::why_unfit(error.what()), "");
  EXPECT_NE(std::string(error.what()).find("\\x1b]0;owned\\x07\\x1b[2J\\x00a"), std::string::npos)
      << "a NUL does not end it: " << error.what();
  EXPECT_LT(std::string(UsageError(std::string(1 << 20, 'x')).what()).size(), 66'000u);
}

}  // namespace
}  // namespace tidegate::detail
