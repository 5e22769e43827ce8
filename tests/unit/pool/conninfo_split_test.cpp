#include "pool/config/conninfo_split.hpp"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <tidegate/pq/conninfo.hpp>

namespace tidegate::detail {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs pairs(std::string_view text) {
  Pairs found;
  for (const auto& part : split_conninfo(text).parts) found.emplace_back(part.key, part.value);
  return found;
}

// "12: rule", or "" without a fault.
std::string fault(std::string_view text) {
  const auto split = split_conninfo(text);
  return split.fault ? std::to_string(split.fault->position) + ": " + split.fault->rule : "";
}

TEST(KeywordSplit, FollowsTheQuotingRulesOfLibpq) {
  EXPECT_EQ(pairs(""), Pairs{});
  EXPECT_EQ(pairs(" \t\n"), Pairs{});
  EXPECT_EQ(pairs("host=a"), (Pairs{{"host", "a"}}));
  EXPECT_EQ(pairs("  host = a   user= b "), (Pairs{{"host", "a"}, {"user", "b"}}));
  EXPECT_EQ(pairs("host='a b' user='it\\'s' dbname='back\\\\slash'"),
            (Pairs{{"host", "a b"}, {"user", "it's"}, {"dbname", "back\\slash"}}));
  EXPECT_EQ(pairs("host=a\\ b user=c\\'d dbname=e\\"),
            (Pairs{{"host", "a b"}, {"user", "c'd"}, {"dbname", "e"}}));
  EXPECT_EQ(pairs("host='' user="), (Pairs{{"host", ""}, {"user", ""}}));
  EXPECT_EQ(pairs("host='a'user=b"), (Pairs{{"host", "a"}, {"user", "b"}}));
  EXPECT_EQ(pairs("user=a'b"), (Pairs{{"user", "a'b"}}));
  EXPECT_EQ(pairs("options=-c=d"), (Pairs{{"options", "-c=d"}}));
  EXPECT_EQ(pairs("user= host=a"), (Pairs{{"user", "host=a"}}));
}

TEST(KeywordSplit, TellsFaultsByPositionAndRule) {
  EXPECT_EQ(fault("host=a secret"), "8: a keyword without '=' behind it");
  EXPECT_EQ(fault("host=a two words=b"), "8: a keyword without '=' behind it");
  EXPECT_EQ(fault("host='a"), "6: a quoted value without its closing quote");
  EXPECT_EQ(fault("host='a\\'"), "6: a quoted value without its closing quote");
  EXPECT_EQ(fault(" postgres://host"), "2: a URI must begin with postgresql:// or postgres://");
  EXPECT_EQ(fault(std::string_view("host=a\0b", 8)), "7: a NUL byte");
}

TEST(KeywordSplit, KeepsEachPartAsWritten) {
  const auto split = split_conninfo(" host = 'a b'user=c\\ d  ");
  ASSERT_EQ(split.parts.size(), 2u);
  EXPECT_EQ(split.parts[0].text, "host = 'a b'");
  EXPECT_EQ(split.parts[0].position, 2u);
  EXPECT_EQ(split.parts[1].text, "user=c\\ d");
  EXPECT_EQ(split.parts[1].position, 14u);
}

TEST(UriSplit, FindsUserTargetAndParameters) {
  const auto split =
      split_conninfo("postgresql://me:pw@h1:1,[::1]:2/db?sslmode=require&pool_name=a%20b");
  EXPECT_TRUE(split.uri);
  EXPECT_EQ(split.scheme, "postgresql://");
  EXPECT_EQ(split.userinfo, "me:pw");
  EXPECT_EQ(split.target, "h1:1,[::1]:2/db");
  EXPECT_FALSE(split.doubtful);
  ASSERT_EQ(split.parts.size(), 2u);
  EXPECT_EQ(split.parts[0].text, "sslmode=require");
  EXPECT_EQ(split.parts[1].key, "pool_name");
  EXPECT_EQ(split.parts[1].value, "a b");
  EXPECT_EQ(split.parts[1].position, 52u);
}

TEST(UriSplit, TakesEveryShapeThatLibpqTakes) {
  for (const char* uri : {"postgres://", "postgresql://?host=a", "postgresql:///db",
                          "postgresql://h/?user=a&", "postgresql://h?", "postgresql://@h",
                          "postgresql://u@", "postgresql://,/", "postgresql://h:"}) {
    EXPECT_EQ(fault(uri), "") << uri;
  }
  EXPECT_EQ(pairs("postgresql://h?%75ser=%41"), (Pairs{{"user", "A"}}));
  EXPECT_EQ(split_conninfo("postgresql://h").userinfo, std::nullopt);
}

TEST(UriSplit, TellsFaultsByPositionAndRule) {
  EXPECT_EQ(fault("postgres://[::1"), "12: a '[' without its ']'");
  EXPECT_EQ(fault("postgres://[]"), "12: an empty address in brackets");
  EXPECT_EQ(fault("postgres://[::1]x"), "17: only ':', '/', '?' or ',' may follow a ']'");
  EXPECT_EQ(fault("postgres://h?user"), "14: a parameter without '='");
  EXPECT_EQ(fault("postgres://h?user=a=b"), "20: a second '=' in a parameter; write %3D");
  EXPECT_EQ(fault("postgres://h?user=%4"),
            "19: two hexadecimal digits must follow a '%'; the character itself is %25");
  EXPECT_EQ(fault("postgres://50%@h"),
            "14: two hexadecimal digits must follow a '%'; the character itself is %25");
  EXPECT_EQ(fault("postgres://h/%00"), "14: %00 is not allowed");
}

TEST(UriSplit, ARawAtBehindTheUserIsAPasswordThatWasNotEncoded) {
  const std::string rule =
      ": '@', '/' and ':' in a user name or password are written %40, %2F, %3A";
  EXPECT_EQ(fault("postgres://me:pa@ss@host/db"), "20" + rule);
  EXPECT_EQ(fault("postgres://me:pa/ss@host/db"), "20" + rule);
  EXPECT_EQ(fault("postgres://me@server:pa@host/db"), "24" + rule);
  EXPECT_TRUE(split_conninfo("postgres://me:1/ss?a=b@host/db").doubtful);
  // A '?' before the '@' is part of the user to libpq, too.
  EXPECT_EQ(split_conninfo("postgres://me:pa?ss=b@host/db").userinfo, "me:pa?ss=b");
}

TEST(JoinConninfo, GivesTheStringAgain) {
  for (const char* text :
       {"host=a user='b c'", "postgresql://me:pw@h:1/db?user=a&port=2", "postgres://h", ""}) {
    const auto split = split_conninfo(text);
    std::vector<std::string> parts;
    for (const auto& part : split.parts) parts.emplace_back(part.text);
    EXPECT_EQ(join_conninfo(split, parts), text);
  }
}

TEST(WritePart, ReadsBackInBothForms) {
  for (const std::string value :
       {"plain", "", "two words", "it's", "back\\slash", "a&b=c?d%e#f", "tab\there", "\xc3\xa9"}) {
    EXPECT_EQ(pairs(write_part(false, "user", value)), (Pairs{{"user", value}}));
    EXPECT_EQ(pairs("postgres://h?" + write_part(true, "user", value)), (Pairs{{"user", value}}));
  }
}

// The splitter must see what libpq sees, or a pool key could hide in a password.
std::map<std::string, std::string> as_libpq_would(const ConninfoSplit& split) {
  std::map<std::string, std::string> last;
  for (const auto& part : split.parts) last[part.key] = part.value;
  std::erase_if(last, [](const auto& item) { return item.second.empty(); });
  return last;
}

TEST(KeywordSplit, AgreesWithLibpqOnRandomStrings) {
  std::minstd_rand random(7);
  const std::string_view pieces[] = {"user", "host", "=",  "=",  " ",  " ",       "'",
                                     "\\",   "a",    "b=", "\t", "''", "dbname=", "user='x'"};
  int sound = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto n = random() % 9; n-- > 0;) text += pieces[random() % std::size(pieces)];
    const auto split = split_conninfo(text);
    const auto libpq = pq::parse_conninfo(text);
    if (split.fault) {
      EXPECT_FALSE(libpq) << text;
      continue;
    }
    if (!libpq) {  // an unknown keyword, then
      bool unknown = false;
      for (const auto& part : split.parts)
        unknown |= part.key != "user" && part.key != "host" && part.key != "dbname";
      EXPECT_TRUE(unknown) << text;
      continue;
    }
    ++sound;
    std::map<std::string, std::string> expected;
    for (const auto& option : *libpq) {
      if (!option.value.empty()) expected[option.keyword] = option.value;
    }
    EXPECT_EQ(as_libpq_would(split), expected) << text;
  }
  EXPECT_GT(sound, 1'000);
}

TEST(UriSplit, AgreesWithLibpqOnRandomStrings) {
  std::minstd_rand random(7);
  const std::string_view pieces[] = {"user=", "port=", "=", "&",   "?", "/", "@",  ":",
                                     ",",     "[",     "]", "%41", "%", "a", "12", "%4"};
  int sound = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = "postgres://";
    for (auto n = random() % 9; n-- > 0;) text += pieces[random() % std::size(pieces)];
    const auto split = split_conninfo(text);
    const auto libpq = pq::parse_conninfo(text);
    if (split.fault) {
      const bool own_rule = split.fault->rule.starts_with("'@'");
      EXPECT_TRUE(own_rule || !libpq) << text;
      continue;
    }
    if (!libpq) {
      bool unknown = false;
      for (const auto& part : split.parts) unknown |= part.key != "user" && part.key != "port";
      EXPECT_TRUE(unknown) << text;
      continue;
    }
    ++sound;
    std::map<std::string, std::string> given;
    for (const auto& option : *libpq) given[option.keyword] = option.value;
    for (const auto& [key, value] : as_libpq_would(split)) EXPECT_EQ(given[key], value) << text;
  }
  EXPECT_GT(sound, 1'000);
}

}  // namespace
}  // namespace tidegate::detail
