// The barge window, on the manual clock: a waiter sleeps in it without insisting; after it,
// releases are handed over in FIFO order.
#include <tidegate/core/slot_pool.hpp>

#include <stop_token>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::ManualClock;
using test::ManualSync;
using test::TestPool;

constexpr auto kWindow = 50us;

// A pool of one, leased, and a waiter in its window.
class BargeWindow : public testing::Test {
 protected:
  using Waiter = Acquirer<ManualSync>;

  BargeWindow() {
    pool.open(1);
    lease = pool.take();
  }
  // Returns when `count` threads sleep in all.
  static void await_asleep(std::size_t count) { ManualClock::await_sleepers(count); }

  TestPool<ManualSync> pool{{.max_size = 1, .gates = 1, .barge_window = kWindow}};
  Ticket lease;
};

TEST_F(BargeWindow, WhileItLastsReleasesPassByOnTheWarmPath) {
  Waiter waiter(pool);
  await_asleep(1);
  EXPECT_EQ(pool->counts().waiting, 1u);
  pool->release(lease);
  EXPECT_FALSE(waiter.done());
  for (int i = 0; i < 5; ++i) {
    const auto barger = pool->enter();
    ASSERT_EQ(barger.entry, Entry::docked) << "it docked, right past the waiter";
    pool->release(barger.ticket);
  }
  EXPECT_FALSE(waiter.done());
  ManualClock::advance(kWindow);
  pool->release(waiter.end().ticket);
}

// Planted: sleep() without its second look (take_any_dock, scan). The waiter sleeps beside an idle
// slot (I3).
TEST_F(BargeWindow, WhenItEndsTheWaiterFindsWhatWasDockedMeanwhile) {
  Waiter waiter(pool);
  await_asleep(1);
  pool->release(lease);
  ManualClock::advance(kWindow);
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  EXPECT_TRUE(found.waited);
  pool->release(found.ticket);
}

TEST_F(BargeWindow, WhenItEndsTheWaiterFindsWhatWasMadeIdleMeanwhile) {
  TestPool<ManualSync> two({.max_size = 2, .gates = 1, .barge_window = kWindow});
  two.open(2);
  const Ticket one = two.take();
  const Ticket other = two.take();
  Waiter first(two);
  await_asleep(1);
  Waiter second(two);
  await_asleep(2);
  two->release(one);
  two->release(other);
  EXPECT_EQ(two.slots_in(SlotState::idle), 1u);
  ManualClock::advance(kWindow);
  two->release(first.end().ticket);
  two->release(second.end().ticket);
  pool->release(lease);
}

TEST_F(BargeWindow, AfterItAReleaseIsHandedOver) {
  Waiter waiter(pool);
  await_asleep(1);
  ManualClock::advance(kWindow);
  await_asleep(1);
  pool->release(lease);
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// The older one is not strict, yet it is the older one.
TEST_F(BargeWindow, AStrictWaitersPresenceServesTheOldestOfAll) {
  Waiter older(pool);
  await_asleep(1);
  Waiter insisting(pool, {.resumed = true, .since = ManualClock::now()});  // goes to the head
  await_asleep(2);
  pool->release(lease);
  const Ticket first = insisting.end().ticket;
  Waiter another(pool, {.resumed = true, .since = ManualClock::now()});
  await_asleep(2);
  pool->release(first);
  const Ticket second = another.end().ticket;
  pool->release(second);  // nobody insists any more: it docks
  EXPECT_FALSE(older.done());
  ManualClock::advance(kWindow);
  pool->release(older.end().ticket);
}

TEST_F(BargeWindow, ASlotThatMaintenancePutsBackGoesToTheWaiterAtOnce) {
  pool->release(lease);
  const auto checked = pool->try_check_docked(0);
  ASSERT_TRUE(checked.has_value());
  Waiter waiter(pool);
  await_asleep(1);
  pool->put_back(*checked);
  const Found found = waiter.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TEST_F(BargeWindow, CapacityThatComesFreeIsAskedForAtOnce) {
  Waiter waiter(pool);
  await_asleep(1);
  pool->discard(lease);
  pool.retire_all();
  EXPECT_EQ(pool.opens_wanted(), 1);
  ASSERT_TRUE(pool.open_one());
  pool->release(waiter.end().ticket);
}

TEST_F(BargeWindow, AnEarlierDeadlineEndsItsWaitInTime) {
  Waiter waiter(pool, {.deadline = ManualClock::now() + kWindow / 2});
  await_asleep(1);
  ManualClock::advance(kWindow / 2);
  const Found found = waiter.end();
  EXPECT_EQ(found.error, Errc::timeout);
  EXPECT_EQ(pool->counts().waiting, 0u);
  pool->release(lease);
  const auto entered = pool->enter();
  EXPECT_EQ(entered.entry, Entry::docked);
  pool->release(entered.ticket);
}

TEST_F(BargeWindow, AStopEndsAWaitInTheWindow) {
  std::stop_source stop;
  Waiter waiter(pool, {.stop = stop.get_token()});
  await_asleep(1);
  stop.request_stop();
  EXPECT_EQ(waiter.end().error, Errc::canceled);
  EXPECT_EQ(pool->counts().waiting, 0u);
  pool->release(lease);
}

TEST_F(BargeWindow, CloseEndsAWaitInTheWindow) {
  Waiter waiter(pool);
  await_asleep(1);
  pool->close();
  EXPECT_EQ(waiter.end().error, Errc::closed);
  pool->release(lease);
}

TEST_F(BargeWindow, IsNotGrantedWhileAResourceIsOnItsWay) {
  TestPool<ManualSync> growing({.max_size = 2, .gates = 1, .barge_window = kWindow});
  growing.open(1);
  const Ticket out = growing.take();
  Waiter waiter(growing);
  await_asleep(1);
  EXPECT_EQ(growing.opens_wanted(), 1) << "it asked without waiting for its window to end";
  growing->release(out);  // and is strict: this is handed over
  growing->release(waiter.end().ticket);
  while (growing.open_one()) {
  }
  pool->release(lease);
}

// When holds are long the window would only cost a second wake-up.
TEST_F(BargeWindow, IsNotGrantedBehindAStrictWaiterThatHasWaitedForLong) {
  Waiter old(pool);
  await_asleep(1);
  ManualClock::advance(kWindow);
  await_asleep(1);
  ManualClock::advance(4 * kWindow);

  std::stop_source stop;
  Waiter newcomer(pool);
  await_asleep(2);
  pool->release(lease);
  const Ticket first = old.end().ticket;
  pool->release(first);  // the newcomer alone is left, and insists
  pool->release(newcomer.end().ticket);
}

TEST_F(BargeWindow, ADisarmedPoolIsArmedAgainByTheNextStrictWaiter) {
  for (int i = 0; i < 3; ++i) {
    Waiter waiter(pool);
    await_asleep(1);
    ManualClock::advance(kWindow);
    await_asleep(1);
    pool->release(lease);
    pool->release(waiter.end().ticket);  // disarms, docks
    const auto entered = pool->enter();
    ASSERT_EQ(entered.entry, Entry::docked);
    lease = entered.ticket;
  }
  pool->release(lease);
}

}  // namespace
}  // namespace tidegate::core
