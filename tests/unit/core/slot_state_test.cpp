#include <tidegate/core/slot_state.hpp>

#include <array>
#include <atomic>
#include <string>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

using States = SlotStates<StdSync>;

constexpr std::array kAllStates{SlotState::empty, SlotState::opening,  SlotState::idle,
                                SlotState::out,   SlotState::checking, SlotState::retiring};

// Brings slot 0 of a fresh array to `state`; it is in no queue yet, unless it is idle.
void bring_to(States& states, SlotState state) {
  if (state == SlotState::empty) return;
  if (state == SlotState::idle) {
    ASSERT_TRUE(states.make_idle(0, SlotState::empty));
  } else {
    states.move(0, SlotState::empty, state);
  }
}

TEST(SlotState, EachHasAName) {
  std::string names;
  for (const SlotState state : kAllStates) names += std::string(to_string(state)) + " ";
  EXPECT_EQ(names, "empty opening idle out checking retiring ");
}

TEST(SlotStates, AllSlotsBeginEmpty) {
  const States states(3);
  EXPECT_EQ(states.size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(states.get(i), SlotState::empty);
}

TEST(SlotStates, OnlyAnIdleSlotCanBeClaimed) {
  for (const SlotState state : kAllStates) {
    SCOPED_TRACE(to_string(state));
    States states(1);
    bring_to(states, state);
    EXPECT_EQ(states.claim(0, SlotState::checking), state == SlotState::idle);
    EXPECT_EQ(states.get(0), state == SlotState::idle ? SlotState::checking : state);
  }
}

TEST(SlotStates, ASlotIsClaimedOnce) {
  States states(2);
  states.make_idle(1, SlotState::empty);
  EXPECT_FALSE(states.claim(0, SlotState::out));
  EXPECT_TRUE(states.claim(1, SlotState::out));
  EXPECT_FALSE(states.claim(1, SlotState::out));
  EXPECT_FALSE(states.claim(1, SlotState::checking));
}

TEST(SlotStates, MovingNamesTheOldPlaceAndTheNewOne) {
  States states(1);
  states.move(0, SlotState::empty, SlotState::opening);
  states.move(0, SlotState::opening, SlotState::out);
  states.move(0, SlotState::out, SlotState::retiring);
  states.move(0, SlotState::retiring, SlotState::empty);
  EXPECT_EQ(states.get(0), SlotState::empty);
}

// ---- the life of the `queued` bit ------------------------------------------------------------

TEST(SlotStates, TheFirstMakeIdleAsksForAnEntryInTheQueue) {
  States states(1);
  EXPECT_TRUE(states.make_idle(0, SlotState::empty));
  EXPECT_EQ(states.get(0), SlotState::idle);
}

TEST(SlotStates, ADequeuedIdleSlotIsClaimedAndNeedsANewEntryNextTime) {
  States states(1);
  states.make_idle(0, SlotState::empty);
  EXPECT_TRUE(states.claim_dequeued(0));
  EXPECT_EQ(states.get(0), SlotState::out);
  EXPECT_TRUE(states.make_idle(0, SlotState::out));
}

TEST(SlotStates, ASlotClaimedByTheScanKeepsItsEntryAndNeedsNoSecondOne) {
  States states(1);
  states.make_idle(0, SlotState::empty);
  ASSERT_TRUE(states.claim(0, SlotState::out));
  EXPECT_FALSE(states.make_idle(0, SlotState::out)) << "its entry is still in the queue";
  EXPECT_TRUE(states.claim_dequeued(0)) << "which now leads to it again";
}

TEST(SlotStates, AnEntryOfASlotThatIsOutIsDroppedWhenItIsDequeued) {
  for (const SlotState state : {SlotState::out, SlotState::checking}) {
    States states(1);
    states.make_idle(0, SlotState::empty);
    ASSERT_TRUE(states.claim(0, state));
    EXPECT_FALSE(states.claim_dequeued(0));
    EXPECT_EQ(states.get(0), state);
    EXPECT_TRUE(states.make_idle(0, state)) << "the entry is used up: it needs a new one";
  }
}

TEST(SlotStates, TheEntryOutlivesTheResource) {
  States states(1);
  states.make_idle(0, SlotState::empty);
  ASSERT_TRUE(states.claim(0, SlotState::out));
  states.move(0, SlotState::out, SlotState::retiring);
  states.move(0, SlotState::retiring, SlotState::empty);
  states.move(0, SlotState::empty, SlotState::opening);
  EXPECT_FALSE(states.make_idle(0, SlotState::opening));
  EXPECT_TRUE(states.claim_dequeued(0));
}

TEST(SlotStates, AFailedEnqueueLeavesTheSlotIdleForTheScan) {
  States states(1);
  ASSERT_TRUE(states.make_idle(0, SlotState::empty));
  states.enqueue_failed(0);
  EXPECT_EQ(states.get(0), SlotState::idle);
  ASSERT_TRUE(states.claim(0, SlotState::out));
  EXPECT_TRUE(states.make_idle(0, SlotState::out)) << "the next time it is enqueued again";
}

TEST(SlotStates, AFailedEnqueueOfASlotThatWasClaimedMeanwhileTouchesOnlyTheBit) {
  States states(1);
  ASSERT_TRUE(states.make_idle(0, SlotState::empty));
  ASSERT_TRUE(states.claim(0, SlotState::checking));
  states.enqueue_failed(0);
  EXPECT_EQ(states.get(0), SlotState::checking);
}

// ---- I2 --------------------------------------------------------------------------------------

using SlotStatesDeathTest = testing::Test;

TEST(SlotStatesDeathTest, MovingASlotFromWhereItIsNotDies) {
  for (const SlotState is : kAllStates) {
    for (const SlotState said : kAllStates) {
      if (is == said) continue;
      SCOPED_TRACE(std::string(to_string(is)) + ", said to be " + std::string(to_string(said)));
      States states(1);
      bring_to(states, is);
      EXPECT_DEATH(states.move(0, said, SlotState::out), "invariant I2 broken");
      EXPECT_DEATH(states.make_idle(0, said), "invariant I2 broken");
    }
  }
}

TEST(SlotStatesDeathTest, GivingASlotBackTwiceDies) {
  States states(1);
  states.make_idle(0, SlotState::empty);
  ASSERT_TRUE(states.claim(0, SlotState::out));
  states.make_idle(0, SlotState::out);
  EXPECT_DEATH(states.make_idle(0, SlotState::out), "invariant I2 broken");
}

#if !defined(NDEBUG) || defined(TIDEGATE_CHECKED)
TEST(SlotStatesDeathTest, DequeuingASlotThatHasNoEntryDies) {
  States states(1);
  EXPECT_DEATH(states.claim_dequeued(0), "invariant I2 broken");
}
#endif

// ---- many threads ----------------------------------------------------------------------------

// Planted: claim() as a load and a store instead of a CAS. Both threads win, within a few rounds.
TEST(SlotStates, OfTwoThreadsThatClaimASlotExactlyOneWins) {
  constexpr int kRounds = 20'000;
  States states(1);
  int plain = 0;  // what the state carries: TSan watches this
  std::atomic<int> winners{0};
  test::StartLine start(2);
  test::run_threads(2, [&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      if (thread == 0) {
        plain = round;
        states.make_idle(0, round == 0 ? SlotState::empty : SlotState::out);
      }
      start.arrive_and_wait();
      if (states.claim(0, SlotState::out)) {
        EXPECT_EQ(plain, round);
        winners.fetch_add(1, std::memory_order_relaxed);
      }
      start.arrive_and_wait();
    }
  });
  EXPECT_EQ(winners.load(), kRounds);
}

TEST(SlotStates, OfTheScanAndTheQueueExactlyOneWins) {
  constexpr int kRounds = 20'000;
  States states(1);
  std::atomic<int> winners{0};
  std::atomic<bool> queued{false};
  test::StartLine start(2);
  test::run_threads(2, [&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      if (thread == 0) {
        const bool enqueue = states.make_idle(0, round == 0 ? SlotState::empty : SlotState::out);
        EXPECT_TRUE(enqueue) << "the last round's entry was dequeued";
        queued = true;
      }
      start.arrive_and_wait();
      const bool won = thread == 0 ? states.claim(0, SlotState::out)
                                   : queued.exchange(false) && states.claim_dequeued(0);
      if (won) winners.fetch_add(1, std::memory_order_relaxed);
      start.arrive_and_wait();
    }
  });
  EXPECT_EQ(winners.load(), kRounds);
}

// A slot that is given back while its old entry is being dequeued is found by one of the two: it is
// claimed by the dequeuer, or the giver is told to enqueue it.
// Planted: make_idle() that leaves `queued` out of its result. Slots end up idle in no queue.
TEST(SlotStates, ASlotGivenBackWhileItsOldEntryIsDequeuedIsNotLost) {
  constexpr int kRounds = 20'000;
  test::StartLine start(2);
  States states(kRounds);
  std::atomic<int> lost{0};
  std::array<std::atomic<bool>, kRounds> said{};
  for (std::uint32_t slot = 0; slot < kRounds; ++slot) {
    states.make_idle(slot, SlotState::empty);
    ASSERT_TRUE(states.claim(slot, SlotState::out));
  }
  test::run_threads(2, [&](int thread) {
    for (std::uint32_t slot = 0; slot < kRounds; ++slot) {
      start.arrive_and_wait();
      if (thread == 0) {
        said[slot] = states.make_idle(slot, SlotState::out);
      } else {
        const bool claimed = states.claim_dequeued(slot);
        start.arrive_and_wait();
        if (claimed == said[slot]) lost.fetch_add(1);
      }
      if (thread == 0) start.arrive_and_wait();
    }
  });
  EXPECT_EQ(lost.load(), 0);
}

}  // namespace
}  // namespace tidegate::core
