// Waiting: who is served, in which order, and how a wait ends without a lease.
#include <tidegate/core/slot_pool.hpp>

#include <memory>
#include <stop_token>
#include <vector>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::TestPool;

template <class Sync>
class SlotPoolWait : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolWait, test::AllSyncs, test::SyncNames);

TYPED_TEST(SlotPoolWait, AReleaseServesTheOneWhoWaits) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool->peak_waiting(), 1u);
  pool->release(lease);
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  EXPECT_TRUE(found.waited);
  EXPECT_EQ(found.ticket.slot(), lease.slot());
  EXPECT_EQ(pool->counts().waiting, 0u);
  pool->release(found.ticket);
}

// Planted: WaitList::push_back() at the head. The last to come is served first.
TYPED_TEST(SlotPoolWait, WaitersAreServedInTheOrderOfTheirComing) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 2});
  pool.open(1);
  Ticket lease = pool.take();
  std::vector<std::unique_ptr<Acquirer<TypeParam>>> waiters;
  for (unsigned i = 0; i < 4; ++i) {
    waiters.push_back(std::make_unique<Acquirer<TypeParam>>(pool, Search{}, i % 2));
    pool.await_waiting(i + 1);
  }
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    pool->release(lease);
    const Found found = waiters[i]->end();
    ASSERT_FALSE(found.error);
    lease = found.ticket;
    for (std::size_t later = i + 1; later < waiters.size(); ++later) {
      EXPECT_FALSE(waiters[later]->done());
    }
  }
  pool->release(lease);
}

TYPED_TEST(SlotPoolWait, AWaiterIsServedThroughAnyGate) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 4});
  pool.open(1);
  for (unsigned gate = 0; gate < 4; ++gate) {
    const Ticket lease = pool.take(gate);
    Acquirer waiter(pool, {}, 3 - gate);
    pool.await_waiting(1);
    pool->release(lease);
    const Found found = waiter.end();
    ASSERT_FALSE(found.error);
    EXPECT_EQ(found.ticket.gate(), 3 - gate) << "its own admission";
    pool->release(found.ticket);
  }
}

// Planted: disarm() left out of release_slowly(). Every release then goes by the slow path for
// ever.
TYPED_TEST(SlotPoolWait, WhenNobodyWaitsAnyMoreReleasesDockAgain) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->release(lease);
  const Ticket granted = waiter.end().ticket;
  pool->release(granted);  // finds the flag set and nobody there
  const auto entered = pool->enter();
  ASSERT_EQ(entered.entry, Entry::docked);
  pool->release(entered.ticket);
}

TYPED_TEST(SlotPoolWait, MaintenancePuttingASlotBackServesTheOneWhoWaits) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->put_back(0);
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// ---- not willing to wait ---------------------------------------------------------------------

TYPED_TEST(SlotPoolWait, APassedDeadlineTakesWhatIsIdleAndElseAsksForItAndLeaves) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1, .max_opening = 2});
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout);
  EXPECT_EQ(pool.opens_wanted(), 1) << "so that a later try finds it";
  EXPECT_EQ(pool.acquire(0s).error, Errc::timeout);
  EXPECT_EQ(pool.acquire(-1s).error, Errc::timeout);
  EXPECT_EQ(pool.acquire(std::chrono::steady_clock::now() - 1s).error, Errc::timeout);
  EXPECT_EQ(pool.opens_wanted(), 1) << "that one is on its way";

  ASSERT_TRUE(pool.open_one());
  const Found found = pool.acquire(Deadline::now());
  ASSERT_FALSE(found.error);
  EXPECT_FALSE(found.waited);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolWait, APassedDeadlineIsNoWaiter) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1, .max_waiters = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool);
  pool.await_waiting(1);
  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout) << "not overloaded";
  EXPECT_EQ(pool->peak_waiting(), 1u);
  pool->release(lease);
  pool->release(waiter.end().ticket);
}

TYPED_TEST(SlotPoolWait, OneWaiterTooManyIsShedAtOnce) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1, .max_waiters = 2});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer first(pool);
  pool.await_waiting(1);
  Acquirer second(pool);
  pool.await_waiting(2);
  const Found shed = pool.acquire(Deadline::never());
  EXPECT_EQ(shed.error, Errc::overloaded);
  EXPECT_FALSE(shed.waited);
  pool->release(lease);
  const Ticket granted = first.end().ticket;
  pool->release(granted);
  pool->release(second.end().ticket);
}

// ---- a granted slot that fails its check -----------------------------------------------------

// Planted: push_back() instead of push_front() for a resumed search. The younger one overtakes.
TYPED_TEST(SlotPoolWait, AWaiterWhoseSlotIsUnfitKeepsItsPlace) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1, .max_waiters = 2});
  pool.open(2);
  const Ticket first = pool.take();
  const Ticket second = pool.take();

  Search older_search;
  std::atomic<bool> granted{false};
  std::atomic<bool> may_go_on{false};
  Found older_found;
  std::thread older([&] {
    Found found = pool.acquire(older_search);
    ASSERT_FALSE(found.error);
    EXPECT_TRUE(older_search.resumed);
    granted = true;
    test::await("the test", [&] { return may_go_on.load(); });
    pool->replace(found.ticket);  // its check said no
    older_found = pool->find(found.ticket.gate(), older_search);
  });
  pool.await_waiting(1);
  Acquirer younger(pool);
  pool.await_waiting(2);

  pool->release(first);
  test::await("the grant", [&] { return granted.load(); });
  Acquirer youngest(pool);
  pool.await_waiting(2);  // as many as there may be: the one that comes back is let in all the same
  may_go_on = true;
  pool.await_waiting(3);
  EXPECT_GT(pool->counts().oldest_wait, -1ns);

  pool->release(second);
  older.join();
  ASSERT_FALSE(older_found.error);
  EXPECT_EQ(older_found.ticket.slot(), second.slot());
  EXPECT_FALSE(younger.done());
  EXPECT_FALSE(youngest.done());
  pool->release(older_found.ticket);
  const Ticket next = younger.end().ticket;
  pool->release(next);
  pool->release(youngest.end().ticket);
  pool.retire_all();
}

TYPED_TEST(SlotPoolWait, OneThatComesBackWithAPassedDeadlineTakesWhatIsThere) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket unfit = pool.take();
  Search search{.deadline = Deadline::now(), .resumed = true, .since = TypeParam::now()};
  pool->replace(unfit);
  const Found other = pool->find(unfit.gate(), search);
  ASSERT_FALSE(other.error);
  pool->replace(other.ticket);
  EXPECT_EQ(pool->find(other.ticket.gate(), search).error, Errc::timeout);
  pool.retire_all();
}

// ---- stop_token ------------------------------------------------------------------------------

TYPED_TEST(SlotPoolWait, AStopBeforeTheWaitEndsItAtOnce) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  std::stop_source stop;
  stop.request_stop();
  Search search{.stop = stop.get_token()};
  const Found found = pool.acquire(search);
  EXPECT_EQ(found.error, Errc::canceled);
  EXPECT_EQ(pool->counts().waiting, 0u);
  EXPECT_EQ(pool.opens_wanted(), 0);
}

TYPED_TEST(SlotPoolWait, AStopWhileWaitingEndsTheWaitAndNobodyElses) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  std::stop_source stop;
  Acquirer stopped(pool, {.stop = stop.get_token()});
  pool.await_waiting(1);
  Acquirer patient(pool);
  pool.await_waiting(2);

  stop.request_stop();
  const Found canceled = stopped.end();
  EXPECT_EQ(canceled.error, Errc::canceled);
  EXPECT_TRUE(canceled.waited);
  EXPECT_EQ(pool->counts().waiting, 1u);
  EXPECT_FALSE(patient.done());
  pool->release(lease);
  pool->release(patient.end().ticket);
}

// Its end is decided once (I8): the grant came first, so it has the lease, and no other may.
TYPED_TEST(SlotPoolWait, AStopThatComesAfterTheGrantChangesNothing) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  for (int i = 0; i < 50; ++i) {
    const Ticket lease = pool.take();
    std::stop_source stop;
    Acquirer waiter(pool, {.stop = stop.get_token()});
    pool.await_waiting(1);
    pool->release(lease);
    stop.request_stop();
    const Found found = waiter.end();
    ASSERT_FALSE(found.error);
    pool->release(found.ticket);
  }
}

// Whoever is first: either the waiter has the slot, or it is idle.
TYPED_TEST(SlotPoolWait, AStopThatRacesAGrantLosesNoSlot) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  for (int i = 0; i < 300; ++i) {
    const Ticket lease = pool.take();
    std::stop_source stop;
    Acquirer waiter(pool, {.stop = stop.get_token()});
    pool.await_waiting(1);
    std::thread stopper([&] { stop.request_stop(); });
    pool->release(lease);
    stopper.join();
    const Found found = waiter.end();
    if (found.error) {
      EXPECT_EQ(found.error, Errc::canceled);
      EXPECT_EQ(pool->counts().idle, 1u);
    } else {
      pool->release(found.ticket);
    }
  }
}

// As above with a deadline. On the manual clock, time passes at the moment of the release.
TYPED_TEST(SlotPoolWait, ADeadlineThatRacesAGrantLosesNoSlot) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  for (int i = 0; i < 300; ++i) {
    const Ticket lease = pool.take();
    Acquirer waiter(pool, {.deadline = TypeParam::now() + std::chrono::microseconds(60 + i % 100)});
    std::thread clock([] { test::ManualClock::advance(200us); });
    pool->release(lease);
    clock.join();
    const Found found = waiter.end();
    if (found.error) {
      EXPECT_EQ(found.error, Errc::timeout);
      EXPECT_EQ(pool->counts().idle, 1u);
    } else {
      pool->release(found.ticket);
    }
  }
}

// ---- self-deadlock ---------------------------------------------------------------------------

// Every lease lives in a call that this thread is in: they end when it returns from here.
TYPED_TEST(SlotPoolWait, AWaitThatOnlyItsOwnThreadCouldEndIsRefused) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(2);
  const Ticket one = pool.take(0);
  const Ticket two = pool.take(1);
  for (const Ticket lease : {one, two}) {
    pool->slot(lease.slot()).begin_lease(current_thread_id(), {}, 0);
    pool->slot(lease.slot()).adopt_for_call(current_thread_id());
    EXPECT_EQ(pool->slot(lease.slot()).holder(), current_thread_id());
  }
  const Found found = pool.acquire(Deadline::never());
  EXPECT_EQ(found.error, Errc::would_deadlock);
  EXPECT_EQ(pool->counts().waiting, 0u);

  EXPECT_EQ(pool.acquire(Deadline::now()).error, Errc::timeout) << "that one would not wait";
  for (const Ticket lease : {one, two}) {
    pool->slot(lease.slot()).end_lease(0);
    pool->release(lease);
  }
}

// One lease is the thread's for certain, of the other it is only the last user. Somebody else may
// have that one in hand, and has: it comes back. Seen failing as would_deadlock, when the last user
// was taken for the only one.
TYPED_TEST(SlotPoolWait, TheLastUserOfALeaseMayWaitForIt) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket certain = pool.take();
  const Ticket handed_on = pool.take();
  for (const Ticket lease : {certain, handed_on}) {
    pool->slot(lease.slot()).begin_lease(current_thread_id(), {}, 0);
  }
  pool->slot(certain.slot()).adopt_for_call(current_thread_id());
  std::thread other([&] {
    pool.await_waiting(1);
    pool->slot(handed_on.slot()).end_lease(0);
    pool->release(handed_on);
  });
  const Found found = pool.acquire(Deadline::never());
  other.join();
  ASSERT_FALSE(found.error) << to_string(*found.error);
  EXPECT_EQ(found.ticket.slot(), handed_on.slot());
  pool->release(found.ticket);
  pool->slot(certain.slot()).end_lease(0);
  pool->release(certain);
}

// Who waits, and what it is told.
struct Doubter : Search {
  std::atomic<int> told{0};
  static void note(Search& search) noexcept { ++static_cast<Doubter&>(search).told; }
};

using Manual = test::ManualSync;

// The thread waits, and may well wait for itself: it hears of that, once, and goes on waiting. Then
// it is served after all.
TEST(SlotPoolDoubt, AWaitThatLooksLikeOneForItselfIsToldOfOnceAndGoesOn) {
  TestPool<Manual> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Doubter doubter;
  doubter.suspect = &Doubter::note;
  Found found;
  std::thread waiter([&] {
    pool->slot(lease.slot()).begin_lease(current_thread_id(), {}, 0);
    found = pool.acquire(doubter);
  });
  test::ManualClock::await_sleepers(1);
  EXPECT_EQ(doubter.told, 0) << "not at once: as a rule somebody gives one back soon";
  test::ManualClock::advance(kSuspicious);
  test::await("the suspicion", [&] { return doubter.told == 1; });
  for (int i = 0; i < 3; ++i) {
    test::ManualClock::await_sleepers(1);
    test::ManualClock::advance(kSuspicious);
  }
  EXPECT_EQ(doubter.told, 1);
  EXPECT_EQ(pool->counts().waiting, 1u);
  pool->slot(lease.slot()).end_lease(0);
  pool->release(lease);
  waiter.join();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// Somebody else has used the lease meanwhile, or had before: nothing looks odd.
TEST(SlotPoolDoubt, AWaitForALeaseThatOthersUseIsNotSuspicious) {
  for (const bool from_the_beginning : {true, false}) {
    TestPool<Manual> pool({.max_size = 1, .gates = 1});
    pool.open(1);
    const Ticket lease = pool.take();
    Doubter doubter;
    doubter.suspect = &Doubter::note;
    Found found;
    std::thread waiter([&] {
      const std::int32_t me = current_thread_id();
      pool->slot(lease.slot()).begin_lease(from_the_beginning ? me + 1 : me, {}, 0);
      found = pool.acquire(doubter);
    });
    test::ManualClock::await_sleepers(1);
    pool->slot(lease.slot()).adopt(current_thread_id());
    test::ManualClock::advance(kSuspicious);
    test::ManualClock::await_sleepers(1);
    pool->slot(lease.slot()).end_lease(0);
    pool->release(lease);
    waiter.join();
    ASSERT_FALSE(found.error);
    EXPECT_EQ(doubter.told, 0);
    pool->release(found.ticket);
  }
}

// Its deadline comes first: that is the word it gets, and nobody is told twice.
TEST(SlotPoolDoubt, ADeadlineBeforeTheSuspicionEndsTheWait) {
  TestPool<Manual> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Doubter doubter;
  doubter.suspect = &Doubter::note;
  doubter.deadline = Deadline(test::ManualClock::now() + kSuspicious / 2);
  Found found;
  std::thread waiter([&] {
    pool->slot(lease.slot()).begin_lease(current_thread_id(), {}, 0);
    found = pool.acquire(doubter);
  });
  test::ManualClock::await_sleepers(1);
  test::ManualClock::advance(kSuspicious);
  waiter.join();
  EXPECT_EQ(found.error, Errc::timeout);
  EXPECT_EQ(doubter.told, 0);
  pool->slot(lease.slot()).end_lease(0);
  pool->release(lease);
}

TYPED_TEST(SlotPoolWait, AWaitThatAnybodyElseCouldEndIsNoDeadlock) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1, .max_opening = 2});
  const auto waits_and_is_served_by = [&](const char* what, auto&& serve) {
    SCOPED_TRACE(what);
    std::thread other([&] {
      pool.await_waiting(1);
      serve();
    });
    const Found found = pool.acquire(Deadline::never());
    other.join();
    ASSERT_FALSE(found.error) << to_string(*found.error);
    pool->release(found.ticket);
  };
  pool.open(1);
  const Ticket mine = pool.take();
  pool->slot(mine.slot()).begin_lease(current_thread_id(), {}, 0);

  waits_and_is_served_by("an opener, from an empty slot", [&] { pool.open_one(); });
  const Ticket second = pool.take();
  pool->slot(second.slot()).begin_lease(current_thread_id() + 1, {}, 0);
  waits_and_is_served_by("another holder", [&] {
    pool->slot(second.slot()).end_lease(0);
    pool->release(second);
  });
  const Ticket discarded = pool.take();
  pool->discard(discarded);
  waits_and_is_served_by("maintenance, then an opener", [&] {
    pool.retire_all();
    pool.open_one();
  });
  const Ticket checked = pool.take();
  pool->set_aside(checked);
  pool->find_idle(checked.gate());  // gives the admission back: nothing is idle
  waits_and_is_served_by("maintenance", [&] { pool->put_back(checked.slot()); });

  pool->slot(mine.slot()).end_lease(0);
  pool->release(mine);
}

}  // namespace
}  // namespace tidegate::core
