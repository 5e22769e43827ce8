#include <tidegate/base/expected.hpp>

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

Expected<std::string> good() { return std::string("lease"); }
Expected<std::string> bad() { return ErrorValue::of(UsageError("no")); }

TEST(Expected, AValueIsReadInEveryWay) {
  auto got = good();
  ASSERT_TRUE(got.has_value());
  ASSERT_TRUE(got);
  EXPECT_EQ(got.value(), "lease");
  EXPECT_EQ(*got, "lease");
  EXPECT_EQ(got->size(), 5u);
  const auto& constant = got;
  EXPECT_EQ(*constant, "lease");
  EXPECT_EQ(constant->size(), 5u);
  EXPECT_EQ(constant.value(), "lease");
  EXPECT_EQ(good().value_or("other"), "lease");
}

TEST(Expected, AnErrorIsReadAsAValue) {
  const auto got = bad();
  ASSERT_FALSE(got.has_value());
  EXPECT_FALSE(got);
  EXPECT_EQ(got.error().code(), Errc::usage);
  EXPECT_STREQ(got.error().what(), "no");
  EXPECT_EQ(bad().value_or("other"), "other");
}

TEST(Expected, ValueOfAnErrorRaisesWhatTheThrowingVerbWouldHaveThrown) {
  auto got = bad();
  const auto& constant = got;
  EXPECT_THROW((void)got.value(), UsageError);
  EXPECT_THROW((void)constant.value(), UsageError);
  EXPECT_THROW((void)bad().value(), UsageError);
}

TEST(Expected, HoldsMoveOnlyValues) {
  Expected<std::unique_ptr<int>> got = std::make_unique<int>(7);
  EXPECT_EQ(**got, 7);
  const std::unique_ptr<int> taken = std::move(got).value();
  EXPECT_EQ(*taken, 7);
}

}  // namespace
}  // namespace tidegate
