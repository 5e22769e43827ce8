// The users of a pool, by their tokens.
#include "pool/attached_users.hpp"

#include <utility>

#include <gmock/gmock.h>

namespace tidegate::detail {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

TEST(AttachedUsers, AreNamedWithTheirPlaceInTheOrderInWhichTheyCame) {
  const auto users = std::make_shared<AttachedUsers>();
  const UserToken http = users->attach("http-server", Location::current());
  const UserToken jobs = users->attach("job-runner", Location::current());
  const UserToken more = users->attach("job-runner", {});
  EXPECT_THAT(users->names(),
              ElementsAre(MatchesRegex("http-server \\(pool/attached_users_test.cpp:[0-9]+\\)"),
                          MatchesRegex("job-runner \\(pool/attached_users_test.cpp:[0-9]+\\)"),
                          "job-runner"));
}

TEST(AttachedUsers, AreGoneWithTheirTokens) {
  const auto users = std::make_shared<AttachedUsers>();
  {
    const UserToken scoped = users->attach("scoped", {});
    EXPECT_THAT(users->names(), ElementsAre("scoped"));
  }
  EXPECT_THAT(users->names(), ElementsAre());
  UserToken first = users->attach("first", {});
  UserToken second = users->attach("second", {});
  first = std::move(second);  // detaches what it was
  EXPECT_THAT(users->names(), ElementsAre("second"));
  first.detach();
  EXPECT_THAT(users->names(), ElementsAre());
}

}  // namespace
}  // namespace tidegate::detail
