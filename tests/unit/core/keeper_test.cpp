#include <tidegate/core/keeper.hpp>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;

TEST(Keeper, DoesNothingUnlessItIsWoken) {
  std::atomic<int> turns{0};
  {
    Keeper keeper("test-keep", 1ns, [&] { return ++turns < 0; });
  }
  EXPECT_EQ(turns, 0);
}

TEST(Keeper, TakesATurnWhenItIsWoken) {
  std::atomic<int> turns{0};
  Keeper keeper("test-keep", 1h, [&] { return ++turns < 0; });
  for (int i = 1; i <= 3; ++i) {
    keeper.wake();
    test::await("a turn", [&] { return turns == i; });
  }
}

TEST(Keeper, TakesTurnsAsLongAsThereIsAReason) {
  std::atomic<int> turns{0};
  Keeper keeper("test-keep", 1ms, [&] { return ++turns < 5; });
  keeper.wake();
  test::await("five turns", [&] { return turns == 5; });
  keeper.wake();
  test::await("a sixth", [&] { return turns == 6; });
}

// Planted: run() that clears woken_ after the turn instead of before it.
TEST(Keeper, AWakeUpDuringATurnIsNotLost) {
  std::atomic<int> turns{0};
  std::atomic<bool> go_on{false};
  Keeper keeper("test-keep", 1h, [&] {
    if (++turns == 1) test::await("the second wake-up", [&] { return go_on.load(); });
    return false;
  });
  keeper.wake();
  test::await("the first turn", [&] { return turns == 1; });
  keeper.wake();
  go_on = true;
  test::await("the second turn", [&] { return turns == 2; });
}

// For a turn that finds something to be done a little later: it must not become a hot loop.
TEST(Keeper, ATurnThatIsAskedForSoonComesAfterAPeriod) {
  std::atomic<int> turns{0};
  Keeper* self = nullptr;
  std::vector<std::chrono::steady_clock::time_point> began;
  Keeper keeper("test-keep", 20ms, [&] {
    began.push_back(std::chrono::steady_clock::now());
    if (began.size() < 4) self->soon();
    ++turns;
    return false;
  });
  self = &keeper;
  keeper.soon();
  test::await("four turns", [&] { return turns == 4; });
  for (std::size_t i = 1; i < 4; ++i) EXPECT_GE(began[i] - began[i - 1], 20ms);
}

TEST(Keeper, AWakeUpComesBeforeATurnThatIsDueSoon) {
  std::atomic<int> turns{0};
  Keeper keeper("test-keep", 1h, [&] { return ++turns < 0; });
  keeper.soon();
  keeper.wake();
  test::await("the turn", [&] { return turns == 1; });
}

TEST(Keeper, StopWaitsForTheTurnAndIsIdempotent) {
  std::atomic<int> turns{0};
  std::atomic<bool> ended{false};
  Keeper keeper("test-keep", 1h, [&] {
    ++turns;
    std::this_thread::yield();
    ended = true;
    return false;
  });
  keeper.wake();
  test::await("the turn", [&] { return turns == 1; });
  keeper.stop();
  EXPECT_TRUE(ended);
  keeper.stop();
  keeper.wake();
  EXPECT_EQ(turns, 1);
}

TEST(Keeper, HasANameAndIsDeafToSignals) {
  std::atomic<int> turns{0};
  std::string name(16, '\0');
  sigset_t blocked;
  Keeper keeper("test-keep", 1h, [&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    ++turns;
    return false;
  });
  keeper.wake();
  test::await("the turn", [&] { return turns == 1; });
  EXPECT_STREQ(name.c_str(), "test-keep");
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  }
}

}  // namespace
}  // namespace tidegate::core
