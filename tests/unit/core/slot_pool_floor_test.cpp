// The floor: how many resources are wanted whether or not somebody waits; and what is not opened
// because a resource is about to come back.
#include <tidegate/core/slot_pool.hpp>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>
#include <tidegate/core/policy.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::AllSyncs;
using test::SyncNames;
using test::TestPool;

template <class Sync>
class SlotPoolFloor : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolFloor, AllSyncs, SyncNames);

// A pool of min_conns 12 opened max_connecting 4 connections, and slept for a health period.
TYPED_TEST(SlotPoolFloor, IsReachedWithoutAPauseSoManyAtOnceAsMayOpen) {
  TestPool<TypeParam> pool({.max_size = 16, .gates = 1, .max_opening = 4});
  pool->grow_to(12);
  EXPECT_EQ(pool.opens_wanted_at_last(4), 4);
  for (std::uint32_t open = 1; open <= 12; ++open) {
    ASSERT_TRUE(pool.open_one());
    EXPECT_EQ(pool.slots_in(SlotState::opening), std::min(4U, 12 - open)) << open << " are open";
  }
  EXPECT_EQ(pool.opens_wanted_at_last(12), 12);
  EXPECT_EQ(pool->counts().idle, 12u);
}

TYPED_TEST(SlotPoolFloor, IsReachedAgainAfterEverythingHasGone) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 1});
  pool->grow_to(3);
  while (pool.open_one()) {
  }
  ASSERT_EQ(pool->counts().idle, 3u);
  for (std::uint32_t slot = 0; slot < 4; ++slot) {
    if (pool->try_check(slot)) pool->retire_checked(slot);
  }
  EXPECT_EQ(pool.retire_all().size(), 3u);
  while (pool.open_one()) {
  }
  EXPECT_EQ(pool->counts().idle, 3u);
}

TYPED_TEST(SlotPoolFloor, IsKeptWhenAResourceLeavesWithItsHolder) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool->grow_to(1);
  ASSERT_TRUE(pool.open_one());
  pool.forget(pool.take());
  ASSERT_TRUE(pool.open_one());
  EXPECT_EQ(pool->counts().idle, 1u);
}

// Who keeps the pool asks again when the backoff step is over; until then nothing stands in line.
TYPED_TEST(SlotPoolFloor, IsNotAskedForAgainByAnOpeningThatFails) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 2});
  pool->grow_to(3);
  ASSERT_TRUE(pool.fail_one(OpenFailure::unavailable, TypeParam::now() + 1h));
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, TypeParam::now() + 1h));
  ASSERT_FALSE(pool.open_one());
  EXPECT_EQ(pool.slots_in(SlotState::empty), 4u);
  pool->grow();
  while (pool.open_one()) {
  }
  EXPECT_EQ(pool->counts().idle, 3u);
}

// It may have had the only turn: create_resource() whose deadline passes.
TYPED_TEST(SlotPoolFloor, IsAskedForByAnOpeningThatIsGivenUp) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1, .max_opening = 1});
  const auto reserved = pool->reserve_to_open();
  ASSERT_TRUE(reserved.has_value());
  pool->grow_to(1);
  EXPECT_FALSE(pool->take_to_open().has_value()) << "one is on its way";
  pool->open_failed(*reserved, OpenFailure::aborted);
  ASSERT_TRUE(pool.open_one());
  EXPECT_EQ(pool->counts().idle, 1u);
}

TYPED_TEST(SlotPoolFloor, MayBeLowered) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 1});
  pool->grow_to(3);
  pool->grow_to(1);
  while (pool.open_one()) {
  }
  EXPECT_EQ(pool->counts().idle, 1u);
}

// Lame duck: whoever had read the old floor may come late with it.
TYPED_TEST(SlotPoolFloor, EndsForGood) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 1});
  pool->grow_to(3);
  pool->end_floor();
  pool->grow_to(3);
  ASSERT_TRUE(pool.open_one()) << "it was on its way";
  EXPECT_FALSE(pool.open_one());
  Acquirer waiter(pool);  // takes that one
  Acquirer other(pool);
  test::await("an opening for the one who waits",
              [&] { return pool.slots_in(SlotState::opening) == 1; });
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
  pool->release(other.end().ticket);
  EXPECT_EQ(pool->counts().idle, 2u);
}

// ---- coming back -----------------------------------------------------------------------------

constexpr Tick kNow = 1'000'000'000;
constexpr Tick kComesBack = policy::kComesBackWithin.count();

// The end of a lease that somebody has to look at before the resource is idle: a hook, a reset.
template <class Pool>
void give_to_maintenance(Pool& pool, Ticket lease) {
  pool->slot(lease.slot()).end_lease(pool->tick());
  pool->give_to_maintenance(lease);
}

// A thread that acquires and releases by itself opened as many as there was room for.
TYPED_TEST(SlotPoolFloor, AWaiterOpensNothingWhileAResourceIsAboutToComeBack) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 4});
  pool->set_tick(kNow);
  pool.open(1);
  give_to_maintenance(pool, pool.take());
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout);
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->set_tick(kNow + kComesBack);
  pool->grow();
  EXPECT_EQ(pool.opens_wanted_at_last(0), 0);
  pool->put_back(*pool->take_to_check());
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolFloor, EachIsWaitedForByOne) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 4});
  pool->set_tick(kNow);
  pool.open(1);
  give_to_maintenance(pool, pool.take());
  Acquirer one(pool);
  Acquirer other(pool);
  pool.await_waiting(2);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  pool->put_back(*pool->take_to_check());
  ASSERT_TRUE(pool.open_one());
  pool->release(one.end().ticket);
  pool->release(other.end().ticket);
}

// A hook that takes its time, or never returns. Planted: coming_back() without a look at the time:
// the waiter sleeps beside an empty slot for as long as the hook does.
TYPED_TEST(SlotPoolFloor, WhatDoesNotComeBackSoonIsMadeUpFor) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 4});
  pool->set_tick(kNow);
  pool.open(1);
  give_to_maintenance(pool, pool.take());
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->set_tick(kNow + kComesBack + 1);
  pool->grow();
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
  EXPECT_EQ(pool.acquire(Deadline::now()).error, std::nullopt);
  pool->release({1, 0});
  pool->retire_checked(*pool->take_to_check());
  pool.retire_all();
}

// One that maintenance looks at has been idle for long; a ping may take its time.
TYPED_TEST(SlotPoolFloor, AnIdleOneUnderACheckIsNotWaitedFor) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool->set_tick(kNow);
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  pool->set_tick(kNow + kComesBack + 1);
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
  pool->put_back(0);
}

}  // namespace
}  // namespace tidegate::core
