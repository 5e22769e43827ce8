// The users of a pool, by their tokens.
#include "pool/close/attached_users.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include <gmock/gmock.h>

#include <support/rendezvous.hpp>
#include <support/test_points.hpp>

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

#if defined(TIDEGATE_CHECKED)
// Another thread was about to attach when the process forked: the child has the mutex, locked, and
// not the thread that would unlock it. Seen failing with a detach() that locks it all the same.
TEST(AttachedUsers, OfAParentAreLeftAloneByTheTokensInItsChild) {
  const ForkHook counts_forks([](void*) noexcept {}, nullptr);  // as any pool does
  const auto users = std::make_shared<AttachedUsers>();
  UserToken mine = users->attach("mine", {});
  UserToken late;
  tidegate::test::Hold inside("attach.locked");
  std::jthread other([&] { late = users->attach("late", {}); });
  inside.await();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(static_cast<unsigned>(tidegate::test::patience().count()));
    mine.detach();
    ::_exit(0);
  }
  inside.release();
  other.join();
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "it hung";
  EXPECT_THAT(users->names(), ElementsAre("mine", "late"));
}
#endif

}  // namespace
}  // namespace tidegate::detail
