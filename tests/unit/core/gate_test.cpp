#include <tidegate/core/gate.hpp>

#include <atomic>
#include <bit>
#include <ostream>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

// ---- the word --------------------------------------------------------------------------------

constexpr std::uint32_t kMostLeases = (std::uint32_t{1} << 30) - 1;
constexpr std::uint32_t kLargestDock = (std::uint32_t{1} << 17) - 1;

// The layout as gate.hpp's table has it, spelled in numbers so that a slip there shows here.
static_assert(gate_word::kClosed == 0x8000'0000'0000'0000);
static_assert(gate_word::kWaiting == 0x4000'0000'0000'0000);
static_assert(gate_word::kLeases == 0x3fff'ffff'0000'0000);
static_assert(gate_word::kOneLease == 0x0000'0001'0000'0000);
static_assert(gate_word::kOrphaned == 0x0000'0000'8000'0000);
static_assert(gate_word::kDock == 0x0000'0000'0001'ffff);
static_assert((gate_word::kClosed ^ gate_word::kWaiting ^ gate_word::kLeases ^
               gate_word::kOrphaned ^ gate_word::kDock) ==
                  (gate_word::kClosed | gate_word::kWaiting | gate_word::kLeases |
                   gate_word::kOrphaned | gate_word::kDock),
              "no two fields share a bit");
static_assert(std::popcount(gate_word::kLeases) == 30);
static_assert(gate_word::kDock > 65535, "slot index + 1 of the largest pool fits");

static_assert(alignof(Gate<StdSync>) == kCacheLine && sizeof(Gate<StdSync>) == kCacheLine,
              "a gate has its cache line to itself");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// A word taken apart, without gate_word's help.
struct Parts {
  bool closed = false;
  bool waiting = false;
  bool orphaned = false;
  std::uint32_t leases = 0;
  std::uint32_t dock = 0;  // slot + 1

  friend bool operator==(const Parts&, const Parts&) = default;
};
constexpr std::uint64_t word_of(const Parts& p) {
  return std::uint64_t{p.closed} << 63 | std::uint64_t{p.waiting} << 62 |
         std::uint64_t{p.leases} << 32 | std::uint64_t{p.orphaned} << 31 | p.dock;
}
constexpr Parts parts_of(std::uint64_t w) {
  return {(w >> 63 & 1) != 0, (w >> 62 & 1) != 0, (w >> 31 & 1) != 0,
          static_cast<std::uint32_t>(w >> 32 & 0x3fff'ffff),
          static_cast<std::uint32_t>(w & 0x1'ffff)};
}
std::ostream& operator<<(std::ostream& out, const Parts& p) {
  return out << (p.closed ? "closed " : "") << (p.waiting ? "waiting " : "")
             << (p.orphaned ? "orphaned " : "") << "leases " << p.leases << " dock " << p.dock;
}

// Every combination of flags (orphaned without closed never happens, and is here all the same:
// the transitions do not look at it), dock and leases, corners included.
template <class Check>
void for_all_words(Check&& check) {
  for (unsigned flags = 0; flags < 8; ++flags) {
    for (const std::uint32_t leases : {0U, 1U, 2U, kMostLeases - 1, kMostLeases}) {
      for (const std::uint32_t dock : {0U, 1U, 2U, 65535U, 65536U, kLargestDock}) {
        const Parts parts{(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, leases, dock};
        SCOPED_TRACE(testing::PrintToString(parts));
        check(parts, word_of(parts));
      }
    }
  }
}

TEST(GateWord, EachFieldIsReadFromItsOwnBits) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    ASSERT_EQ(parts_of(w), p);
    EXPECT_EQ(gate_word::closed(w), p.closed);
    EXPECT_EQ(gate_word::waiting(w), p.waiting);
    EXPECT_EQ(gate_word::orphaned(w), p.orphaned);
    EXPECT_EQ(gate_word::leases(w), p.leases);
    EXPECT_EQ(gate_word::has_dock(w), p.dock != 0);
    if (p.dock != 0) {
      EXPECT_EQ(gate_word::docked_slot(w), p.dock - 1);
    }
  });
}

TEST(GateWord, AdmitCountsOneMoreLeaseAndChangesNothingElse) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.closed || p.leases == kMostLeases) return;  // its preconditions
    ++p.leases;
    EXPECT_EQ(parts_of(gate_word::admit(w)), p);
  });
}

TEST(GateWord, AdmitAndUndockEmptiesTheDockAndCountsOneMoreLease) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.closed || p.dock == 0 || p.leases == kMostLeases) return;
    ++p.leases;
    p.dock = 0;
    EXPECT_EQ(parts_of(gate_word::admit_and_undock(w)), p);
  });
}

TEST(GateWord, UndockEmptiesTheDockAndChangesNothingElse) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.dock == 0) return;
    p.dock = 0;
    EXPECT_EQ(parts_of(gate_word::undock(w)), p);
  });
}

TEST(GateWord, LeaveCountsOneLeaseLessAndChangesNothingElse) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.leases == 0) return;
    --p.leases;
    EXPECT_EQ(parts_of(gate_word::leave(w)), p);
  });
}

TEST(GateWord, OnlyAnOpenUnwatchedGateWithAFreeDockMayDock) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    EXPECT_EQ(gate_word::may_dock(w), !p.closed && !p.waiting && p.dock == 0);
  });
}

TEST(GateWord, LeaveAndDockParksTheSlotInPlaceOfTheLease) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    if (!gate_word::may_dock(w) || p.leases == 0) return;
    for (const std::uint32_t slot : {0U, 1U, 65534U, kLargestDock - 1}) {
      Parts after = p;
      --after.leases;
      after.dock = slot + 1;
      EXPECT_EQ(parts_of(gate_word::leave_and_dock(w, slot)), after);
    }
  });
}

TEST(GateWord, ALeaseThatDocksAndIsTakenAgainLeavesTheWordAsItWas) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    if (!gate_word::may_dock(w) || p.leases == 0) return;
    EXPECT_EQ(gate_word::admit_and_undock(gate_word::leave_and_dock(w, 9)), w);
  });
}

// ---- the operations --------------------------------------------------------------------------

using TestGate = Gate<StdSync>;

Parts parts_of(const TestGate& gate) { return parts_of(gate.load()); }

TEST(Gate, EnteringAnEmptyGateIsAnAdmissionWithoutASlot) {
  TestGate gate;
  EXPECT_EQ(gate.enter().entry, Entry::admitted);
  EXPECT_EQ(gate.enter().entry, Entry::admitted);
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 2}));
}

TEST(Gate, EnteringTakesTheDockedSlotOnce) {
  TestGate gate;
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(7));
  EXPECT_EQ(parts_of(gate), (Parts{.dock = 8}));

  const auto first = gate.enter();
  EXPECT_EQ(first.entry, Entry::docked);
  EXPECT_EQ(first.slot, 7u);
  EXPECT_EQ(gate.enter().entry, Entry::admitted);
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 2}));
}

TEST(Gate, SlotZeroAndTheLargestSlotDockToo) {
  for (const std::uint32_t slot : {0U, 65534U}) {
    TestGate gate;
    gate.enter();
    ASSERT_TRUE(gate.try_leave_and_dock(slot));
    EXPECT_EQ(gate.enter().slot, slot);
  }
}

TEST(Gate, NobodyEntersAClosedGate) {
  TestGate gate;
  gate.set(gate_word::kClosed);
  EXPECT_EQ(gate.enter().entry, Entry::closed);
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true}));
}

TEST(Gate, NobodyEntersAClosedGateThatStillHasADock) {
  TestGate gate;
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(3));
  gate.set(gate_word::kClosed);
  EXPECT_EQ(gate.enter().entry, Entry::closed);
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .dock = 4}));
}

TEST(Gate, AWatchedGateCanStillBeEntered) {
  TestGate gate;
  gate.set(gate_word::kWaiting);
  EXPECT_EQ(gate.enter().entry, Entry::admitted);
  EXPECT_EQ(parts_of(gate), (Parts{.waiting = true, .leases = 1}));
}

TEST(Gate, TheWarmHalfOfEnteringTakesTheDockAsEnteringDoes) {
  for (const std::uint64_t flag : {std::uint64_t{0}, gate_word::kWaiting}) {
    TestGate gate;
    gate.enter();
    gate.enter();
    ASSERT_TRUE(gate.try_leave_and_dock(7));
    gate.set(flag);
    std::uint32_t slot = 99;
    EXPECT_TRUE(gate.try_enter_docked(slot));
    EXPECT_EQ(slot, 7u);
    EXPECT_EQ(parts_of(gate), (Parts{.waiting = flag != 0, .leases = 2}));
  }
}

TEST(Gate, TheWarmHalfOfEnteringDoesNothingWithoutADockOrWhereTheGateIsClosed) {
  TestGate gate;
  std::uint32_t slot = 99;
  EXPECT_FALSE(gate.try_enter_docked(slot));
  EXPECT_EQ(parts_of(gate), Parts{});
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(3));
  gate.set(gate_word::kClosed);
  EXPECT_FALSE(gate.try_enter_docked(slot));
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .dock = 4}));
}

TEST(Gate, LeavingDoesNotDockWhereTheDockIsTaken) {
  TestGate gate;
  gate.enter();
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(1));
  EXPECT_FALSE(gate.try_leave_and_dock(2));
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 1, .dock = 2}));
}

TEST(Gate, LeavingDoesNotDockWhereSomebodyWaits) {
  TestGate gate;
  gate.enter();
  gate.set(gate_word::kWaiting);
  EXPECT_FALSE(gate.try_leave_and_dock(1));
  EXPECT_EQ(parts_of(gate), (Parts{.waiting = true, .leases = 1}));
}

TEST(Gate, LeavingDoesNotDockWhereTheGateIsClosed) {
  TestGate gate;
  gate.enter();
  gate.set(gate_word::kClosed);
  EXPECT_FALSE(gate.try_leave_and_dock(1));
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .leases = 1}));
}

TEST(Gate, LeavingWithoutASlotMindsOnlyTheFlagsItIsToldTo) {
  TestGate gate;
  for (int i = 0; i < 3; ++i) gate.enter();
  EXPECT_TRUE(gate.try_leave(gate_word::kClosed | gate_word::kWaiting));
  gate.set(gate_word::kWaiting);
  EXPECT_FALSE(gate.try_leave(gate_word::kClosed | gate_word::kWaiting));
  EXPECT_TRUE(gate.try_leave(gate_word::kClosed));
  gate.set(gate_word::kClosed);
  EXPECT_FALSE(gate.try_leave(gate_word::kClosed));
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .waiting = true, .leases = 1}));
}

TEST(Gate, LeavingKeepsTheDock) {
  TestGate gate;
  gate.enter();
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(5));
  EXPECT_TRUE(gate.try_leave(gate_word::kClosed));
  EXPECT_EQ(parts_of(gate), (Parts{.dock = 6}));
}

TEST(Gate, LeavingAClosedGateTellsWhatItWasLike) {
  TestGate gate;
  gate.enter();
  gate.enter();
  gate.set(gate_word::kClosed);
  EXPECT_EQ(parts_of(gate.leave_closed()), (Parts{.closed = true, .leases = 2}));
  gate.set(gate_word::kOrphaned);
  EXPECT_EQ(parts_of(gate.leave_closed()), (Parts{.closed = true, .orphaned = true, .leases = 1}));
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .orphaned = true}));
}

TEST(Gate, TakingTheDockLeavesTheCountAlone) {
  TestGate gate;
  gate.enter();
  gate.enter();
  std::uint32_t slot = 99;
  EXPECT_FALSE(gate.take_dock(slot));
  ASSERT_TRUE(gate.try_leave_and_dock(4));
  EXPECT_TRUE(gate.take_dock(slot));
  EXPECT_EQ(slot, 4u);
  EXPECT_FALSE(gate.take_dock(slot));
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 1}));
}

TEST(Gate, TheDockOfAClosedOrWatchedGateCanBeTaken) {
  for (const std::uint64_t flag : {gate_word::kClosed, gate_word::kWaiting}) {
    TestGate gate;
    gate.enter();
    ASSERT_TRUE(gate.try_leave_and_dock(4));
    gate.set(flag);
    std::uint32_t slot = 0;
    EXPECT_TRUE(gate.take_dock(slot));
    EXPECT_EQ(slot, 4u);
    EXPECT_EQ(gate.load(), flag);
  }
}

TEST(Gate, SettingAFlagShowsTheWordBeforeAndIsIdempotent) {
  TestGate gate;
  gate.enter();
  EXPECT_EQ(parts_of(gate.set(gate_word::kWaiting)), (Parts{.leases = 1}));
  EXPECT_EQ(parts_of(gate.set(gate_word::kWaiting)), (Parts{.waiting = true, .leases = 1}));
}

TEST(Gate, ClearingWaitingTouchesNothingElse) {
  TestGate gate;
  gate.enter();
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(1));
  gate.set(gate_word::kWaiting | gate_word::kClosed);
  gate.clear_waiting();
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .leases = 1, .dock = 2}));
  gate.clear_waiting();
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .leases = 1, .dock = 2}));
}

// ---- many threads ----------------------------------------------------------------------------

TEST(Gate, ADockedSlotBelongsToOneOfManyThreadsAtATime) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  TestGate gate;
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(7));
  int plain = 0;  // what the dock carries: TSan watches this
  std::atomic<int> taken{0};
  std::atomic<int> owners{0};
  test::run_threads(kThreads, [&](int thread) {
    for (int i = 0; i < kRounds; ++i) {
      std::uint32_t slot = 0;
      const bool docked = gate.try_enter_docked(slot) || gate.enter().entry == Entry::docked;
      if (docked || (thread % 2 == 0 && gate.take_dock(slot))) {
        EXPECT_EQ(owners.fetch_add(1, std::memory_order_relaxed), 0);
        ++plain;
        taken.fetch_add(1, std::memory_order_relaxed);
        owners.fetch_sub(1, std::memory_order_relaxed);
        EXPECT_TRUE(gate.try_leave_and_dock(7));
      } else {
        EXPECT_TRUE(gate.try_leave(gate_word::kClosed | gate_word::kWaiting));
      }
    }
  });
  EXPECT_EQ(parts_of(gate), (Parts{.dock = 8}));
  EXPECT_EQ(plain, taken.load());
}

}  // namespace
}  // namespace tidegate::core
