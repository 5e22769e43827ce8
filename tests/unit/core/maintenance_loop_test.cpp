#include <tidegate/core/maintenance_loop.hpp>

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

TEST(MaintenanceLoop, DoesNothingUnlessItIsWoken) {
  std::atomic<int> passes{0};
  {
    MaintenanceLoop maintenance("test-keep", 1ns, [&] { return ++passes < 0; });
  }
  EXPECT_EQ(passes, 0);
}

TEST(MaintenanceLoop, TakesATurnWhenItIsWoken) {
  std::atomic<int> passes{0};
  MaintenanceLoop maintenance("test-keep", 1h, [&] { return ++passes < 0; });
  for (int i = 1; i <= 3; ++i) {
    maintenance.wake();
    test::await("a turn", [&] { return passes == i; });
  }
}

TEST(MaintenanceLoop, TakesTurnsAsLongAsThereIsAReason) {
  std::atomic<int> passes{0};
  MaintenanceLoop maintenance("test-keep", 1ms, [&] { return ++passes < 5; });
  maintenance.wake();
  test::await("five passes", [&] { return passes == 5; });
  maintenance.wake();
  test::await("a sixth", [&] { return passes == 6; });
}

// Planted: run() that clears woken_ after the turn instead of before it.
TEST(MaintenanceLoop, AWakeUpDuringATurnIsNotLost) {
  std::atomic<int> passes{0};
  std::atomic<bool> go_on{false};
  MaintenanceLoop maintenance("test-keep", 1h, [&] {
    if (++passes == 1) test::await("the second wake-up", [&] { return go_on.load(); });
    return false;
  });
  maintenance.wake();
  test::await("the first turn", [&] { return passes == 1; });
  maintenance.wake();
  go_on = true;
  test::await("the second turn", [&] { return passes == 2; });
}

// For a turn that finds something to be done a little later: it must not become a hot loop.
TEST(MaintenanceLoop, ATurnThatIsAskedForSoonComesAfterAPeriod) {
  std::atomic<int> passes{0};
  MaintenanceLoop* self = nullptr;
  std::vector<std::chrono::steady_clock::time_point> began;
  MaintenanceLoop maintenance("test-keep", 20ms, [&] {
    began.push_back(std::chrono::steady_clock::now());
    if (began.size() < 4) self->soon();
    ++passes;
    return false;
  });
  self = &maintenance;
  maintenance.soon();
  test::await("four passes", [&] { return passes == 4; });
  for (std::size_t i = 1; i < 4; ++i) EXPECT_GE(began[i] - began[i - 1], 20ms);
}

TEST(MaintenanceLoop, AWakeUpComesBeforeATurnThatIsDueSoon) {
  std::atomic<int> passes{0};
  MaintenanceLoop maintenance("test-keep", 1h, [&] { return ++passes < 0; });
  maintenance.soon();
  maintenance.wake();
  test::await("the turn", [&] { return passes == 1; });
}

TEST(MaintenanceLoop, StopWaitsForTheTurnAndIsIdempotent) {
  std::atomic<int> passes{0};
  std::atomic<bool> ended{false};
  MaintenanceLoop maintenance("test-keep", 1h, [&] {
    ++passes;
    std::this_thread::yield();
    ended = true;
    return false;
  });
  maintenance.wake();
  test::await("the turn", [&] { return passes == 1; });
  maintenance.stop();
  EXPECT_TRUE(ended);
  maintenance.stop();
  maintenance.wake();
  EXPECT_EQ(passes, 1);
}

TEST(MaintenanceLoop, HasANameAndIsDeafToSignals) {
  std::atomic<int> passes{0};
  std::string name(16, '\0');
  sigset_t blocked;
  MaintenanceLoop maintenance("test-keep", 1h, [&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    ++passes;
    return false;
  });
  maintenance.wake();
  test::await("the turn", [&] { return passes == 1; });
  EXPECT_STREQ(name.c_str(), "test-keep");
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  }
}

}  // namespace
}  // namespace tidegate::core
