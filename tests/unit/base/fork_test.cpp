#include <tidegate/base/fork.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include <gtest/gtest.h>

#include <tidegate/core/sync.hpp>

namespace tidegate::detail {
namespace {

// What `body` gives in a child: a number below 100.
template <class F>
int in_child(F&& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void count(void* calls) noexcept { ++*static_cast<int*>(calls); }

TEST(ForkHook, IsCalledOnceInEachChildAndNeverInTheParent) {
  int calls = 0;
  const ForkHook hook(&count, &calls);
  EXPECT_EQ(in_child([&] { return calls; }), 1);
  EXPECT_EQ(in_child([&] { return calls; }), 1);
  EXPECT_EQ(in_child([&] { return in_child([&] { return calls; }); }), 2);
  EXPECT_EQ(calls, 0);
}

TEST(ForkHook, IsNotCalledAfterItsEndWhereverItStoodInTheList) {
  int first = 0;
  int middle = 0;
  int last = 0;
  std::optional<ForkHook> hooks[3];
  hooks[0].emplace(&count, &first);
  hooks[1].emplace(&count, &middle);
  hooks[2].emplace(&count, &last);
  const auto called = [&] { return in_child([&] { return 4 * first + 2 * middle + last; }); };
  EXPECT_EQ(called(), 7);
  hooks[1].reset();
  EXPECT_EQ(called(), 5);
  hooks[2].reset();
  EXPECT_EQ(called(), 4);
  hooks[0].reset();
  EXPECT_EQ(called(), 0);
}

TEST(ForkHook, ANumberTellsWhatWasInherited) {
  int calls = 0;
  const ForkHook hook(&count, &calls);
  const std::uint32_t before = ForkHook::forks();
  EXPECT_EQ(in_child([&] { return ForkHook::forks() == before + 1 ? 1 : 0; }), 1);
  EXPECT_EQ(ForkHook::forks(), before);
}

TEST(ForkHook, TheThreadOfAChildHasAnIdOfItsOwn) {
  const auto parent = core::current_thread_id();
  EXPECT_EQ(in_child([&] {
              return core::known_thread_id() == 0 && core::current_thread_id() == ::getpid() &&
                             core::current_thread_id() != parent
                         ? 1
                         : 0;
            }),
            1);
  EXPECT_EQ(core::known_thread_id(), parent);
}

}  // namespace
}  // namespace tidegate::detail
