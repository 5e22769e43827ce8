#include <tidegate/lifecycle/signal_waiter.hpp>

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include <gmock/gmock.h>

#include <tidegate/base/error.hpp>

#include "support/rendezvous.hpp"

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

void send_self(int number) { ::kill(::getpid(), number); }

bool blocked(int number) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, number) == 1;
}

std::string refusal(std::initializer_list<int> signals) {
  try {
    SignalWaiter waiter(signals);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "none";
}

TEST(SignalWaiter, GivesEachSignalOnce) {
  SignalWaiter waiter{SIGTERM, SIGINT};
  send_self(SIGINT);
  EXPECT_EQ(waiter.wait(), SIGINT);
  EXPECT_EQ(waiter.wait(Deadline::now()), std::nullopt);
  send_self(SIGTERM);
  EXPECT_EQ(waiter.wait(Deadline::now()), SIGTERM);
}

TEST(SignalWaiter, WaitsUntilTheDeadline) {
  SignalWaiter waiter{SIGTERM};
  EXPECT_EQ(waiter.wait(1ms), std::nullopt);
}

TEST(SignalWaiter, WaitsUntilAStop) {
  SignalWaiter waiter{SIGTERM};
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(waiter.wait({}, stop.get_token()), std::nullopt);
  EXPECT_EQ(waiter.wait({}, stop.get_token()), std::nullopt);
}

TEST(SignalWaiter, MayBeWaitedForOnAnyThread) {
  SignalWaiter waiter{SIGTERM};
  std::optional<int> seen;
  std::thread other([&] { seen = waiter.wait(); });
  send_self(SIGTERM);
  other.join();
  EXPECT_EQ(seen, SIGTERM);
}

TEST(SignalWaiter, LeavesTheMaskAsItWas) {
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  {
    SignalWaiter waiter{SIGTERM, SIGUSR1};
    EXPECT_TRUE(blocked(SIGTERM));
  }
  EXPECT_FALSE(blocked(SIGTERM));
  EXPECT_TRUE(blocked(SIGUSR1)) << "it was blocked before";
  ::pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
}

// Else a program that has stopped in order would die of the signal when it leaves main().
TEST(SignalWaiter, TakesAlongTheSignalsThatNobodyHasWaitedFor) {
  {
    const SignalWaiter signals{SIGUSR1};
    ::kill(::getpid(), SIGUSR1);
  }
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGUSR1), 0);
}

TEST(SignalWaiter, IsRefusedWhereAThreadWouldGetTheSignal) {
  std::atomic<bool> ready{false};
  std::atomic<bool> done{false};
  std::thread careless([&] {
    ::pthread_setname_np(::pthread_self(), "careless");
    ready = true;
    await("the end of the test", [&] { return done.load(); });
  });
  await("the thread", [&] { return ready.load(); });
  EXPECT_THAT(refusal({SIGTERM, SIGINT}),
              testing::AllOf(HasSubstr("\"careless\""), HasSubstr("SIGINT, SIGTERM"),
                             HasSubstr("first line of main()")));
  EXPECT_FALSE(blocked(SIGTERM)) << "a refusal changes nothing";
  done = true;
  careless.join();
  EXPECT_EQ(refusal({SIGTERM}), "none") << "nor does it keep the signal";
}

TEST(SignalWaiter, IsTheOnlyOneForItsSignals) {
  SignalWaiter first{SIGTERM};
  EXPECT_THAT(refusal({SIGINT, SIGTERM}), HasSubstr("another one waits for SIGTERM"));
  EXPECT_EQ(refusal({SIGINT}), "none");
  EXPECT_TRUE(blocked(SIGTERM));
}

TEST(SignalWaiter, RefusesWhatCannotBeWaitedFor) {
  EXPECT_THAT(refusal({}), HasSubstr("no signal is given"));
  EXPECT_THAT(refusal({SIGKILL}), HasSubstr("SIGKILL"));
  EXPECT_THAT(refusal({SIGTERM, 0}), HasSubstr("0 is no signal"));
  EXPECT_THAT(refusal({1000}), HasSubstr("1000"));
}

}  // namespace
}  // namespace tidegate::test
