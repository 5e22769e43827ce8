// The races that are drawn in the code, walked step by step through the test points.
#include <tidegate/core/slot_pool.hpp>

#if defined(TIDEGATE_CHECKED)

#include <stop_token>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <support/test_points.hpp>
#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::Hold;
using test::ManualClock;
using test::ManualSync;
using test::TestPool;

template <class Sync>
class SlotPoolRace : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolRace, test::AllSyncs, test::SyncNames);

// Two leases of a pool of two with one gate; `docked` is back in the dock.
template <class Sync>
struct DockTaken {
  DockTaken() {
    pool.open(2);
    out = pool.take();
    docked = pool.take();
    pool->release(docked);
  }
  TestPool<Sync> pool{{.max_size = 2, .gates = 1}};
  Ticket out;
  Ticket docked;
};

// ---- a release whose dock is taken -----------------------------------------------------------

//     releaser                        others
//     sees the dock taken
//                                     take the dock; a waiter arms, scans, parks
//     slot := idle
//     CAS leave: sees `waiting`
//     claims the slot back, grants it
// Planted: the claim-back left out (leave at once). The waiter sleeps beside an idle slot.
TYPED_TEST(SlotPoolRace, AReleaseThatMadeItsSlotIdleTakesItBackForAWaiter) {
  DockTaken<TypeParam> at;
  Hold before_idle("release.before_idle");
  std::thread releaser([&] { at.pool->release(at.out); });
  before_idle.await();
  const Ticket other = at.pool.take();
  Acquirer waiter(at.pool);
  at.pool.await_waiting(1);
  before_idle.release();
  releaser.join();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  EXPECT_EQ(found.ticket.slot(), at.out.slot());
  at.pool->release(found.ticket);
  at.pool->release(other);
}

// As above, with a closer instead of the waiter, whose sweep is over when the slot becomes idle.
// Planted: as above. The slot stays idle in a closed pool.
TYPED_TEST(SlotPoolRace, AReleaseThatMadeItsSlotIdleTakesItBackForTheCloser) {
  DockTaken<TypeParam> at;
  Hold before_idle("release.before_idle");
  std::thread releaser([&] { at.pool->release(at.out); });
  before_idle.await();
  at.pool->close();
  EXPECT_EQ(at.pool.slots_in(SlotState::retiring), 1u);
  EXPECT_FALSE(at.pool->drained());
  before_idle.release();
  releaser.join();
  EXPECT_TRUE(at.pool->drained());
  EXPECT_EQ(at.pool.slots_in(SlotState::retiring), 2u);
}

//     releaser                        others
//     slot := idle
//                                     take it, use it, give it back, take it, ...
//     CAS leave
// Planted: try_leave() replaced by a claim that must succeed. I2 breaks.
TYPED_TEST(SlotPoolRace, AFrozenReleaserHoldsUpNobody) {
  DockTaken<TypeParam> at;
  Hold frozen("release.idle_before_leave");
  std::thread releaser([&] { at.pool->release(at.out); });
  frozen.await();
  for (int i = 0; i < 3; ++i) {
    const Ticket one = at.pool.take();
    const Ticket two = at.pool.take();
    EXPECT_NE(one.slot(), two.slot());
    EXPECT_EQ(at.pool.acquire(Deadline::now()).error, Errc::timeout);
    at.pool->release(one);
    at.pool->release(two);
  }
  frozen.release();
  releaser.join();
  EXPECT_EQ(at.pool->counts().idle, 2u);
}

TYPED_TEST(SlotPoolRace, AFrozenReleaserWhoseSlotSomebodyWaitsForAgainJustLeaves) {
  DockTaken<TypeParam> at;
  Hold frozen("release.idle_before_leave");
  std::thread releaser([&] { at.pool->release(at.out); });
  frozen.await();
  const Ticket one = at.pool.take();
  const Ticket two = at.pool.take();
  Acquirer waiter(at.pool);
  at.pool.await_waiting(1);
  frozen.release();
  releaser.join();
  EXPECT_FALSE(waiter.done()) << "both slots are leased";
  at.pool->release(one);
  at.pool->release(waiter.end().ticket);
  at.pool->release(two);
}

TYPED_TEST(SlotPoolRace, AFrozenReleaserWhoseSlotWasSweptJustLeaves) {
  DockTaken<TypeParam> at;
  Hold frozen("release.idle_before_leave");
  std::thread releaser([&] { at.pool->release(at.out); });
  frozen.await();
  at.pool->close();
  EXPECT_EQ(at.pool.slots_in(SlotState::retiring), 2u);
  EXPECT_FALSE(at.pool->drained());
  frozen.release();
  releaser.join();
  EXPECT_TRUE(at.pool->drained());
}

// Maintenance takes the slot of a frozen releaser; the waiter that the releaser meets then is
// maintenance's to serve.
TYPED_TEST(SlotPoolRace, AFrozenReleaserWhoseSlotIsCheckedLeavesItToMaintenance) {
  DockTaken<TypeParam> at;
  Hold frozen("release.idle_before_leave");
  std::thread releaser([&] { at.pool->release(at.out); });
  frozen.await();
  ASSERT_TRUE(at.pool->try_check(at.out.slot()));
  const Ticket other = at.pool.take();
  Acquirer waiter(at.pool);
  at.pool.await_waiting(1);
  frozen.release();
  releaser.join();
  EXPECT_FALSE(waiter.done());
  at.pool->put_back(at.out.slot());
  at.pool->release(waiter.end().ticket);
  at.pool->release(other);
}

// ---- flags -----------------------------------------------------------------------------------

//     releaser (finds the flag set, nobody there)      newcomer
//     has the wait mutex
//                                                      wants it
//     clears `waiting` on all gates
//                                                      sets it again, scans, parks
// Planted: disarm() after the mutex is let go. The newcomer's flag is cleared, and the next release
// docks beside a sleeping waiter.
TYPED_TEST(SlotPoolRace, DisarmingNeverUndoesANewcomersArming) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket kept = pool.take();
  const Ticket lease = pool.take();
  std::stop_source stop;
  Acquirer gone(pool, {.stop = stop.get_token()});
  pool.await_waiting(1);
  stop.request_stop();
  EXPECT_EQ(gone.end().error, Errc::canceled);

  Hold before_disarm("release.before_disarm");
  std::thread releaser([&] { pool->release(lease); });
  before_disarm.await();
  Acquirer newcomer(pool);
  newcomer.await_asleep();
  before_disarm.release();
  releaser.join();
  const Found found = newcomer.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
  pool->release(kept);
}

// The node of a canceled waiter is still in the list, and was what set `waiting`. A release that
// comes now must neither serve it nor stop at it.
TYPED_TEST(SlotPoolRace, AReleaseThatFindsOnlyACanceledNodeGoesOnAsIfNobodyWaited) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  std::stop_source stop;
  Hold before_park("wait.before_park");
  Acquirer canceled(pool, {.stop = stop.get_token()});
  before_park.await();
  stop.request_stop();
  EXPECT_EQ(pool->counts().waiting, 1u);

  pool->release(lease);
  const auto entered = pool->enter();
  EXPECT_EQ(entered.entry, Entry::docked);
  before_park.release();
  EXPECT_EQ(canceled.end().error, Errc::canceled);
  pool->release(entered.ticket);
}

TYPED_TEST(SlotPoolRace, AReleaseThatFindsACanceledNodeFirstServesTheNext) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  std::stop_source stop;
  Hold before_park("wait.before_park");
  Acquirer canceled(pool, {.stop = stop.get_token()});
  before_park.await();
  Acquirer next(pool);
  pool.await_waiting(2);
  stop.request_stop();
  pool->release(lease);
  const Found found = next.end();
  ASSERT_FALSE(found.error);
  before_park.release();
  EXPECT_EQ(canceled.end().error, Errc::canceled);
  pool->release(found.ticket);
}

// ---- a waiter on its way to sleep ------------------------------------------------------------

TYPED_TEST(SlotPoolRace, AGrantThatComesBeforeTheParkIsNotMissed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Hold before_park("wait.before_park");
  Acquirer waiter(pool);
  before_park.await();
  pool->release(lease);
  before_park.release();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolRace, AnOpeningThatFinishesBeforeTheParkIsNotMissed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  Hold before_park("wait.before_park");
  Acquirer waiter(pool);
  before_park.await();
  ASSERT_TRUE(pool.open_one());
  before_park.release();
  pool->release(waiter.end().ticket);
}

//     waiter                               releaser
//     looks: nothing
//                                          docks its slot, or makes it idle
//     waiting on all gates
//     scans: there it is
// Planted: no scan once the gates are armed. The waiter sleeps beside what is docked, or idle.
TYPED_TEST(SlotPoolRace, AReleaseBetweenLookingAndArmingIsFoundByTheScan) {
  for (const bool dock_is_taken : {false, true}) {
    SCOPED_TRACE(dock_is_taken ? "idle" : "docked");
    TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
    pool.open(2);
    const Ticket lease = pool.take();
    const Ticket other = pool.take();
    Hold before_wait("acquire.before_wait");
    Acquirer waiter(pool);
    before_wait.await();
    pool->release(lease);
    if (dock_is_taken) {
      pool->release(other);                                // beside the dock: idle
      ASSERT_TRUE(pool->try_check_docked(0).has_value());  // and only that one is left
    }
    before_wait.release();
    const Found found = waiter.end();
    ASSERT_FALSE(found.error);
    EXPECT_EQ(found.ticket.slot(), dock_is_taken ? other.slot() : lease.slot());
    pool->release(found.ticket);
    dock_is_taken ? pool->put_back(lease.slot()) : pool->release(other);
  }
}

//     waiter                               releaser
//     waiting on all gates
//                                          sees it: wants the wait mutex
//     scans: nothing; parks, mutex free
//                                          finds the node, grants
TYPED_TEST(SlotPoolRace, AReleaseBetweenArmingAndScanningIsHandedOver) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Hold armed("wait.armed");
  Acquirer waiter(pool);
  armed.await();
  std::thread releaser([&] { pool->release(lease); });
  armed.release();
  releaser.join();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// Maintenance walks while a waiter arrives: between its scan and its park, and before its scan.
// Planted: put_back() that makes the slot idle without a look at the waiters.
TYPED_TEST(SlotPoolRace, ASlotThatMaintenancePutsBackBeforeTheParkIsNotMissed) {
  for (const char* point : {"wait.armed", "wait.before_park"}) {
    SCOPED_TRACE(point);
    TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
    pool.open(1);
    ASSERT_TRUE(pool->try_check(0));
    Hold hold(point);
    Acquirer waiter(pool);
    hold.await();
    std::thread maintenance([&] { pool->put_back(0); });
    hold.release();
    maintenance.join();
    const Found found = waiter.end();
    ASSERT_FALSE(found.error);
    pool->release(found.ticket);
  }
}

// A slot that maintenance claims under the waiter's eyes is its to give back, or to retire.
TYPED_TEST(SlotPoolRace, ASlotThatMaintenanceRetiresInsteadBecomesANewOne) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  Hold before_park("wait.before_park");
  Acquirer waiter(pool);
  before_park.await();
  pool->retire_checked(0);
  pool.retire_all();
  before_park.release();
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

// ---- an opening that fails -------------------------------------------------------------------

//     waiter                               opener
//     looks: all of it is being made
//                                          fails, or gives up: the slot is empty, nobody waits
//     in the list; asks for an opening
// Planted: sleep() without plan_openings(). The waiter sleeps beside an empty slot.
TYPED_TEST(SlotPoolRace, AnOpeningThatFailsBeforeTheWaiterIsInTheListIsAskedForByTheWaiter) {
  for (const OpenFailure why : {OpenFailure::unavailable, OpenFailure::aborted}) {
    TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
    const auto slot = pool->reserve_to_open();
    ASSERT_TRUE(slot.has_value());
    Hold before_wait("acquire.before_wait");
    Acquirer waiter(pool);
    before_wait.await();
    pool->open_failed(*slot, why);
    EXPECT_EQ(pool.opens_wanted(), 0) << "nobody waits yet";
    before_wait.release();
    EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
    if (!pool.open_one()) pool->close();
    const Found found = waiter.end();
    if (!found.error) pool->release(found.ticket);
  }
}

//     waiter                               opener
//     in the list; all of it is being made
//                                          fails, or gives up: asks for another opening for it
//     parks
// Planted: open_failed() without plan_openings(). The waiter sleeps beside an empty slot.
TYPED_TEST(SlotPoolRace, AnOpeningThatFailsWhenTheWaiterIsInTheListIsRepeatedForIt) {
  for (const OpenFailure why : {OpenFailure::unavailable, OpenFailure::aborted}) {
    TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
    const auto slot = pool->reserve_to_open();
    ASSERT_TRUE(slot.has_value());
    Hold before_park("wait.before_park");
    Acquirer waiter(pool);
    before_park.await();
    EXPECT_EQ(pool.opens_wanted(), 0) << "there is nothing to open";
    pool->open_failed(*slot, why);
    EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
    before_park.release();
    if (!pool.open_one()) pool->close();
    const Found found = waiter.end();
    if (!found.error) pool->release(found.ticket);
  }
}

// ---- looking on ------------------------------------------------------------------------------

// A hang is looked into while somebody holds the wait mutex, perhaps for ever.
// Planted: a describe() that takes it. It would wait for the waiter that waits for it.
TYPED_TEST(SlotPoolRace, WhoOnlyLooksOnNeedsNoLock) {
  DockTaken<TypeParam> at;
  at.pool->release(at.out);  // idle and in the queue
  const Ticket lease = at.pool.take();
  const Ticket other = at.pool.take();
  Hold armed("wait.armed");
  Acquirer waiter(at.pool);
  armed.await();
  EXPECT_EQ(at.pool->places().waiting, 1u);
  EXPECT_EQ(at.pool->places().leased, 2u);
  EXPECT_EQ(at.pool->describe(),
            "gate 0: open, waiting, leases 3\n"
            "slot 0: out\n"
            "slot 1: out\n"
            "waiters 1, of which strict 1; openings 2, failed 0\n");
  armed.release();
  at.pool->release(lease);
  at.pool->release(waiter.end().ticket);
  EXPECT_THAT(at.pool->describe(), testing::HasSubstr("leases 1, docked 0\n"));
  at.pool->close();
  EXPECT_THAT(at.pool->describe(), testing::HasSubstr("gate 0: closed, leases 1\n"));
  at.pool->release(other);
}

//     waiter, in its barge window                  releaser
//     its window ends; wants the wait mutex
//                                                  docks (nobody is strict)
//     marks itself strict, arms, looks: the dock
TEST(BargeWindowRace, AWindowThatEndsWhileAReleaseDocksFindsTheDock) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1, .barge_window = 50us});
  pool.open(1);
  const Ticket lease = pool.take();
  Hold in_window("wait.in_window");
  Acquirer waiter(pool);
  in_window.await();
  ManualClock::advance(50us);
  pool->release(lease);
  in_window.release();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  EXPECT_EQ(found.ticket.slot(), lease.slot());
  pool->release(found.ticket);
}

//     waiter, in its barge window                  releaser
//     its window ends; strict, arms
//                                                  its CAS sees `waiting`: wants the wait mutex
//     looks: nothing; parks
//                                                  grants
TEST(BargeWindowRace, AWindowThatEndsJustBeforeAReleaseIsHandedTheSlot) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1, .barge_window = 50us});
  pool.open(1);
  const Ticket lease = pool.take();
  Hold armed("wait.armed");
  Acquirer waiter(pool);
  ManualClock::await_sleepers(1);
  ManualClock::advance(50us);
  armed.await();
  std::thread releaser([&] { pool->release(lease); });
  armed.release();
  releaser.join();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// Somebody was served, told or canceled while its window ended.
TEST(BargeWindowRace, ADecisionThatComesAsTheWindowEndsStands) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1, .barge_window = 50us});
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  Hold in_window("wait.in_window");
  Acquirer waiter(pool);
  in_window.await();
  ManualClock::advance(50us);
  pool->put_back(0);
  in_window.release();
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

}  // namespace
}  // namespace tidegate::core

#endif  // TIDEGATE_CHECKED
