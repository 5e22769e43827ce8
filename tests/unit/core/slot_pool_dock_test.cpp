// What is docked together: docks as wide as in production.
#include <tidegate/core/slot_pool.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using test::TestPool;
using test::WideSync;
using testing::HasSubstr;

constexpr std::uint32_t kGroup = 16;  // slots that may dock together

using WidePool = TestPool<WideSync>;

std::vector<Ticket> take(WidePool& pool, std::uint32_t count, unsigned gate = 0) {
  std::vector<Ticket> tickets;
  for (std::uint32_t i = 0; i < count; ++i) tickets.push_back(pool.take(gate));
  return tickets;
}
void release(WidePool& pool, const std::vector<Ticket>& tickets) {
  for (const Ticket ticket : tickets) pool->release(ticket);
}

// Leases all of a pool of a group, the first `here` at gate 0 and the others at gate 1, and gives
// them back: they are docked there.
void dock_at_two_gates(WidePool& pool, std::uint32_t here) {
  pool.open(kGroup);
  const auto first = take(pool, here, 0);
  const auto second = take(pool, kGroup - here, 1);
  release(pool, first);
  release(pool, second);
}

// M8: a lease that comes back where others are docked costs what any other costs.
TEST(SlotPoolDock, AllSlotsOfASmallPoolDockAtOneGate) {
  WidePool pool({.max_size = kGroup, .gates = 1});
  pool.open(kGroup);
  release(pool, take(pool, kGroup));
  EXPECT_EQ(pool.slots_in(SlotState::out), kGroup) << "docked, not idle";
  EXPECT_EQ(pool->places().idle, kGroup);
  EXPECT_EQ(pool->places().leased, 0u);
  EXPECT_THAT(pool->describe(),
              HasSubstr("gate 0: open, leases 0, docked 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"));
  for (std::uint32_t i = 0; i < kGroup; ++i) {
    const auto entered = pool->enter();
    EXPECT_EQ(entered.entry, Entry::docked);
    EXPECT_EQ(entered.ticket.slot(), i) << "the first of them";
  }
  EXPECT_EQ(pool->places().leased, kGroup);
  for (std::uint32_t i = 0; i < kGroup; ++i) pool->release({i, 0});
}

TEST(SlotPoolDock, ASlotOfAnotherGroupGoesToTheQueueAndDocksOnceTheyAreGone) {
  WidePool pool({.max_size = kGroup + 1, .gates = 1});
  pool.open(kGroup + 1);
  const auto tickets = take(pool, kGroup + 1);
  const Ticket last = tickets.back();
  ASSERT_EQ(last.slot(), kGroup);
  release(pool, tickets);
  EXPECT_EQ(pool->state(kGroup), SlotState::idle);
  EXPECT_EQ(pool->places().idle, kGroup + 1);

  const auto again = take(pool, kGroup + 1);
  EXPECT_EQ(again.back().slot(), kGroup) << "from the queue";
  pool->release(last);
  EXPECT_EQ(pool->state(kGroup), SlotState::out) << "docked";
  pool->release(again.front());
  EXPECT_EQ(pool->state(again.front().slot()), SlotState::idle) << "of the other group";
  for (std::uint32_t slot = 1; slot < kGroup; ++slot) pool->release({slot, 0});
  EXPECT_EQ(pool->places().idle, kGroup + 1);
}

TEST(SlotPoolDock, WhatIsDockedElsewhereIsFoundToTheLast) {
  WidePool pool({.max_size = 8, .gates = 4});
  pool.open(8);
  const auto here = take(pool, 5, 1);
  const auto there = take(pool, 3, 3);
  release(pool, here);
  release(pool, there);
  for (int i = 0; i < 8; ++i) pool.take(0);
  EXPECT_EQ(pool.acquire().error, Errc::timeout);
  for (std::uint32_t slot = 0; slot < 8; ++slot) pool->release({slot, 0});
}

TEST(SlotPoolDock, MaintenanceFindsEachDockedSlotOnce) {
  WidePool pool({.max_size = kGroup, .gates = 2});
  dock_at_two_gates(pool, 5);
  std::vector<std::uint32_t> seen;
  pool->check_each_idle([&](std::uint32_t slot) {
    seen.push_back(slot);
    pool->put_back(slot);
  });
  std::vector<std::uint32_t> all;
  for (std::uint32_t slot = 0; slot < kGroup; ++slot) all.push_back(slot);
  EXPECT_EQ(seen, all);
  EXPECT_EQ(pool.slots_in(SlotState::idle), kGroup);
  EXPECT_THAT(pool->describe(), HasSubstr("gate 0: open, leases 0\n"));
}

TEST(SlotPoolDock, TheSweepTakesAllThatIsDocked) {
  WidePool pool({.max_size = kGroup, .gates = 2});
  dock_at_two_gates(pool, 7);
  EXPECT_EQ(pool->close().idle, kGroup);
  EXPECT_EQ(pool.slots_in(SlotState::retiring), kGroup);
  EXPECT_TRUE(pool->drained());
}

// What is leased at the fence comes back beside a dock that has been swept.
TEST(SlotPoolDock, NothingDocksAfterTheFence) {
  WidePool pool({.max_size = 4, .gates = 1});
  pool.open(4);
  const auto tickets = take(pool, 4);
  pool->release(tickets[0]);
  pool->fence();
  pool->release(tickets[1]);
  EXPECT_EQ(pool->state(tickets[0].slot()), SlotState::out) << "docked before";
  EXPECT_EQ(pool->state(tickets[1].slot()), SlotState::retiring);
  pool->close();
  EXPECT_EQ(pool->state(tickets[0].slot()), SlotState::retiring);
  pool->release(tickets[2]);
  pool->release(tickets[3]);
  EXPECT_TRUE(pool->drained());
}

// M8 with many hands: leases go round between threads that acquire here and release there.
// TestPool's plain ints show a slot with two owners (I2), and its end shows one that was lost (I5).
TEST(SlotPoolDock, LeasesThatOthersReleaseAreNeitherLostNorDoubled) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  for (const std::uint32_t slots : {3U, kGroup, kGroup + 2}) {
    WidePool pool({.max_size = slots, .gates = 2});
    pool.open(slots);
    // Hung up here by whoever acquired, taken and released by whoever comes by.
    std::array<std::atomic<std::uint64_t>, kThreads> handed{};
    constexpr std::uint64_t kNothing = 0;
    const auto release_of = [&](std::uint64_t one) {
      if (one != kNothing) {
        pool->release(
            Ticket(static_cast<std::uint32_t>(one) - 1, static_cast<std::uint32_t>(one >> 32)));
      }
    };
    test::run_threads(kThreads, [&](int thread) {
      for (int i = 0; i < kRounds; ++i) {
        const Found found = pool.acquire(Deadline::now(), static_cast<unsigned>(thread + i));
        if (!found.error) {
          const std::uint64_t one =
              std::uint64_t{found.ticket.gate()} << 32 | (found.ticket.slot() + 1);
          release_of(handed[static_cast<std::size_t>(thread)].exchange(one));
        }
        release_of(handed[static_cast<std::size_t>(thread + i) % kThreads].exchange(kNothing));
      }
    });
    for (auto& one : handed) release_of(one.exchange(kNothing));
    EXPECT_EQ(pool->places().idle, slots);
    EXPECT_EQ(pool->census().by_state, pool->census().by_books);
  }
}

}  // namespace
}  // namespace tidegate::core
