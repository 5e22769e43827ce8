#include <tidegate/base/sql.hpp>

#include <string>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

struct Seen {
  std::string text;
  unsigned line;
};

// As the verbs that end in a parameter pack take it.
template <class... Args>
Seen exec(Sql sql, const Args&...) {
  return {std::string(sql.text()), sql.where().line()};
}

TEST(Sql, CarriesTheCallersPlaceThroughAParameterPack) {
  const Seen seen = exec("select $1", 1, "two");
  EXPECT_EQ(seen.text, "select $1");
  EXPECT_EQ(seen.line, static_cast<unsigned>(__LINE__) - 2);
}

TEST(Sql, IsMadeOfAnyStringType) {
  const std::string owned = "select 1";
  EXPECT_EQ(exec(owned).text, "select 1");
  EXPECT_EQ(exec(std::string_view("select 2")).text, "select 2");
  const char* pointer = "select 3";
  EXPECT_EQ(exec(pointer).text, "select 3");
}

TEST(Sql, IsAView) {
  const std::string owned = "select 1";
  EXPECT_EQ(Sql(owned).text().data(), owned.data());
}

TEST(Sql, TakesAGivenPlace) {
  const Location here = Location::current();
  EXPECT_EQ(Sql("select 1", here).where().line(), here.line());
}

}  // namespace
}  // namespace tidegate
