// A lease's way through a SlotPool when nobody waits: docks, queue, scan, and the ends of a lease.
#include <tidegate/core/slot_pool.hpp>

#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using test::TestPool;

template <class Sync>
class SlotPoolLease : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolLease, test::AllSyncs, test::SyncNames);

TYPED_TEST(SlotPoolLease, ANewPoolHasNothing) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  const PoolCounts counts = pool->counts();
  EXPECT_EQ(counts.max, 3u);
  EXPECT_EQ(counts.leased + counts.idle + counts.connecting + counts.checking + counts.waiting, 0u);
  EXPECT_EQ(pool.slots_in(SlotState::empty), 3u);
  EXPECT_FALSE(pool->closed());
}

TYPED_TEST(SlotPoolLease, TakesItsGatesFromTheNumberOfCoresUnlessTold) {
  TestPool<TypeParam> one({.max_size = 1});
  EXPECT_EQ(one->gate_count(), 1u);
  TestPool<TypeParam> eight({.max_size = 8, .gates = 8});
  EXPECT_EQ(eight->gate_count(), 8u);
  TestPool<TypeParam> computed({.max_size = 64});
  EXPECT_EQ(computed->gate_count(), policy::gate_count(std::thread::hardware_concurrency(), 64));
}

TYPED_TEST(SlotPoolLease, AnOpenedSlotIsIdleAndIsFound) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(1);
  EXPECT_EQ(pool->counts().idle, 1u);
  const Ticket lease = pool.take();
  EXPECT_EQ(pool->counts().idle, 0u);
  EXPECT_EQ(pool->counts().leased, 1u);
  pool->release(lease);
  EXPECT_EQ(pool->counts().idle, 1u);
}

TYPED_TEST(SlotPoolLease, AReleasedSlotDocksAndTheNextToEnterHasIt) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  pool->release(lease);
  EXPECT_EQ(pool->state(lease.slot()), SlotState::out) << "docked, not idle";

  const auto entered = pool->enter();
  EXPECT_EQ(entered.entry, Entry::docked);
  EXPECT_EQ(entered.ticket.slot(), lease.slot());
  pool->release(entered.ticket);
}

TYPED_TEST(SlotPoolLease, TheSecondReleaseGoesToTheQueue) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket first = pool.take();
  const Ticket second = pool.take();
  pool->release(first);
  pool->release(second);
  EXPECT_EQ(pool->state(first.slot()), SlotState::out);
  EXPECT_EQ(pool->state(second.slot()), SlotState::idle);
  EXPECT_EQ(pool->counts().idle, 2u);

  EXPECT_EQ(pool.take().slot(), first.slot()) << "the dock first";
  EXPECT_EQ(pool.take().slot(), second.slot());
  pool->release(first);
  pool->release(second);
}

TYPED_TEST(SlotPoolLease, ALeaseLeavesByTheGateItCameInBy) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(1);
  const Ticket lease = pool.take(0);
  TypeParam::gate_of_thread() = 1;
  pool->release(lease);

  const auto elsewhere = pool->enter();
  EXPECT_EQ(elsewhere.entry, Entry::admitted) << "it did not dock at gate 1";
  EXPECT_TRUE(pool->find_idle(elsewhere.ticket.gate()).has_value());
  pool->release({lease.slot(), elsewhere.ticket.gate()});
}

// The order of look(): the queue, whose slots are idle for long, before the docks of others, which
// they will want back.
TYPED_TEST(SlotPoolLease, TheQueueIsPreferredToTheDockOfAnotherGate) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(2);
  const Ticket docked = pool.take(0);
  const Ticket queued = pool.take(0);
  pool->release(docked);
  pool->release(queued);

  EXPECT_EQ(pool.take(1).slot(), queued.slot());
  EXPECT_EQ(pool.take(1).slot(), docked.slot());
  pool->release({queued.slot(), 1});
  pool->release({docked.slot(), 1});
}

TYPED_TEST(SlotPoolLease, TheDocksOfAllGatesAreFound) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 4});
  pool.open(4);
  std::vector<Ticket> leases;
  for (unsigned gate = 0; gate < 4; ++gate) leases.push_back(pool.take(gate));
  for (const Ticket lease : leases) pool->release(lease);
  EXPECT_EQ(pool.slots_in(SlotState::out), 4u) << "each in its own dock";

  std::set<std::uint32_t> found;
  for (int i = 0; i < 4; ++i) found.insert(pool.take(2).slot());
  EXPECT_EQ(found.size(), 4u);
  for (const std::uint32_t slot : found) pool->release({slot, 2});
}

TYPED_TEST(SlotPoolLease, AStaleEntryOfTheQueueIsSkipped) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  ASSERT_TRUE(pool->try_check(0));  // its entry stays in the queue
  EXPECT_EQ(pool.take().slot(), 1u);
  EXPECT_EQ(pool.acquire().error, Errc::timeout);
  pool->put_back(0);
  EXPECT_EQ(pool.take().slot(), 0u);
  pool->release({0, 0});
  pool->release({1, 0});
}

TYPED_TEST(SlotPoolLease, FindIdleTakesWhatIsThereAndAsksForNothing) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  EXPECT_FALSE(pool->find_idle(pool->enter().ticket.gate()).has_value());
  EXPECT_EQ(pool.opens_wanted(), 0);

  pool.open(1);
  const auto ticket = pool->find_idle(pool->enter().ticket.gate());
  ASSERT_TRUE(ticket.has_value());
  EXPECT_EQ(pool->counts().leased, 1u);
  pool->release(*ticket);
}

// ---- the ends of a lease ---------------------------------------------------------------------

TYPED_TEST(SlotPoolLease, ADiscardedSlotIsRetiredOnceAndCanOpenAgain) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool->discard(pool.take());
  EXPECT_EQ(pool.retires_wanted(), 1);
  EXPECT_EQ(pool->state(0), SlotState::retiring);
  EXPECT_EQ(pool->retiring(), 1u);
  EXPECT_EQ(pool.retire_all(), std::vector{0U});
  EXPECT_EQ(pool->state(0), SlotState::empty);
  EXPECT_EQ(pool->retiring(), 0u);

  pool.open(1);
  pool->release(pool.take());
}

TYPED_TEST(SlotPoolLease, ARetiringSlotIsNoCapacityYet) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool->discard(pool.take());
  EXPECT_EQ(pool.acquire().error, Errc::timeout);
  EXPECT_FALSE(pool->take_to_open().has_value()) << "that would be one more than max_size";
  pool.retire_all();
}

TYPED_TEST(SlotPoolLease, ReplacingASlotKeepsTheAdmission) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket unfit = pool.take();
  pool->replace(unfit);

  Search search{.deadline = Deadline::now()};
  const Found other = pool->find(unfit.gate(), search);
  ASSERT_FALSE(other.error);
  EXPECT_NE(other.ticket.slot(), unfit.slot());
  pool->release(other.ticket);
  pool.retire_all();
}

TYPED_TEST(SlotPoolLease, ASlotSetAsideIsCheckedAndComesBack) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket doubtful = pool.take();
  pool->set_aside(doubtful);
  EXPECT_EQ(pool->counts().checking, 1u);
  Search search{.deadline = Deadline::now()};
  const Found other = pool->find(doubtful.gate(), search);
  ASSERT_FALSE(other.error);
  pool->release(other.ticket);
  pool->put_back(doubtful.slot());
  EXPECT_EQ(pool->counts().idle, 2u);
}

TYPED_TEST(SlotPoolLease, AForgottenSlotIsFreeAtOnce) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool.forget(pool.take());
  EXPECT_EQ(pool->state(0), SlotState::empty);
  EXPECT_EQ(pool.retires_wanted(), 0);
  pool.open(1);
  pool->release(pool.take());
}

// ---- maintenance -----------------------------------------------------------------------------

TYPED_TEST(SlotPoolLease, MaintenanceTakesIdleSlotsOnly) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  pool.open(2);
  const Ticket leased = pool.take();
  const std::uint32_t idle = 1 - leased.slot();
  EXPECT_FALSE(pool->try_check(leased.slot()));
  EXPECT_FALSE(pool->try_check(2)) << "it is empty";
  EXPECT_FALSE(pool->try_check_docked(0).has_value());

  ASSERT_TRUE(pool->try_check(idle));
  EXPECT_EQ(pool->counts().checking, 1u);
  EXPECT_EQ(pool.acquire().error, Errc::timeout) << "neither idle nor leased";
  pool->put_back(idle);
  EXPECT_EQ(pool->counts().idle, 1u);
  pool->release(leased);
}

TYPED_TEST(SlotPoolLease, MaintenanceTakesDockedSlots) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(1);
  const Ticket lease = pool.take(1);
  pool->release(lease);
  EXPECT_FALSE(pool->try_check_docked(0).has_value());
  const auto slot = pool->try_check_docked(1);
  ASSERT_TRUE(slot.has_value());
  EXPECT_EQ(*slot, lease.slot());
  EXPECT_EQ(pool->counts().checking, 1u);
  EXPECT_FALSE(pool->try_check_docked(1).has_value());
  pool->put_back(*slot);
}

TYPED_TEST(SlotPoolLease, MaintenanceRetiresWhatItHolds) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  pool->retire_checked(0);
  EXPECT_EQ(pool.retires_wanted(), 1);
  EXPECT_EQ(pool.retire_all(), std::vector{0U});
}

// ---- many threads ----------------------------------------------------------------------------

// I1, I2 and I5 under load: TestPool's plain ints show a slot with two owners.
TYPED_TEST(SlotPoolLease, ManyThreadsShareFewSlotsAndNoneIsLost) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 3000;
  TestPool<TypeParam> pool({.max_size = 3, .gates = 2});
  pool.open(3);
  test::run_threads(kThreads, [&](int thread) {
    for (int i = 0; i < kRounds; ++i) {
      const Found found = pool.acquire(Deadline::now(), static_cast<unsigned>((thread + i) % 2));
      if (!found.error) pool->release(found.ticket);
    }
  });
  const PoolCounts counts = pool->counts();
  EXPECT_EQ(counts.leased, 0u);
  EXPECT_EQ(counts.idle, 3u);
  EXPECT_EQ(pool.opens_wanted(), 0);
}

}  // namespace
}  // namespace tidegate::core
