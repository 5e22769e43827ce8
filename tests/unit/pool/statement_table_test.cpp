// What a pool with lanes knows of its statements.
#include "pool/lanes/statement_table.hpp"

#include <string>

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

TEST(StatementTable, KnowsWhatMayTravel) {
  StatementTable table;
  for (int i = 0; i < 2; ++i) {  // seen for the first time, and then known
    EXPECT_TRUE(table.look_up("select 1").may_travel);
    EXPECT_FALSE(table.look_up("set a = b").may_travel);
  }
}

TEST(StatementTable, AveragesTimeAndBytes) {
  StatementTable table;
  const auto text = table.look_up("select 1");
  EXPECT_EQ(text.time, 0us);
  table.note(text, 100us, 1000);
  EXPECT_EQ(table.look_up("select 1").time, 100us);
  EXPECT_EQ(table.look_up("select 1").bytes, 1000u);
  for (int i = 0; i < 50; ++i) table.note(text, 900us, 9000);
  EXPECT_NEAR(static_cast<double>(table.look_up("select 1").time.count()), 900, 10);
  EXPECT_NEAR(static_cast<double>(table.look_up("select 1").bytes), 9000, 10);
}

// A statement that was slow once, behind a lock, is not slow for ever; nor is one that was large.
TEST(StatementTable, WhatWasSlowMayBeFastAgain) {
  StatementTable table;
  const auto text = table.look_up("select 1");
  table.note(text, 10s, 100'000'000);
  for (int i = 0; i < 200; ++i) table.note(text, 50us, 0);
  EXPECT_LT(table.look_up("select 1").time, 1ms);
  EXPECT_LT(table.look_up("select 1").bytes, 1'000'000u);
}

// Texts push each other out, and then begin anew; none is taken for another.
TEST(StatementTable, IsBounded) {
  StatementTable table;
  for (int i = 0; i < 5000; ++i) {
    const std::string travels = "select " + std::to_string(i);
    const std::string stays = "set a = " + std::to_string(i);
    EXPECT_TRUE(table.look_up(travels).may_travel);
    EXPECT_FALSE(table.look_up(stays).may_travel);
    table.note(table.look_up(travels), 1s, 1);
  }
  const auto gone = table.look_up("select 0");
  const auto same = table.look_up("select 4999");
  EXPECT_TRUE(gone.time == 0us || gone.time == 1s);
  EXPECT_EQ(same.time, 1s);
}

}  // namespace
}  // namespace tidegate::detail
