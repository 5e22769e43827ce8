// Slots that are given to maintenance for a longer look, and slots that somebody has a hook job
// for.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::test {
namespace {

using Pool = TestPool<FutexSync>;

std::vector<std::uint32_t> to_check(Pool& pool) {
  std::vector<std::uint32_t> slots;
  while (const auto slot = pool->take_to_check()) slots.push_back(*slot);
  std::sort(slots.begin(), slots.end());
  return slots;
}

TEST(SlotPoolHookJobs, ASlotGivenToMaintenanceIsNeitherIdleNorLeasedAndTheLeaseIsOver) {
  Pool pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket dirty = pool.take();
  pool->give_to_maintenance(dirty);
  EXPECT_EQ(pool->counts().checking, 1u);
  EXPECT_EQ(pool->counts().leased, 0u);
  EXPECT_EQ(pool->counts().idle, 1u);
  EXPECT_EQ(pool.retires_wanted(), 1) << "maintenance was told";
  EXPECT_EQ(to_check(pool), std::vector{dirty.slot()});
  pool->put_back(dirty.slot());
  EXPECT_EQ(pool->counts().idle, 2u);
}

// Maintenance takes idle slots aside to look at their age: they are not in the ping of long ago.
TEST(SlotPoolHookJobs, WhatComesFreeHasNoErrandAnyMore) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket held = pool.take();
  pool->slot(held.slot()).set_errand(core::Errand::ping);
  pool->give_to_maintenance(held);
  pool->put_back(*pool->take_to_check());
  ASSERT_TRUE(pool->try_check(held.slot()));
  EXPECT_EQ(pool->counts().checking, 1u);
  EXPECT_EQ(pool->counts().pinging, 0u);
  pool->put_back(held.slot());
}

TEST(SlotPoolHookJobs, AWaiterGetsASlotThatMaintenanceHasWhenItIsPutBack) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket dirty = pool.take();
  Acquirer<FutexSync> waiter(pool, {.deadline = Deadline::never()});
  pool.await_waiting(1);
  pool->give_to_maintenance(dirty);
  EXPECT_FALSE(waiter.done());
  pool->put_back(*pool->take_to_check());
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TEST(SlotPoolHookJobs, SeveralSlotsWaitToBeLookedAtEachOnce) {
  Pool pool({.max_size = 3, .gates = 1});
  pool.open(3);
  for (int i = 0; i < 3; ++i) pool->give_to_maintenance(pool.take());
  EXPECT_EQ(to_check(pool), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_FALSE(pool->take_to_check());
  for (std::uint32_t slot = 0; slot < 3; ++slot) pool->retire_checked(slot);
}

TEST(SlotPoolHookJobs, ASlotGivenToMaintenanceOfAClosedPoolIsRetired) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket dirty = pool.take();
  pool->close();
  pool->give_to_maintenance(dirty);
  EXPECT_TRUE(pool->drained());
  EXPECT_EQ(pool.retire_all(), std::vector{dirty.slot()});
  EXPECT_FALSE(pool->take_to_check());
}

TEST(SlotPoolHookJobs, ASlotGivenToMaintenanceLateEndsOnTheSpot) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket dirty = pool.take();
  pool->close();
  EXPECT_EQ(pool->orphan_leases(), 1u);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 0);
  pool->give_to_maintenance(dirty);
  EXPECT_EQ(pool.finished_late().size(), 1u);
  EXPECT_EQ(pool.freed(), 1);
}

TEST(SlotPoolHookJobs, ACheckWantedOfAClosedPoolThatWaitsNoMoreEndsTheSlot) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket held = pool.take();
  pool->close();
  pool->orphan_leases();
  pool->set_aside(held);
  pool->want_check(held.slot());
  EXPECT_EQ(pool.finished_late().size(), 1u);
  pool.let_go();
  pool->give_up(held.gate());
  EXPECT_EQ(pool.freed(), 1);
}

TEST(SlotPoolHookJobs, AHookJobIsTakenOnceAndItsSlotGoesOnToRetirement) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool->discard(pool.take());
  const auto slot = pool->take_to_retire();
  ASSERT_TRUE(slot);
  pool->want_hook_job(*slot);
  EXPECT_EQ(pool->hook_jobs(), 1u);
  EXPECT_EQ(pool->take_hook_job(), slot);
  EXPECT_EQ(pool->hook_jobs(), 0u);
  EXPECT_FALSE(pool->take_hook_job());
  EXPECT_FALSE(pool->take_to_retire());
  pool->end_hooked(*slot);
  EXPECT_EQ(pool.retire_all(), std::vector{*slot});
}

// It goes to its hook at once, and to maintenance, which ends it, only after that. It used to go to
// maintenance first, to be sent on to the hook, and back.
TEST(SlotPoolHookJobs, WhatEndsWithAHookMakesOneTrip) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool.end_with_hooks();
  const Ticket held = pool.take();
  pool->discard(held);
  EXPECT_EQ(pool.retires_wanted(), 1) << "maintenance finds an opener for it";
  EXPECT_FALSE(pool->take_to_retire());
  EXPECT_NE(pool->describe().find("retiring, before_close"), std::string::npos) << pool->describe();
  EXPECT_EQ(pool->take_hook_job(), held.slot());
  EXPECT_EQ(pool->counts().in_hooks, 1u);
  pool->end_hooked(held.slot());
  EXPECT_EQ(pool->counts().in_hooks, 0u) << "it only waits for its end";
  EXPECT_EQ(pool.retires_wanted(), 2);
  EXPECT_EQ(pool.retire_all(), std::vector{held.slot()});
}

// An orphaned lease ends on the thread that brings it back, where no hook may run.
TEST(SlotPoolHookJobs, AnOrphanEndsWithoutItsHook) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool.end_with_hooks();
  const Ticket held = pool.take();
  pool->close();
  pool->orphan_leases();
  pool.let_go();
  pool->discard(held);
  EXPECT_EQ(pool.finished_late().size(), 1u);
  EXPECT_EQ(pool.freed(), 1);
}

// Why a slot is in `checking` or `retiring` is seen without a lock.
TEST(SlotPoolHookJobs, WhatASlotIsThereForIsDescribedAndCounted) {
  Pool pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket held = pool.take();
  const std::uint32_t slot = held.slot();
  const std::string is = "slot " + std::to_string(slot) + ": ";
  const auto says = [&](const std::string& what) {
    return pool->describe().find(is + what + "\n") != std::string::npos;
  };
  pool->slot(slot).set_errand(core::Errand::reset);
  EXPECT_FALSE(says("out, reset")) << "it is not in such a state yet";
  pool->give_to_maintenance(held);
  EXPECT_TRUE(says("checking, reset")) << pool->describe();
  EXPECT_EQ(pool->counts().resetting, 1u);
  EXPECT_EQ(pool->take_to_check(), slot);
  pool->slot(slot).set_errand(core::Errand::after_release);
  EXPECT_TRUE(says("checking, after_release")) << pool->describe();
  EXPECT_EQ(pool->counts().in_hooks, 1u);
  EXPECT_EQ(pool->counts().resetting, 0u);
  pool->slot(slot).set_errand(core::Errand::ping);
  EXPECT_EQ(pool->counts().pinging, 1u);
  pool->retire_checked(slot);
  EXPECT_TRUE(says("retiring")) << "nobody has it yet: " << pool->describe();
  EXPECT_EQ(pool->counts().pinging, 0u);
  pool->slot(slot).set_errand(core::Errand::before_close);
  EXPECT_EQ(pool->counts().in_hooks, 1u);
  EXPECT_EQ(pool->counts().retiring, 1u);
  pool.retire_all();
}

TEST(SlotPoolHookJobs, AnAdmissionThatIsGivenUpIsNoLeaseAnyMore) {
  Pool pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket unfit = pool.take();
  pool->replace(unfit);
  pool->give_up(unfit.gate());
  pool->close();
  EXPECT_TRUE(pool->drained());
  pool.retire_all();
}

TEST(SlotPoolHookJobs, WhoMayNotWaitIsToldOfTheDeadlock) {
  Pool pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket one = pool.take();
  Search search{.deadline = Deadline::never(), .may_not_wait = true};
  const Found idle = pool.acquire(search);
  ASSERT_FALSE(idle.error) << "what is idle needs no waiting";
  EXPECT_EQ(pool.acquire(search).error, Errc::would_deadlock);
  Search no_wait{.deadline = Deadline::now(), .may_not_wait = true};
  EXPECT_EQ(pool.acquire(no_wait).error, Errc::timeout) << "it would not have waited";
  pool->release(one);
  pool->release(idle.ticket);
}

}  // namespace
}  // namespace tidegate::test
