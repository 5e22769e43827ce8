#include <tidegate/core/gate.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <numeric>
#include <ostream>
#include <vector>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

// ---- the word --------------------------------------------------------------------------------

constexpr std::uint32_t kMostLeases = (std::uint32_t{1} << 30) - 1;
constexpr std::uint32_t kLastGroup = 4095;
constexpr unsigned kShift = StdSync::dock_shift();

// The layout as gate.hpp's table has it, spelled in numbers so that a slip there shows here.
static_assert(gate_word::kClosed == 0x8000'0000'0000'0000);
static_assert(gate_word::kWaiting == 0x4000'0000'0000'0000);
static_assert(gate_word::kLeases == 0x3fff'ffff'0000'0000);
static_assert(gate_word::kOneLease == 0x0000'0001'0000'0000);
static_assert(gate_word::kOrphaned == 0x0000'0000'8000'0000);
static_assert(gate_word::kGroup == 0x0000'0000'0fff'0000);
static_assert(gate_word::kBerths == 0x0000'0000'0000'ffff);
static_assert(kShift == 4 && kMostDockShift == 4, "a group has as many slots as there are berths");
static_assert(65534 >> kShift == kLastGroup, "the last slot of the largest pool has a group");

static_assert(alignof(Gate<StdSync>) == kCacheLine && sizeof(Gate<StdSync>) == kCacheLine,
              "a gate has its cache line to itself");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// A word taken apart, without gate_word's help.
struct Parts {
  bool closed = false;
  bool waiting = false;
  bool orphaned = false;
  std::uint32_t leases = 0;
  std::uint32_t group = 0;
  std::uint32_t berths = 0;

  friend bool operator==(const Parts&, const Parts&) = default;
};
constexpr std::uint64_t word_of(const Parts& p) {
  return std::uint64_t{p.closed} << 63 | std::uint64_t{p.waiting} << 62 |
         std::uint64_t{p.leases} << 32 | std::uint64_t{p.orphaned} << 31 |
         std::uint64_t{p.group} << 16 | p.berths;
}
constexpr Parts parts_of(std::uint64_t w) {
  return {(w >> 63 & 1) != 0,
          (w >> 62 & 1) != 0,
          (w >> 31 & 1) != 0,
          static_cast<std::uint32_t>(w >> 32 & 0x3fff'ffff),
          static_cast<std::uint32_t>(w >> 16 & 0x7fff),  // and what is between group and orphaned
          static_cast<std::uint32_t>(w & 0xffff)};
}
std::ostream& operator<<(std::ostream& out, const Parts& p) {
  return out << (p.closed ? "closed " : "") << (p.waiting ? "waiting " : "")
             << (p.orphaned ? "orphaned " : "") << "leases " << p.leases << " group " << p.group
             << " berths " << std::hex << p.berths << std::dec;
}
// The slots that are docked, lowest first.
std::vector<std::uint32_t> slots_of(const Parts& p) {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t berth = 0; berth < 16; ++berth) {
    if ((p.berths >> berth & 1) != 0) slots.push_back(p.group * 16 + berth);
  }
  return slots;
}

// Every combination of flags (orphaned without closed never happens, and is here all the same:
// the transitions do not look at it), docked slots and leases, corners included.
template <class Check>
void for_all_words(Check&& check) {
  for (unsigned flags = 0; flags < 8; ++flags) {
    for (const std::uint32_t leases : {0U, 1U, 2U, kMostLeases - 1, kMostLeases}) {
      for (const std::uint32_t group : {0U, 1U, 2048U, kLastGroup}) {
        for (const std::uint32_t berths : {0x0000U, 0x0001U, 0x8000U, 0x0ff0U, 0xffffU}) {
          const Parts parts{
              (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, leases, group, berths};
          SCOPED_TRACE(testing::PrintToString(parts));
          check(parts, word_of(parts));
        }
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
    EXPECT_EQ(gate_word::any_docked(w), p.berths != 0);
    const auto slots = slots_of(p);
    EXPECT_EQ(gate_word::docked(w), slots.size());
    if (!slots.empty()) {
      EXPECT_EQ(gate_word::first_docked(w, kShift), slots.front());
    }
    for (std::uint32_t slot = 0; slot < 16; ++slot) {
      EXPECT_EQ(gate_word::is_docked(w, p.group * 16 + slot, kShift), (p.berths >> slot & 1) != 0);
      EXPECT_FALSE(gate_word::is_docked(w, (p.group + 1) % 4096 * 16 + slot, kShift));
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

// The lowest bit of `berths` cleared, the long way.
constexpr std::uint32_t without_first(std::uint32_t berths) {
  return berths & ~(1U << std::countr_zero(berths));
}

TEST(GateWord, AdmitAndUndockTakesTheFirstSlotAndCountsOneMoreLease) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.closed || p.berths == 0 || p.leases == kMostLeases) return;
    ++p.leases;
    p.berths = without_first(p.berths);
    EXPECT_EQ(parts_of(gate_word::admit_and_undock(w)), p);
  });
}

TEST(GateWord, UndockTakesTheFirstSlotAndChangesNothingElse) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.berths == 0) return;
    p.berths = without_first(p.berths);
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

TEST(GateWord, OnlyAnOpenUnwatchedGateMayDockAndOnlyBesideItsOwnGroup) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    for (const std::uint32_t slot : {0U, 15U, 16U, 17U, 32768U, 65519U, 65520U, 65534U}) {
      const bool room = p.berths == 0 || slot / 16 == p.group;
      EXPECT_EQ(gate_word::has_room(w, slot, kShift), room) << slot;
      EXPECT_EQ(gate_word::may_dock(w, slot, kShift), !p.closed && !p.waiting && room) << slot;
      EXPECT_EQ(gate_word::may_join(w, slot, kShift),
                !p.closed && !p.waiting && slot / 16 == p.group)
          << slot;
    }
  });
}

TEST(GateWord, LeaveAndDockParksTheSlotInPlaceOfTheLease) {
  for_all_words([](const Parts& p, std::uint64_t w) {
    if (p.leases == 0) return;
    for (const std::uint32_t slot : {0U, 15U, 16U, 17U, 32768U, 65519U, 65520U, 65534U}) {
      if (!gate_word::may_dock(w, slot, kShift)) continue;
      Parts after = p;
      --after.leases;
      after.group = slot / 16;
      after.berths |= 1U << slot % 16;
      EXPECT_EQ(parts_of(gate_word::leave_and_dock(w, slot, kShift)), after) << slot;
      if (!gate_word::may_join(w, slot, kShift) || gate_word::is_docked(w, slot, kShift)) continue;
      EXPECT_EQ(parts_of(gate_word::leave_and_join(w, slot, kShift)), after) << slot;
    }
  });
}

TEST(GateWord, ALeaseThatDocksAloneAndIsTakenAgainLeavesNoTraceButItsGroup) {
  for_all_words([](Parts p, std::uint64_t w) {
    if (p.berths != 0 || !gate_word::may_dock(w, 25, kShift) || p.leases == 0) return;
    p.group = 1;
    EXPECT_EQ(parts_of(gate_word::admit_and_undock(gate_word::leave_and_dock(w, 25, kShift))), p);
  });
}

// With groups of one and of two, as the models have them.
TEST(GateWord, TheShiftSaysHowManyDockTogether) {
  for (const unsigned shift : {0U, 1U}) {
    const std::uint64_t w = gate_word::leave_and_dock(gate_word::kOneLease * 3, 6, shift);
    EXPECT_EQ(gate_word::first_docked(w, shift), 6u);
    EXPECT_EQ(gate_word::has_room(w, 7, shift), shift == 1);
    EXPECT_FALSE(gate_word::has_room(w, 5, shift));
    EXPECT_FALSE(gate_word::has_room(w, 8, shift));
    EXPECT_TRUE(gate_word::has_room(gate_word::undock(w), 8, shift));
  }
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

TEST(Gate, EnteringTakesADockedSlotOnce) {
  TestGate gate;
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(7));
  EXPECT_EQ(parts_of(gate), (Parts{.berths = 1U << 7}));

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

TEST(Gate, NobodyEntersAClosedGateWhereASlotIsDocked) {
  TestGate gate;
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(3));
  gate.set(gate_word::kClosed);
  EXPECT_EQ(gate.enter().entry, Entry::closed);
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .berths = 1U << 3}));
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
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .berths = 1U << 3}));
}

TEST(Gate, SlotsOfOneGroupDockTogetherAndTheFirstIsTakenFirst) {
  TestGate gate;
  for (int i = 0; i < 4; ++i) gate.enter();
  for (const std::uint32_t slot : {18U, 31U, 16U}) {
    EXPECT_FALSE(gate.refuses(slot));
    ASSERT_TRUE(gate.try_leave_and_dock(slot));
  }
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 1, .group = 1, .berths = 0b1000'0000'0000'0101}));
  std::uint32_t slot = 99;
  ASSERT_TRUE(gate.try_enter_docked(slot));
  EXPECT_EQ(slot, 16u);
  EXPECT_EQ(gate.enter().slot, 18u);
  ASSERT_TRUE(gate.take_docked(slot));
  EXPECT_EQ(slot, 31u);
  EXPECT_EQ(gate.enter().entry, Entry::admitted);
}

TEST(Gate, LeavingDoesNotDockWhereSlotsOfAnotherGroupAre) {
  TestGate gate;
  gate.enter();
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(15));
  EXPECT_TRUE(gate.refuses(16));
  EXPECT_FALSE(gate.try_leave_and_dock(16));
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 1, .berths = 1U << 15}));
  std::uint32_t slot = 99;
  ASSERT_TRUE(gate.take_docked(slot));
  EXPECT_FALSE(gate.refuses(16));
  EXPECT_TRUE(gate.try_leave_and_dock(16));
  EXPECT_EQ(parts_of(gate), (Parts{.group = 1, .berths = 1}));
}

// What a release does next depends on it: a flag is not a dock that is taken.
TEST(Gate, AFlagIsNoRefusal) {
  for (const std::uint64_t flag : {gate_word::kClosed, gate_word::kWaiting}) {
    TestGate gate;
    gate.enter();
    gate.set(flag);
    EXPECT_FALSE(gate.try_leave_and_dock(1));
    EXPECT_FALSE(gate.refuses(1));
  }
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

TEST(Gate, LeavingKeepsWhatIsDocked) {
  TestGate gate;
  gate.enter();
  gate.enter();
  ASSERT_TRUE(gate.try_leave_and_dock(5));
  EXPECT_TRUE(gate.try_leave(gate_word::kClosed));
  EXPECT_EQ(parts_of(gate), (Parts{.berths = 1U << 5}));
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

TEST(Gate, TakingADockedSlotLeavesTheCountAlone) {
  TestGate gate;
  gate.enter();
  gate.enter();
  std::uint32_t slot = 99;
  EXPECT_FALSE(gate.take_docked(slot));
  ASSERT_TRUE(gate.try_leave_and_dock(4));
  EXPECT_TRUE(gate.take_docked(slot));
  EXPECT_EQ(slot, 4u);
  EXPECT_FALSE(gate.take_docked(slot));
  EXPECT_EQ(parts_of(gate), (Parts{.leases = 1}));
}

TEST(Gate, WhatIsDockedAtAClosedOrWatchedGateCanBeTaken) {
  for (const std::uint64_t flag : {gate_word::kClosed, gate_word::kWaiting}) {
    TestGate gate;
    gate.enter();
    ASSERT_TRUE(gate.try_leave_and_dock(4));
    gate.set(flag);
    std::uint32_t slot = 0;
    EXPECT_TRUE(gate.take_docked(slot));
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
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .leases = 1, .berths = 1U << 1}));
  gate.clear_waiting();
  EXPECT_EQ(parts_of(gate), (Parts{.closed = true, .leases = 1, .berths = 1U << 1}));
}

// ---- many threads ----------------------------------------------------------------------------

// With as many slots as one, some and all of a dock: a berth that fills and empties between a
// thread's look and its exchange must not give it a slot that another one has.
TEST(Gate, ADockedSlotBelongsToOneOfManyThreadsAtATime) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  for (const std::uint32_t slots : {1U, 3U, 16U}) {
    TestGate gate;
    for (std::uint32_t slot = 0; slot < slots; ++slot) gate.enter();
    for (std::uint32_t slot = 0; slot < slots; ++slot) ASSERT_TRUE(gate.try_leave_and_dock(slot));
    std::array<int, 16> plain{};  // what the dock carries: TSan watches this
    std::array<std::atomic<int>, 16> owners{};
    std::atomic<int> taken{0};
    test::run_threads(kThreads, [&](int thread) {
      for (int i = 0; i < kRounds; ++i) {
        std::uint32_t slot = 0;
        bool docked = gate.try_enter_docked(slot);
        if (!docked) {
          const auto passed = gate.enter();
          docked = passed.entry == Entry::docked;
          slot = passed.slot;
        }
        if (docked || (thread % 2 == 0 && gate.take_docked(slot))) {
          EXPECT_EQ(owners[slot].fetch_add(1, std::memory_order_relaxed), 0);
          ++plain[slot];
          taken.fetch_add(1, std::memory_order_relaxed);
          owners[slot].fetch_sub(1, std::memory_order_relaxed);
          EXPECT_TRUE(gate.try_leave_and_dock(slot));
        } else {
          EXPECT_TRUE(gate.try_leave(gate_word::kClosed | gate_word::kWaiting));
        }
      }
    });
    EXPECT_EQ(parts_of(gate), (Parts{.berths = (1U << slots) - 1}));
    EXPECT_EQ(std::accumulate(plain.begin(), plain.end(), 0), taken.load());
  }
}

}  // namespace
}  // namespace tidegate::core
