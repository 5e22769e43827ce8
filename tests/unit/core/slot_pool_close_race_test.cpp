// The races of close that are drawn in the code, walked step by step through the test points.
#include <tidegate/core/slot_pool.hpp>

#if defined(TIDEGATE_CHECKED)

#include <atomic>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

#include <support/test_points.hpp>
#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using test::Acquirer;
using test::Hold;
using test::TestPool;

template <class Sync>
class SlotPoolCloseRace : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolCloseRace, test::AllSyncs, test::SyncNames);

// ---- close -----------------------------------------------------------------------------------

//     acquirer                      closer
//     admitted
//                                   fences every gate
//     claims an idle slot
//                                   (its sweep passes that slot by: it is out)
//     settles: closed
// Planted: settle() without its look at the gate. A lease begins after the fence (I4).
TYPED_TEST(SlotPoolCloseRace, AnAcquireThatFindsItsSlotAfterTheFenceIsToldClosed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const auto admitted = pool->enter();
  ASSERT_EQ(admitted.entry, Entry::admitted);
  Hold fenced("close.fenced");
  std::thread closer([&] { pool->close(); });
  fenced.await();
  Search search;
  const Found found = pool->find(admitted.ticket.gate(), search);
  EXPECT_EQ(found.error, Errc::closed);
  fenced.release();
  closer.join();
  EXPECT_EQ(pool.slots_in(SlotState::retiring), 1u);
  EXPECT_TRUE(pool->drained());
}

//     closer                        acquirer
//     closes gate 0
//                                   finds gate 0 closed
//                                   tries again, at gate 1
//     closes gate 1
// Planted: enter(), settle() and still_open() that do not end the fence. What was told Closed is
// admitted, and gets a lease (I4, I9).
TYPED_TEST(SlotPoolCloseRace, WhoIsToldClosedFindsEveryGateClosed) {
  enum class Told { at_the_gate, with_a_slot, after_a_check };
  for (const Told told : {Told::at_the_gate, Told::with_a_slot, Told::after_a_check}) {
    TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
    pool.open(2);
    Ticket ticket;
    if (told == Told::with_a_slot) ticket = pool->enter().ticket;
    if (told == Told::after_a_check) ticket = pool.take();
    Hold fencing("close.fencing");
    std::thread closer([&] { pool->close(); });
    fencing.await();
    EXPECT_FALSE(pool->closed());
    Search search;
    switch (told) {
      case Told::at_the_gate: EXPECT_EQ(pool->enter().entry, Entry::closed); break;
      case Told::with_a_slot:
        EXPECT_EQ(pool->find(ticket.gate(), search).error, Errc::closed);
        break;
      case Told::after_a_check: EXPECT_FALSE(pool->still_open(ticket)); break;
    }
    EXPECT_TRUE(pool->closed());
    TypeParam::gate_of_thread() = 1;
    EXPECT_EQ(pool->enter().entry, Entry::closed);
    TypeParam::gate_of_thread() = 0;
    fencing.release();
    closer.join();
    EXPECT_TRUE(pool->drained());
  }
}

TYPED_TEST(SlotPoolCloseRace, AnAcquireThatHadItsSlotInHandAtTheFenceIsToldClosed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  Hold before_settle("acquire.before_settle");
  Acquirer acquirer(pool);
  before_settle.await();
  pool->close();
  EXPECT_EQ(pool.slots_in(SlotState::out), 1u) << "the sweep passes it by";
  EXPECT_FALSE(pool->drained());
  before_settle.release();
  EXPECT_EQ(acquirer.end().error, Errc::closed);
  EXPECT_TRUE(pool->drained());
  EXPECT_EQ(pool.slots_in(SlotState::retiring), 1u);
}

TYPED_TEST(SlotPoolCloseRace, AFindIdleThatHadItsSlotInHandAtTheFenceHasNothing) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  Hold before_settle("acquire.before_settle");
  std::thread acquirer(
      [&] { EXPECT_FALSE(pool->find_idle(pool->enter().ticket.gate()).has_value()); });
  before_settle.await();
  pool->close();
  before_settle.release();
  acquirer.join();
  EXPECT_TRUE(pool->drained());
}

// A waiter that was granted a slot and then fenced off gives it up for good.
TYPED_TEST(SlotPoolCloseRace, AGrantThatTheFenceOvertakesIsToldClosed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Hold before_settle("acquire.before_settle");
  Acquirer waiter(pool);
  pool.await_waiting(1);
  pool->release(lease);
  before_settle.await();
  pool->close();
  before_settle.release();
  EXPECT_EQ(waiter.end().error, Errc::closed);
  EXPECT_TRUE(pool->drained());
}

// A waiter that comes between the fence and the closer's roll call is in the list when it is made.
TYPED_TEST(SlotPoolCloseRace, AWaiterThatComesRightAfterTheFenceIsToldClosed) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  const auto admitted = pool->enter();
  Hold fenced("close.fenced");
  std::thread closer([&] { pool->close(); });
  fenced.await();
  std::thread waiter([&] {
    Search search;
    EXPECT_EQ(pool->find(admitted.ticket.gate(), search).error, Errc::closed);
  });
  pool.await_waiting(1);
  fenced.release();
  waiter.join();
  closer.join();
  pool->release(lease);
}

//     closer                        another closer
//     its sweep takes a slot
//                                   finds nothing left, all drained: returns
//     retires the slot
// Planted: sweep() without its mutex. The other closer's caller thinks that everything has ended.
TYPED_TEST(SlotPoolCloseRace, NoCloserReturnsWhileAnotherHasASlotInHand) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  Hold sweeping("close.sweeping");
  std::thread first([&] { pool->close(); });
  sweeping.await();
  std::atomic<std::int32_t> id{0};
  std::atomic<bool> done{false};
  std::thread other([&] {
    id = current_thread_id();
    pool->close();
    EXPECT_TRUE(pool->await_drained(Deadline::never()));
    EXPECT_EQ(pool.slots_in(SlotState::retiring), 1u);
    done = true;
  });
  test::await("the other closer", [&] { return done || (id != 0 && test::asleep(id)); });
  sweeping.release();
  first.join();
  other.join();
}

// ---- the life of the core --------------------------------------------------------------------

//     leaver                               closer
//     refs+1, leases-1
//                                          sees zero everywhere: drained; the pool goes
//     looks, wakes, refs-1: frees the core
// Planted: leave() without its pin. The core goes under the leaver; ASan says so, and freed() is 1
// too early.
TYPED_TEST(SlotPoolCloseRace, TheLastLeaverKeepsTheCoreUntilItIsDoneWithIt) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  pool->close();
  Hold before_check("leave.before_drain_check");
  std::thread leaver([&] { pool->release(lease); });
  before_check.await();
  EXPECT_TRUE(pool->await_drained(Deadline::never()));
  pool.retire_all();
  pool.let_go();
  EXPECT_EQ(pool.freed(), 0);
  before_check.release();
  leaver.join();
  EXPECT_EQ(pool.freed(), 1);
}

//     closer                               leavers
//     refs + bias; orphaned on all gates
//                                          refs+1, leases-1, saw orphaned: refs-2, each
//     refs - bias + leases seen
// Planted: orphan_leases() without its bias. The leavers' second unref frees the core under the
// closer.
TYPED_TEST(SlotPoolCloseRace, LeasesThatComeBackWhileTheyAreOrphanedFreeNothingTooEarly) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 2});
  pool.open(3);
  const Ticket early[] = {pool.take(0), pool.take(1)};
  const Ticket late = pool.take(1);
  auto* core = &*pool;
  core->close();
  Hold before_unbias("orphan.before_unbias");
  std::thread closer([&] { EXPECT_EQ(core->orphan_leases(), 3u); });
  before_unbias.await();
  for (const Ticket lease : early) core->release(lease);
  EXPECT_EQ(pool.freed(), 0);
  before_unbias.release();
  closer.join();
  EXPECT_EQ(pool.freed(), 0);
  pool.let_go();
  EXPECT_EQ(pool.freed(), 0) << "one is still out";
  core->release(late);
  EXPECT_EQ(pool.freed(), 1);
  EXPECT_EQ(pool.finished_late().size(), 3u);
}

// A leaver that decremented before its gate was marked is no orphan; it holds the core by its pin.
TYPED_TEST(SlotPoolCloseRace, ALeaverThatWasFasterThanTheMarkGivesBackOneReferenceOnly) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  const Ticket fast = pool.take();
  const Ticket late = pool.take();
  auto* core = &*pool;
  core->close();
  Hold before_check("leave.before_drain_check");
  std::thread leaver([&] { core->release(fast); });
  before_check.await();
  EXPECT_EQ(core->orphan_leases(), 1u);
  pool.retire_all();
  pool.let_go();
  core->release(late);
  EXPECT_EQ(pool.freed(), 0);
  before_check.release();
  leaver.join();
  EXPECT_EQ(pool.freed(), 1);
}

}  // namespace
}  // namespace tidegate::core

#endif  // TIDEGATE_CHECKED
