// Close: the fence, what becomes of waiters, openings, idle slots and leases, and who frees the
// core.
#include <tidegate/core/slot_pool.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

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
class SlotPoolClose : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolClose, test::AllSyncs, test::SyncNames);

TYPED_TEST(SlotPoolClose, AnEmptyPoolIsDrainedAtOnce) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  EXPECT_FALSE(pool->closed());
  EXPECT_FALSE(pool->drained()) << "only a closed pool is";
  pool->close();
  EXPECT_TRUE(pool->closed());
  EXPECT_TRUE(pool->drained());
  EXPECT_TRUE(pool->await_drained(Deadline::now()));
  EXPECT_TRUE(pool->await_drained(Deadline::never()));
}

// I4. Planted: set(kClosed) on the first gate only.
TYPED_TEST(SlotPoolClose, NobodyEntersThroughAnyGate) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 4});
  pool.open(4);
  pool->close();
  for (unsigned gate = 0; gate < 4; ++gate) {
    EXPECT_EQ(pool.acquire(Deadline::never(), gate).error, Errc::closed);
  }
}

// Others may shorten a drain that is under way. Planted: poke_drain() that wakes nobody.
TYPED_TEST(SlotPoolClose, ADrainAsksForItsDeadlineAgainWhenItIsPoked) {
  TestPool<TypeParam> pool({.max_size = 1});
  pool.open(1);
  const Ticket lease = pool.take(0);
  pool->close();
  std::atomic<bool> shortened{false};
  std::atomic<int> asked{0};
  std::atomic<bool> drained{true};
  std::thread closer([&] {
    drained = pool->await_drained(
        [&] {
          ++asked;
          return shortened ? Deadline::now() : Deadline::never();
        },
        0);
  });
  test::await("the closer to ask", [&] { return asked > 0; });
  shortened = true;
  pool->poke_drain();
  closer.join();
  EXPECT_FALSE(drained);
  pool->release(lease);
}

// For who closes with leases of its own. Planted: a leave that tells of zero only.
TYPED_TEST(SlotPoolClose, ADrainMayBeContentWithLeasesThatStay) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(2);
  const Ticket stays = pool.take(0);
  const Ticket goes = pool.take(1);
  pool->close();
  EXPECT_FALSE(pool->drained(1));
  std::thread closer(
      [&] { EXPECT_TRUE(pool->await_drained([] { return Deadline::never(); }, 1)); });
  pool->release(goes);
  closer.join();
  EXPECT_TRUE(pool->drained(1));
  EXPECT_FALSE(pool->drained());
  pool->release(stays);
}

TYPED_TEST(SlotPoolClose, RetiresWhatIsDockedAndWhatIsIdle) {
  TestPool<TypeParam> pool({.max_size = 4, .gates = 2});
  pool.open(4);
  const Ticket docked[] = {pool.take(0), pool.take(1)};
  for (const Ticket lease : docked) pool->release(lease);
  EXPECT_EQ(pool.slots_in(SlotState::idle), 2u);
  pool->close();
  EXPECT_EQ(pool.slots_in(SlotState::retiring), 4u);
  EXPECT_EQ(pool.retires_wanted(), 4);
  EXPECT_EQ(pool.retire_all().size(), 4u);
  EXPECT_EQ(pool.slots_in(SlotState::empty), 4u);
}

// Planted: close() that does not tell waiters. They sleep for good.
TYPED_TEST(SlotPoolClose, TellsEveryWaiter) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 2});
  pool.open(1);
  const Ticket lease = pool.take();
  std::vector<std::unique_ptr<Acquirer<TypeParam>>> waiters;
  for (unsigned i = 0; i < 5; ++i) {
    waiters.push_back(std::make_unique<Acquirer<TypeParam>>(
        pool, Search{.deadline = i % 2 == 0 ? Deadline::never() : Deadline(TypeParam::now() + 1h)},
        i % 2));
  }
  pool.await_waiting(5);
  pool->close();
  for (auto& waiter : waiters) {
    const Found found = waiter->end();
    EXPECT_EQ(found.error, Errc::closed);
    EXPECT_TRUE(found.waited);
  }
  EXPECT_FALSE(pool->drained()) << "one lease is out";
  pool->release(lease);
  EXPECT_TRUE(pool->drained());
}

TYPED_TEST(SlotPoolClose, IsIdempotentAndMayBeCalledByManyAtOnce) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  pool.open(3);
  test::run_threads(3, [&](int) {
    pool->close();
    EXPECT_TRUE(pool->await_drained(Deadline::never()));
  });
  EXPECT_EQ(pool.retires_wanted(), 3);
}

// ---- openings --------------------------------------------------------------------------------

TYPED_TEST(SlotPoolClose, DropsOpeningsThatNobodyHasBegun) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1, .max_opening = 3});
  pool->grow_to(3);
  EXPECT_EQ(pool->counts().connecting, 3u);
  pool->close();
  EXPECT_FALSE(pool->take_to_open().has_value());
  EXPECT_EQ(pool.slots_in(SlotState::empty), 3u);
}

// The reference published a connect that finished after the fence, and its close hung for ever.
// Planted: make_available() without its look at closed_. The slot becomes idle in a closed pool.
TYPED_TEST(SlotPoolClose, AnOpeningThatFinishesAfterTheFenceIsRetired) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->grow_to(1);
  const auto slot = pool->take_to_open();
  ASSERT_TRUE(slot.has_value());
  pool->close();
  EXPECT_TRUE(pool->await_drained(Deadline::never())) << "an opening is no lease";
  pool.opened(*slot);
  EXPECT_EQ(pool->state(*slot), SlotState::retiring);
  EXPECT_EQ(pool.retires_wanted(), 1);
}

TYPED_TEST(SlotPoolClose, AnOpeningThatFailsAfterTheFenceIsNotRepeated) {
  for (const OpenFailure why :
       {OpenFailure::unavailable, OpenFailure::rejected, OpenFailure::aborted}) {
    TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
    pool->grow_to(1);
    const auto slot = pool->take_to_open();
    ASSERT_TRUE(slot.has_value());
    pool->close();
    pool->open_failed(*slot, why);
    EXPECT_EQ(pool.opens_wanted(), 1);
    EXPECT_EQ(pool->state(*slot), SlotState::empty);
  }
}

TYPED_TEST(SlotPoolClose, NothingGrowsAfterTheFence) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket kept = pool.take();
  pool->close();
  pool.retire_all();
  pool->grow_to(2);
  EXPECT_FALSE(pool->reserve_to_open().has_value());
  pool.forget(kept);
  EXPECT_EQ(pool.opens_wanted(), 0);
}

TYPED_TEST(SlotPoolClose, WhatMaintenancePutsBackAfterTheFenceIsRetired) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  ASSERT_TRUE(pool->try_check(0));
  pool->close();
  pool->put_back(0);
  EXPECT_EQ(pool->state(0), SlotState::retiring);
}

// ---- leases ----------------------------------------------------------------------------------

TYPED_TEST(SlotPoolClose, ALeaseThatComesBackAfterTheFenceIsRetired) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  pool.open(3);
  const Ticket released = pool.take();
  const Ticket discarded = pool.take();
  const Ticket forgotten = pool.take();
  pool->close();
  pool->release(released);
  pool->discard(discarded);
  EXPECT_FALSE(pool->drained());
  pool.forget(forgotten);
  EXPECT_TRUE(pool->drained());
  EXPECT_EQ(pool.retires_wanted(), 2);
  EXPECT_EQ(pool.retire_all().size(), 2u);
}

// Planted: leave() without notify_all(). The closer sleeps for good.
TYPED_TEST(SlotPoolClose, WaitsForTheLastLease) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
  pool.open(2);
  const Ticket first = pool.take(0);
  const Ticket second = pool.take(1);
  std::atomic<bool> drained{false};
  pool->close();
  std::thread closer([&] {
    EXPECT_TRUE(pool->await_drained(Deadline::never()));
    drained = true;
  });
  pool->release(first);
  std::this_thread::yield();
  EXPECT_FALSE(drained);
  pool->release(second);
  closer.join();
  EXPECT_TRUE(drained);
}

TYPED_TEST(SlotPoolClose, GivesUpWaitingAtItsDeadline) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  pool->close();
  EXPECT_FALSE(pool->await_drained(Deadline::now()));
  EXPECT_FALSE(pool->await_drained(TypeParam::now() - 1s));
  pool->release(lease);
  EXPECT_TRUE(pool->await_drained(Deadline::now()));
}

// Many leavers at once, each of which may be the last: the closer is woken, always.
TYPED_TEST(SlotPoolClose, ManyLeasesThatComeBackAtOnceWakeTheCloser) {
  for (int round = 0; round < 100; ++round) {
    TestPool<TypeParam> pool({.max_size = 4, .gates = 4});
    pool.open(4);
    std::vector<Ticket> leases;
    for (unsigned gate = 0; gate < 4; ++gate) leases.push_back(pool.take(gate));
    test::StartLine start(3);
    test::run_threads(3, [&](int thread) {
      start.arrive_and_wait();
      if (thread == 0) {
        pool->close();
        EXPECT_TRUE(pool->await_drained(Deadline::never()));
      } else {
        pool->release(leases[static_cast<std::size_t>(thread) - 1]);
        pool->discard(leases[static_cast<std::size_t>(thread) + 1]);
      }
    });
  }
}

// Acquirers, releasers and a closer. What was told closed stays closed; everything ends once.
TYPED_TEST(SlotPoolClose, RacesAcquiresAndReleasesWithoutLosingAnything) {
  for (int round = 0; round < 100; ++round) {
    TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
    pool.open(2);
    test::StartLine start(4);
    std::atomic<bool> fenced{false};
    test::run_threads(4, [&](int thread) {
      start.arrive_and_wait();
      if (thread == 0) {
        pool->close();
        fenced = true;
        EXPECT_TRUE(pool->await_drained(Deadline::never()));
        return;
      }
      for (bool told = false; !told;) {
        const bool was_fenced = fenced;
        const Found found = pool.acquire(Deadline::never(), static_cast<unsigned>(thread) % 2);
        told = found.error == Errc::closed;
        if (!told) {
          ASSERT_FALSE(found.error);
          EXPECT_FALSE(was_fenced) << "a lease began after the fence (I4)";
          pool->release(found.ticket);
        }
      }
    });
  }
}

// ---- the life of the core --------------------------------------------------------------------

TYPED_TEST(SlotPoolClose, TheCoreGoesWithThePoolWhenNothingIsOut) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->close();
  EXPECT_EQ(pool.freed(), 0);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 1);
}

// Planted: orphan_leases() that does not count what is out. The core is freed under two leases.
TYPED_TEST(SlotPoolClose, TheLastOfTheOrphanedLeasesFreesTheCore) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 2});
  pool.open(3);
  const Ticket leases[] = {pool.take(0), pool.take(1), pool.take(0)};
  pool->close();
  EXPECT_FALSE(pool->await_drained(Deadline::now()));
  EXPECT_EQ(pool->orphan_leases(), 3u);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 0);

  std::thread::id releaser;
  std::thread([&] {
    releaser = std::this_thread::get_id();
    pool->release(leases[0]);
  }).join();
  EXPECT_EQ(pool.freed(), 0);
  pool->discard(leases[1]);
  EXPECT_EQ(pool.freed(), 0);
  pool.forget(leases[2]);
  EXPECT_EQ(pool.freed(), 1);

  ASSERT_EQ(pool.finished_late().size(), 2u);
  EXPECT_EQ(pool.finished_late()[0], (std::pair{leases[0].slot(), releaser}))
      << "on the thread that brought it back";
  EXPECT_EQ(pool.finished_late()[1], (std::pair{leases[1].slot(), std::this_thread::get_id()}));
  EXPECT_EQ(pool.retires_wanted(), 0) << "there is no maintenance any more";
}

TYPED_TEST(SlotPoolClose, AnOrphanedLeaseThatIsBackBeforeThePoolGoesFreesNothing) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket early = pool.take();
  const Ticket late = pool.take();
  pool->close();
  pool->release(early);  // before orphan_leases(): maintenance's
  EXPECT_EQ(pool->orphan_leases(), 1u);
  EXPECT_EQ(pool.retire_all().size(), 1u);
  pool->release(late);
  EXPECT_TRUE(pool->drained());
  EXPECT_EQ(pool.finished_late().size(), 1u);
  EXPECT_EQ(pool.freed(), 0);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 1);
}

TYPED_TEST(SlotPoolClose, OrphaningNothingFreesNothing) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->close();
  EXPECT_EQ(pool->orphan_leases(), 0u);
  EXPECT_EQ(pool.freed(), 0);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 1);
}

TYPED_TEST(SlotPoolClose, AThreadThatIsDetachedKeepsTheCore) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool->close();
  pool->ref();
  auto* core = &*pool;
  pool.let_go();
  EXPECT_EQ(pool.freed(), 0);
  core->unref();
  EXPECT_EQ(pool.freed(), 1);
}

// Leases come back while close gives up on them, and the pool goes at the same time.
TYPED_TEST(SlotPoolClose, OrphaningRacesLeasesThatComeBack) {
  for (int round = 0; round < 200; ++round) {
    TestPool<TypeParam> pool({.max_size = 4, .gates = 2});
    pool.open(4);
    std::vector<Ticket> leases;
    for (unsigned i = 0; i < 4; ++i) leases.push_back(pool.take(i % 2));
    auto* core = &*pool;
    core->close();
    test::StartLine start(3);
    test::run_threads(3, [&](int thread) {
      start.arrive_and_wait();
      if (thread == 0) {
        if (!core->await_drained(Deadline::now())) core->orphan_leases();
        pool.retire_all();
        pool.let_go();
        return;
      }
      for (int i = 0; i < 2; ++i) {
        core->release(leases[static_cast<std::size_t>((thread - 1) * 2 + i)]);
      }
    });
    EXPECT_EQ(pool.freed(), 1);
  }
}

// ---- closed beside the other outcomes (I9); on the manual clock -------------------------------

TEST(SlotPoolCloseVerdict, AWaiterWhoseDeadlinePassesAfterTheFenceWasToldClosed) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool, {.deadline = ManualClock::now() + 1s});
  ManualClock::await_sleepers(1);
  pool->close();
  ManualClock::advance(2s);
  EXPECT_EQ(waiter.end().error, Errc::closed);
  pool->release(lease);
}

TEST(SlotPoolCloseVerdict, AWaiterWhoseDeadlinePassedBeforeTheFenceTimedOut) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer waiter(pool, {.deadline = ManualClock::now() + 1s});
  ManualClock::await_sleepers(1);
  ManualClock::advance(2s);
  const Found found = waiter.end();
  pool->close();
  EXPECT_EQ(found.error, Errc::timeout);
  pool->release(lease);
}

TEST(SlotPoolCloseVerdict, ClosedComesBeforeEverythingElseThatRefuses) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1, .max_waiters = 1});
  const auto admitted = pool->enter();
  pool->grow_to(1);
  pool.fail_one(OpenFailure::rejected, ManualClock::now() + 1h);
  pool->close();
  Search search{.deadline = Deadline::now()};
  EXPECT_EQ(pool->find(admitted.ticket.gate(), search).error, Errc::closed);
}

TEST(SlotPoolCloseVerdict, TheCloserSleepsUntilItsDeadline) {
  TestPool<ManualSync> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  pool->close();
  std::atomic<bool> drained{true};
  std::thread closer([&] { drained = pool->await_drained(ManualClock::now() + 5s); });
  ManualClock::await_sleepers(1);
  ManualClock::advance(4s);
  ManualClock::await_sleepers(1);
  ManualClock::advance(1s);
  closer.join();
  EXPECT_FALSE(drained);
  pool->release(lease);
}

}  // namespace
}  // namespace tidegate::core
