#include <tidegate/base/error.hpp>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

constexpr Errc kAll[] = {Errc::closed,      Errc::timeout,  Errc::canceled, Errc::overloaded,
                         Errc::unavailable, Errc::rejected, Errc::hook,     Errc::would_deadlock,
                         Errc::forked,      Errc::config,   Errc::query,    Errc::connection_lost,
                         Errc::usage};

TEST(Errc, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (const Errc code : kAll) names.insert(to_string(code));
  EXPECT_EQ(names.size(), std::size(kAll));
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(to_string(Errc::would_deadlock), "would_deadlock");
  EXPECT_EQ(to_string(static_cast<Errc>(99)), "unknown");
}

TEST(Error, CarriesCodeTextAndPlace) {
  const Location here = Location::current();
  const UsageError error("the lease was released", here);
  EXPECT_EQ(error.code(), Errc::usage);
  EXPECT_STREQ(error.what(), "the lease was released");
  EXPECT_EQ(error.where().line(), here.line());
  EXPECT_EQ(Forked("child").code(), Errc::forked);
  EXPECT_FALSE(Forked("child").where().known());
}

TEST(Error, IsCaughtAsEveryBase) {
  EXPECT_THROW(throw UsageError("x"), Error);
  EXPECT_THROW(throw Forked("x"), std::runtime_error);
  static_assert(std::is_nothrow_copy_constructible_v<Forked>);
}

TEST(ErrorValue, RaisesTheTypeItWasMadeOf) {
  const auto value = ErrorValue::of(Forked("child", Location::current()));
  EXPECT_EQ(value.code(), Errc::forked);
  EXPECT_TRUE(value.where().known());
  EXPECT_STREQ(value.what(), "child");
  EXPECT_THROW(value.raise(), Forked);
  EXPECT_THROW(value.raise(), Forked);  // as often as one likes
}

TEST(ErrorValue, AsGivesTheErrorOrNull) {
  const auto value = ErrorValue::of(UsageError("x"));
  ASSERT_NE(value.as<UsageError>(), nullptr);
  EXPECT_STREQ(value.as<UsageError>()->what(), "x");
  EXPECT_NE(value.as<Error>(), nullptr);
  EXPECT_EQ(value.as<Forked>(), nullptr);
}

TEST(ErrorValue, LazyBuildsTheTextOnceAndOnlyOnDemand) {
  int built = 0;
  const auto value = ErrorValue::lazy<UsageError>(Errc::usage, {}, [&built] {
    ++built;
    return UsageError("expensive");
  });
  const ErrorValue copy = value;
  EXPECT_EQ(copy.code(), Errc::usage);
  EXPECT_FALSE(copy.where().known());
  EXPECT_EQ(built, 0);
  EXPECT_STREQ(copy.what(), "expensive");
  EXPECT_NE(value.as<UsageError>(), nullptr);
  EXPECT_THROW(value.raise(), UsageError);
  EXPECT_EQ(built, 1);  // shared between the copies
}

TEST(ErrorValue, LazyBuildsOnceUnderContention) {
  std::atomic<int> built{0};
  const auto value = ErrorValue::lazy<UsageError>(Errc::usage, {}, [&built] {
    ++built;
    return UsageError("expensive");
  });
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([value] { EXPECT_STREQ(value.what(), "expensive"); });
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(built, 1);
}

TEST(CloseRecord, IsPlainDataWithDesignatedInitialisers) {
  const CloseRecord record{.thread_id = 7, .reason = "SIGTERM"};
  EXPECT_EQ(record.thread_id, 7);
  EXPECT_EQ(record.reason, "SIGTERM");
  EXPECT_TRUE(record.phase.empty());
  EXPECT_FALSE(record.where.known());
}

}  // namespace
}  // namespace tidegate
