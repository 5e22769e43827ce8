#include <tidegate/core/parker.hpp>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

template <class P>
class ParkerTest : public testing::Test {};
struct ParkerNames {
  template <class P>
  static std::string GetName(int) {
    return std::is_same_v<P, FutexParker> ? "Futex" : "Condvar";
  }
};
using Parkers = testing::Types<FutexParker, CondvarParker>;
TYPED_TEST_SUITE(ParkerTest, Parkers, ParkerNames);

// A thread that parks, and what it found.
template <class Parker>
class Parked {
 public:
  explicit Parked(Parker& parker, Deadline deadline = {})
      : thread_([this, &parker, deadline] {
          id_ = current_thread_id();
          word_ = parker.park(deadline);
          done_ = true;
        }) {
    test::await("the thread to park", [this] { return done_ || (id_ != 0 && test::asleep(id_)); });
  }
  std::uint32_t end() {
    thread_.join();
    return word_;
  }
  bool done() const { return done_; }
  std::int32_t id() const { return id_; }
  pthread_t handle() { return thread_.native_handle(); }

 private:
  std::atomic<std::int32_t> id_{0};
  std::atomic<bool> done_{false};
  std::uint32_t word_ = kUndecided;
  std::thread thread_;
};

TYPED_TEST(ParkerTest, BeginsUndecided) {
  TypeParam parker;
  EXPECT_EQ(parker.value(), kUndecided);
}

TYPED_TEST(ParkerTest, IsDecidedOnce) {
  TypeParam parker;
  EXPECT_TRUE(parker.decide(7));
  EXPECT_FALSE(parker.decide(8));
  EXPECT_FALSE(parker.decide(7));
  EXPECT_EQ(parker.value(), 7u);
}

TYPED_TEST(ParkerTest, ParkReturnsAtOnceWhenItIsDecided) {
  TypeParam parker;
  parker.decide(0x8000'0003);
  EXPECT_EQ(parker.park(Deadline::never()), 0x8000'0003u);
  EXPECT_EQ(parker.park(Deadline::now()), 0x8000'0003u);
  EXPECT_EQ(parker.park(1h), 0x8000'0003u);
}

TYPED_TEST(ParkerTest, ADeadlineInThePastDoesNotWait) {
  TypeParam parker;
  EXPECT_EQ(parker.park(Deadline::now()), kUndecided);
  EXPECT_EQ(parker.park(0s), kUndecided);
  EXPECT_EQ(parker.park(-1h), kUndecided);
  EXPECT_EQ(parker.park(steady_clock::now()), kUndecided);
  EXPECT_EQ(parker.park(steady_clock::time_point{}), kUndecided);
  EXPECT_EQ(parker.park(steady_clock::time_point{} + 1ns), kUndecided);
  EXPECT_EQ(parker.park(steady_clock::time_point{} - 1ns), kUndecided);
}

TYPED_TEST(ParkerTest, ADeadlineIsNeverEarly) {
  for (const auto wait : {1ns, 999ns, 1'000'000ns, 2'345'678ns}) {
    TypeParam parker;
    const auto until = steady_clock::now() + wait;
    EXPECT_EQ(parker.park(until), kUndecided);
    EXPECT_GE(steady_clock::now(), until);
  }
}

TYPED_TEST(ParkerTest, CanParkAgainAfterADeadline) {
  TypeParam parker;
  EXPECT_EQ(parker.park(1ms), kUndecided);
  EXPECT_EQ(parker.park(1ms), kUndecided);
  parker.decide(5);
  EXPECT_EQ(parker.park(1ms), 5u);
}

// Planted: a decider that does not wake. The parked threads sleep for good.
TYPED_TEST(ParkerTest, ADecisionWakesTheOneWhoParked) {
  for (const Deadline deadline : {Deadline::never(), Deadline(24h)}) {
    TypeParam parker;
    Parked parked(parker, deadline);
    ASSERT_TRUE(parker.decide(9));
    parker.wake();
    EXPECT_EQ(parked.end(), 9u);
  }
}

// Planted: FutexParker::park() that takes every return of the system call for an end.
TYPED_TEST(ParkerTest, ASpuriousWakeUpDoesNotEndAPark) {
  struct Handler {
    Handler() {
      struct sigaction action{};
      action.sa_handler = [](int) {};
      sigaction(SIGUSR2, &action, &before);
    }
    ~Handler() { sigaction(SIGUSR2, &before, nullptr); }
    struct sigaction before{};
  } const interrupting;

  TypeParam parker;
  Parked parked(parker);
  for (int i = 0; i < 20; ++i) {
    parker.wake();
    pthread_kill(parked.handle(), SIGUSR2);
    test::await("it to sleep again", [&] { return parked.done() || test::asleep(parked.id()); });
  }
  EXPECT_FALSE(parked.done());
  ASSERT_TRUE(parker.decide(3));
  parker.wake();
  EXPECT_EQ(parked.end(), 3u);
}

// Planted: decide() as a load and a store. Several threads win.
TYPED_TEST(ParkerTest, OfManyDecidersExactlyOneWins) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  std::unique_ptr<TypeParam> parker;
  std::atomic<int> winners{0};
  std::atomic<std::uint32_t> winning{0};
  test::StartLine start(kThreads);
  test::run_threads(kThreads, [&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      if (thread == 0) parker = std::make_unique<TypeParam>();
      start.arrive_and_wait();
      const auto mine = static_cast<std::uint32_t>(thread + 1);
      if (parker->decide(mine)) {
        winners.fetch_add(1);
        winning = mine;
        parker->wake();
      }
      start.arrive_and_wait();
      EXPECT_EQ(parker->value(), winning.load());
      EXPECT_EQ(parker->park(Deadline::never()), winning.load());
      start.arrive_and_wait();
    }
  });
  EXPECT_EQ(winners.load(), kRounds);
}

// [decide], and the end of the parker's life: the owner may let it go as soon as it knows, while
// the decider is still on its way out. TSan and ASan watch both.
TYPED_TEST(ParkerTest, WhatTheDeciderWroteIsVisibleAndTheParkerMayGoAtOnce) {
  constexpr int kRounds = 2000;
  std::atomic<TypeParam*> shared{nullptr};
  int carried = 0;
  test::run_threads(2, [&](int thread) {
    for (int round = 1; round <= kRounds; ++round) {
      if (thread == 0) {
        auto parker = std::make_unique<TypeParam>();
        shared.store(parker.get());
        EXPECT_EQ(parker->park(Deadline::never()), static_cast<std::uint32_t>(round));
        EXPECT_EQ(carried, round);
      } else {
        TypeParam* parker = nullptr;
        test::await("the parker", [&] { return (parker = shared.exchange(nullptr)) != nullptr; });
        carried = round;
        EXPECT_TRUE(parker->decide(static_cast<std::uint32_t>(round)));
        parker->wake();
      }
    }
  });
}

// Deciders and a deadline: whoever is first, the owner and the deciders agree.
TYPED_TEST(ParkerTest, ADeadlineThatRacesADecisionNeverLosesIt) {
  constexpr int kRounds = 500;
  for (int round = 0; round < kRounds; ++round) {
    TypeParam parker;
    std::atomic<bool> won{false};
    std::thread decider([&] {
      won = parker.decide(2);
      if (won) parker.wake();
    });
    const std::uint32_t word = parker.park(std::chrono::microseconds(round % 50));
    const bool gave_up = word == kUndecided && parker.decide(1);
    decider.join();
    EXPECT_NE(gave_up, won.load());
    EXPECT_EQ(parker.value(), gave_up ? 1u : 2u);
  }
}

}  // namespace
}  // namespace tidegate::core
