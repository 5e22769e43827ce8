// Growth: who asks for openings and how many, what their success and their failure mean for
// waiters.
#include <tidegate/core/slot_pool.hpp>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::ManualClock;
using test::ManualSync;
using test::TestPool;

template <class Sync>
class SlotPoolOpen : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolOpen, test::AllSyncs, test::SyncNames);

TYPED_TEST(SlotPoolOpen, AWaiterAsksForAnOpeningAndGetsIt) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1, .max_opening = 2});
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool->counts().connecting, 1u);
  ASSERT_TRUE(pool.open_one());
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  EXPECT_TRUE(found.waited);
  EXPECT_EQ(pool->openings(), 1u);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  pool->release(found.ticket);
}

// Planted: plan_openings() that leaves out what is on its way. Three waiters open four.
TYPED_TEST(SlotPoolOpen, OneOpeningPerWaiterAndNoMoreThanMayOpenAtOnce) {
  TestPool<TypeParam> pool({.max_size = 8, .gates = 1, .max_opening = 2});
  Acquirer first(pool);
  // A waiter asks after it is in the list, outside the wait mutex.
  test::await("the first opening", [&] { return pool.opens_wanted() == 1; });
  Acquirer second(pool);
  test::await("the second opening", [&] { return pool.opens_wanted() == 2; });
  Acquirer third(pool);
  pool.await_waiting(3);
  EXPECT_EQ(pool.opens_wanted_at_last(2), 2) << "both turns are taken";

  ASSERT_TRUE(pool.open_one());
  const Ticket a = first.end().ticket;
  test::await("the next opening", [&] { return pool.opens_wanted() == 3; });
  ASSERT_TRUE(pool.open_one());
  const Ticket b = second.end().ticket;
  ASSERT_TRUE(pool.open_one());
  const Ticket c = third.end().ticket;
  EXPECT_EQ(pool.opens_wanted_at_last(3), 3);
  EXPECT_EQ(pool.slots_in(SlotState::empty), 5u);
  for (const Ticket lease : {a, b, c}) pool->release(lease);
}

TYPED_TEST(SlotPoolOpen, AnAcquirerTakesWhateverComesFirst) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->release(lease);
  const Found found = waiter.end();
  EXPECT_EQ(found.ticket.slot(), lease.slot());

  ASSERT_TRUE(pool.open_one()) << "the opening it caused goes on";
  EXPECT_EQ(pool->counts().idle, 1u);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolOpen, AnOpeningIsNotBoundToTheOneWhoCausedIt) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  std::stop_source stop;
  Acquirer impatient(pool, {.stop = stop.get_token()});
  pool.await_waiting(1);
  Acquirer patient(pool);
  pool.await_waiting(2);
  stop.request_stop();
  EXPECT_EQ(impatient.end().error, Errc::canceled);
  ASSERT_TRUE(pool.open_one());
  const Found found = patient.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolOpen, AskingForAFloorCountsWhatIsThereAndWhatIsOnItsWay) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1, .max_opening = 4});
  pool->grow_to(2);
  EXPECT_EQ(pool.opens_wanted_at_last(2), 2);
  pool->grow_to(2);
  EXPECT_EQ(pool.opens_wanted_at_last(2), 2);
  ASSERT_TRUE(pool.open_one());
  pool->grow_to(3);
  EXPECT_EQ(pool.opens_wanted_at_last(3), 3);
  pool->grow_to(9);
  EXPECT_EQ(pool.opens_wanted_at_last(4), 4) << "no more than max_size";
  while (pool.open_one()) {
  }
  EXPECT_EQ(pool->counts().idle, 4u);
}

TYPED_TEST(SlotPoolOpen, AReservedSlotIsOpenedByWhoeverReservedIt) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  const auto slot = pool->reserve_to_open();
  ASSERT_TRUE(slot.has_value());
  EXPECT_EQ(pool->state(*slot), SlotState::opening);
  EXPECT_FALSE(pool->take_to_open().has_value()) << "it is nobody else's";
  EXPECT_FALSE(pool->reserve_to_open().has_value()) << "the pool is full";
  pool.opened(*slot);
  EXPECT_EQ(pool->counts().idle, 1u);
}

// ---- failures --------------------------------------------------------------------------------

// Planted: open_failed() without plan_openings(). The waiter has nothing to wait for.
TYPED_TEST(SlotPoolOpen, AFailedOpeningLeavesWaitersWaitingAndAsksAgain) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  Acquirer waiter(pool);
  pool.await_waiting(1);
  for (int failures = 1; failures <= 3; ++failures) {
    ASSERT_TRUE(pool.fail_one(OpenFailure::unavailable));
    EXPECT_EQ(pool.opens_wanted_at_last(failures + 1), failures + 1);
    EXPECT_EQ(pool->failures(), static_cast<std::uint64_t>(failures));
    EXPECT_FALSE(waiter.done());
  }
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

TYPED_TEST(SlotPoolOpen, AFailedOpeningThatNobodyWaitsForIsNotRepeated) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout);
  ASSERT_TRUE(pool.fail_one(OpenFailure::unavailable));
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  EXPECT_EQ(pool.slots_in(SlotState::empty), 1u);
}

TYPED_TEST(SlotPoolOpen, ARejectionFailsAllWaitersAtOnceWhenNothingIsOpen) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  Acquirer one(pool);
  pool.await_waiting(1);
  Acquirer two(pool);
  pool.await_waiting(2);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected));
  for (Acquirer<TypeParam>* waiter : {&one, &two}) {
    const Found found = waiter->end();
    EXPECT_EQ(found.error, Errc::rejected);
    EXPECT_TRUE(found.waited);
  }
  EXPECT_EQ(pool->counts().connecting, 0u) << "no further attempt for nobody";
}

TYPED_TEST(SlotPoolOpen, ARejectionIsOnlyAFailureWhileSomethingIsOpen) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, TypeParam::now() + 1h));
  EXPECT_FALSE(waiter.done());
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout);
  pool->release(lease);
  pool->release(waiter.end().ticket);
  while (pool.fail_one(OpenFailure::aborted)) {
  }
}

TYPED_TEST(SlotPoolOpen, WhileARejectionLastsAcquiresAreRefusedAtOnce) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->grow_to(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, TypeParam::now() + 1h));
  const int before = pool.opens_wanted();
  EXPECT_EQ(pool.acquire(Deadline::never()).error, Errc::rejected);
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::rejected);
  EXPECT_EQ(pool.opens_wanted_at_last(before), before) << "the server is not asked again";

  pool->clear_rejection();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

// Somebody mends the other side and says so with a reset; the answer to an attempt of before comes
// after that, and was told to whoever waits (I9). Found by server.wrong-password on a slow machine.
TYPED_TEST(SlotPoolOpen, ARejectionOfBeforeAResetIsToldToNobodyAfterIt) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->grow_to(1);
  const auto slow = pool->take_to_open();
  ASSERT_TRUE(slow.has_value());
  pool->slot(*slow).begin_making(pool->generation());
  pool->next_generation();
  pool->clear_rejection();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  const int wanted = pool.opens_wanted();
  pool->open_failed(*slow, OpenFailure::rejected, TypeParam::now() + 1h);
  EXPECT_FALSE(waiter.done());
  EXPECT_EQ(pool.opens_wanted_at_last(wanted + 1), wanted + 1) << "the other side is asked anew";
  EXPECT_EQ(pool->failures(), 1u);
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout) << "not rejected";
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

TYPED_TEST(SlotPoolOpen, ASuccessEndsARejection) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->grow_to(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, TypeParam::now() + 1h));
  const auto slot = pool->reserve_to_open();
  ASSERT_TRUE(slot.has_value());
  pool.opened(*slot);
  pool->discard(pool.take());
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout) << "not rejected";
  pool.retire_all();
}

TYPED_TEST(SlotPoolOpen, AnOpeningWithoutAThreadIsRepeatedByTheNextGrow) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  Acquirer waiter(pool);
  pool.await_waiting(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::no_thread));
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1) << "or it would be repeated at once, without end";
  pool->grow_to(0);
  EXPECT_EQ(pool.opens_wanted_at_last(2), 2);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

// An opening can be given up while the pool stays open: create_resource() whose deadline passes.
// Its slot is capacity that somebody may be waiting for (I3).
TYPED_TEST(SlotPoolOpen, AnOpeningThatIsGivenUpPassesItsSlotOn) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  const auto reserved = pool->reserve_to_open();
  ASSERT_TRUE(reserved.has_value());
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool.opens_wanted_at_last(0), 0) << "the pool is full";
  pool->open_failed(*reserved, OpenFailure::aborted);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  EXPECT_EQ(pool->failures(), 0u) << "nothing is known about the server";
  if (pool.open_one()) {
    pool->release(waiter.end().ticket);
  } else {
    pool->close();
    waiter.end();
  }
}

// I1, with equality. Planted: open_failed() without --opening_, retired() without --retiring_.
TYPED_TEST(SlotPoolOpen, StatesAndBooksHaveTheSameNumberOfResources) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 1});
  const auto expect = [&](std::uint32_t count) {
    EXPECT_EQ(pool->census().by_state, count);
    EXPECT_EQ(pool->census().by_books, count);
  };
  expect(0);
  pool.open(3);
  expect(3);
  pool->grow_to(4);
  expect(3);
  pool.fail_one(OpenFailure::unavailable);
  pool->grow_to(0);
  expect(3);
  const Ticket lease = pool.take();
  ASSERT_TRUE(pool->try_check(1));
  expect(3);
  pool->retire_checked(1);
  expect(2);
  pool->discard(lease);
  expect(1);
  pool.retire_all();
  expect(1);
  pool.open(3);
  expect(4);
}

// ---- capacity --------------------------------------------------------------------------------

// Planted: retired() without plan_openings(). The waiter sleeps while a slot is empty (I3).
TYPED_TEST(SlotPoolOpen, TheCapacityOfARetiredSlotWakesAWaiterThroughANewOpening) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->discard(lease);
  EXPECT_EQ(pool.opens_wanted_at_last(0), 0) << "not before the old resource is gone";
  EXPECT_EQ(pool.retire_all().size(), 1u);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

TYPED_TEST(SlotPoolOpen, ASlotThatWasRetiredJustBeforeTheWaitIsFound) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  pool->discard(pool.take());
  pool.retire_all();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

// Planted: forget() without plan_openings().
TYPED_TEST(SlotPoolOpen, TheCapacityOfAForgottenSlotIsThereAtOnce) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool.forget(lease);
  EXPECT_EQ(pool.opens_wanted_at_last(1), 1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

// ---- what a passed deadline is called (I9); on the manual clock ------------------------------

class DeadlineVerdict : public testing::Test {
 protected:
  // A waiter whose deadline comes after what `meanwhile` does.
  Found wait_while(auto&& meanwhile) {
    Acquirer waiter(pool, {.deadline = ManualClock::now() + 1s});
    pool.await_waiting(1);
    ManualClock::await_sleepers(1);
    meanwhile();
    ManualClock::advance(1s);
    return waiter.end();
  }
  void abort_openings() {
    pool->end_floor();
    while (pool.fail_one(OpenFailure::aborted)) {
    }
  }

  TestPool<ManualSync> pool{{.max_size = 1, .gates = 1}};
};

TEST_F(DeadlineVerdict, IsTimeoutWhenEverythingIsLeased) {
  pool.open(1);
  const Ticket lease = pool.take();
  const Found found = wait_while([] {});
  EXPECT_EQ(found.error, Errc::timeout);
  EXPECT_TRUE(found.waited);
  pool->release(lease);
}

TEST_F(DeadlineVerdict, IsTimeoutWhenTheOpeningIsSlow) {
  EXPECT_EQ(wait_while([] {}).error, Errc::timeout);
  abort_openings();
}

// Planted: timeout_reason() that always says timeout.
TEST_F(DeadlineVerdict, IsUnavailableWhenEveryOpeningFailed) {
  const Found found = wait_while([this] {
    pool.fail_one(OpenFailure::unavailable);
    pool.fail_one(OpenFailure::unavailable);
  });
  EXPECT_EQ(found.error, Errc::unavailable);
  EXPECT_TRUE(found.waited);
  abort_openings();
}

TEST_F(DeadlineVerdict, IsUnavailableWhenNoThreadCouldBeHad) {
  EXPECT_EQ(wait_while([this] { pool.fail_one(OpenFailure::no_thread); }).error, Errc::unavailable);
}

TEST_F(DeadlineVerdict, IsTimeoutWhenAnOpeningSucceededMeanwhile) {
  const Found found = wait_while([this] {
    pool.fail_one(OpenFailure::unavailable);
    const auto slot = pool->take_to_open();
    ASSERT_TRUE(slot.has_value());
    // Somebody who does not wait is faster.
    Acquirer barger(pool, {.resumed = true, .since = ManualClock::now()});
    pool.await_waiting(2);
    pool.opened(*slot);
    pool->discard(barger.end().ticket);
  });
  EXPECT_EQ(found.error, Errc::timeout);
  pool.retire_all();
  abort_openings();
}

TEST_F(DeadlineVerdict, IsTimeoutWhenTheOnlyFailureCameLongBeforeTheWait) {
  pool->grow_to(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::unavailable, ManualClock::now() + 100ms));
  ManualClock::advance(1h);
  EXPECT_EQ(wait_while([] {}).error, Errc::timeout) << "the new attempt is slow";
  abort_openings();
}

// The server answered; who was told "unavailable" looked for an outage. Found by accounting.mix.
TEST_F(DeadlineVerdict, IsTimeoutWhenTheOnlyFailureIsARejectionOfBeforeAReset) {
  const Found found = wait_while([this] {
    const auto slot = pool->take_to_open();
    ASSERT_TRUE(slot.has_value());
    pool->slot(*slot).begin_making(pool->generation());
    pool->next_generation();
    pool->clear_rejection();
    pool->open_failed(*slot, OpenFailure::rejected, ManualClock::now() + 10s);
  });
  EXPECT_EQ(found.error, Errc::timeout);
  abort_openings();
}

// The server is down, and the backoff step is longer than the deadline: no attempt is made during
// this wait, and still it is the server's fault.
TEST_F(DeadlineVerdict, IsUnavailableWhenTheWholeWaitIsABackoffStep) {
  pool->grow_to(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::unavailable, ManualClock::now() + 10s));
  EXPECT_EQ(wait_while([] {}).error, Errc::unavailable);
  abort_openings();
}

TEST_F(DeadlineVerdict, IsTimeoutWhenTheServerIsDownButThePoolIsFull) {
  pool.open(1);
  const Ticket lease = pool.take();
  EXPECT_EQ(wait_while([] {}).error, Errc::timeout);
  pool->release(lease);
}

TEST_F(DeadlineVerdict, ARejectionIsForgottenWhenItsTimeIsOver) {
  pool->grow_to(1);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, ManualClock::now() + 10s));
  EXPECT_EQ(pool.acquire(Deadline::never()).error, Errc::rejected);
  ManualClock::advance(10s);
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool.opens_wanted_at_last(2), 2) << "the server is asked again";
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

}  // namespace
}  // namespace tidegate::core
