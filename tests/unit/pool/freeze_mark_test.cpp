#include "pool/freeze_mark.hpp"

#include <sched.h>
#include <time.h>

#include <csignal>
#include <thread>

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

void sleep_for_an_instant() {
  const timespec instant{.tv_sec = 0, .tv_nsec = 1'000'000};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &instant, nullptr);
}

// True of a kernel and a C library that take marks away, which find_out() tries; else a mark is
// never intact, and what follows says nothing.
class FreezeMarkTest : public testing::Test {
 protected:
  void SetUp() override {
    FreezeMark::find_out();
    // Somebody else may have the processor just then, but not every time.
    for (int i = 0; i < 1000; ++i) {
      FreezeMark::leave();
      if (FreezeMark::intact()) return;
    }
    GTEST_SKIP() << "no marks here";
  }
};

TEST_F(FreezeMarkTest, IsNotThereForAThreadThatNeverLeftOne) {
  bool intact = true;
  std::thread([&] { intact = FreezeMark::intact(); }).join();
  EXPECT_FALSE(intact);
}

// Seen failing: find_out() that trusts without trying, on a kernel that leaves the mark alone.
TEST_F(FreezeMarkTest, IsGoneAfterASleep) {
  for (int i = 0; i < 20; ++i) {
    FreezeMark::leave();
    sleep_for_an_instant();
    EXPECT_FALSE(FreezeMark::intact());
  }
}

// A thread that runs on without a system call stands still, too, when the process is stopped.
TEST_F(FreezeMarkTest, IsGoneAfterASignalThatInterruptsTheThread) {
  static volatile std::sig_atomic_t came = 0;
  struct sigaction ignored{};
  ignored.sa_handler = [](int) { came = 1; };
  struct sigaction before{};
  ::sigaction(SIGUSR1, &ignored, &before);
  const pthread_t self = ::pthread_self();
  std::thread other([self] {
    sleep_for_an_instant();
    ::pthread_kill(self, SIGUSR1);
  });
  FreezeMark::leave();
  while (came == 0) {
  }
  EXPECT_FALSE(FreezeMark::intact());
  other.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace tidegate::detail
