// What keeps a password from a server that asks for it in clear is an option of libpq, since 16.
// Where libpq has it, it is passed on; where not, nobody is left to believe that it works.
#include <libpq-fe.h>

#include <string>

#include <gmock/gmock.h>
#include <tidegate/pool/config.hpp>

#include "pq/connect/option_check.hpp"

namespace tidegate {
namespace {

using testing::HasSubstr;

std::vector<ConfigError::Problem> problems_with(const std::string& text) {
  try {
    (void)PoolConfig::parse(text);
  } catch (const ConfigError& error) {
    return error.problems();
  }
  return {};
}

std::string this_libpq() {
  return std::to_string(PQlibVersion() / 10'000) + '.' + std::to_string(PQlibVersion() % 10'000);
}

TEST(RequireAuth, IsAKeyOfThePoolWhereLibpqHasIt) {
  const auto problems = problems_with("host=db1 pool_require_auth=scram-sha-256");
  if (pq::knows_option("require_auth")) {
    EXPECT_TRUE(problems.empty());
    const auto config = PoolConfig::parse("host=db1 pool_require_auth=!password,!md5");
    EXPECT_EQ(config.require_auth, "!password,!md5");
    EXPECT_EQ(PoolConfig::parse(config.to_string()), config);
    return;
  }
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems.front().field, "require_auth");
  EXPECT_EQ(problems.front().key, "pool_require_auth");
  EXPECT_EQ(problems.front().value, "scram-sha-256");
  EXPECT_EQ(
      problems.front().text,
      "needs libpq 16 or newer; this is " + this_libpq() +
          ", which gives a server that asks for it the password in clear (sslmode=verify-full "
          "sees to whose server it is)");
}

TEST(RequireAuth, InTheConninfoSaysWhichLibpqItNeeds) {
  const auto problems = problems_with("host=db1 require_auth=scram-sha-256");
  if (pq::knows_option("require_auth")) {
    EXPECT_TRUE(problems.empty());
    return;
  }
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems.front().key, "require_auth");
  EXPECT_EQ(problems.front().text, "position 10: needs libpq 16 or newer; this is " + this_libpq());
}

TEST(RequireAuth, IsNotEmpty) {
  EXPECT_THAT(problems_with("pool_require_auth=''").front().text, HasSubstr("must not be empty"));
}

// The same for every option that came after 15: its name is no typing error.
TEST(LaterOptions, SayWhichLibpqTheyNeed) {
  for (const char* keyword : {"sslnegotiation", "load_balance_hosts", "min_protocol_version"}) {
    const auto problems = problems_with("host=db1 " + std::string(keyword) + "=x");
    if (pq::knows_option(keyword)) continue;
    ASSERT_EQ(problems.size(), 1u) << keyword;
    EXPECT_EQ(problems.front().key, keyword);
    EXPECT_THAT(problems.front().text, HasSubstr("needs libpq 1"));
  }
  EXPECT_THAT(problems_with("host=db1 sslmod=require").front().text, HasSubstr("unknown keyword"));
}

}  // namespace
}  // namespace tidegate
