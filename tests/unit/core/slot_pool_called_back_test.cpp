// Acquires that are called back instead of sleeping: one queue with the threads that sleep.
#include <tidegate/core/slot_pool.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::Acquirer;
using test::TestPool;

// An acquire of which nobody waits. The pool's own thread for its callback is whichever decides.
template <class Sync>
class Caller {
 public:
  explicit Caller(TestPool<Sync>& pool, Search search = {}, unsigned gate = 0)
      : pool_(pool), search_(std::move(search)) {
    node_.called_back = [](WaitNode<Sync>& node) noexcept {
      auto& self = *static_cast<Caller*>(node.owner);
      (void)self.pool_->counts();  // takes the wait mutex
      ++self.called_;
    };
    node_.owner = this;
    Sync::gate_of_thread() = gate;
    const auto entered = pool_->enter();
    gate_ = entered.ticket.gate();
    if (entered.entry == Entry::closed) {
      found_ = Found{Errc::closed, {}, false};
    } else if (entered.entry == Entry::docked) {
      found_ = Found{std::nullopt, entered.ticket, false};
    } else {
      found_ = pool_->begin_find(gate_, search_, node_);
    }
  }
  bool waits() const { return !found_; }
  int called() const { return called_; }
  Found end() {
    if (!found_) found_ = pool_->end_find(gate_, search_, node_);
    return *found_;
  }
  bool withdraw(std::uint32_t word) { return pool_->withdraw(node_, word); }

 private:
  TestPool<Sync>& pool_;
  Search search_;
  WaitNode<Sync> node_{};
  std::uint32_t gate_ = 0;
  std::optional<Found> found_{};
  std::atomic<int> called_{0};
};

template <class Sync>
class SlotPoolCalledBack : public testing::Test {};
TYPED_TEST_SUITE(SlotPoolCalledBack, test::AllSyncs, test::SyncNames);

TYPED_TEST(SlotPoolCalledBack, AnIdleSlotIsHadAtOnce) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  Caller docked(pool);
  ASSERT_FALSE(docked.waits());
  Caller queued(pool);
  ASSERT_FALSE(queued.waits());
  EXPECT_EQ(docked.called() + queued.called(), 0);
  pool->release(docked.end().ticket);
  pool->release(queued.end().ticket);
}

// Planted: release_slowly() that wakes the node's parker whatever the node is.
TYPED_TEST(SlotPoolCalledBack, AReleaseCallsTheOldestOnceAndNobodyElse) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller first(pool);
  Caller second(pool);
  ASSERT_TRUE(first.waits());
  ASSERT_TRUE(second.waits());
  EXPECT_EQ(pool->counts().waiting, 2u);
  EXPECT_EQ(pool->peak_waiting(), 2u);
  pool->release(lease);
  EXPECT_EQ(first.called(), 1);
  EXPECT_EQ(second.called(), 0);
  const Found found = first.end();
  ASSERT_FALSE(found.error);
  EXPECT_TRUE(found.waited);
  pool->release(found.ticket);
  EXPECT_EQ(second.called(), 1);
  pool->release(second.end().ticket);
  EXPECT_EQ(pool->counts().waiting, 0u);
}

TYPED_TEST(SlotPoolCalledBack, ThreadsAndCallersStandInOneQueue) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 2});
  pool.open(1);
  const Ticket lease = pool.take();
  Acquirer thread(pool, {}, 0);
  pool.await_waiting(1);
  Caller caller(pool, {}, 1);
  Acquirer last(pool, {}, 1);
  pool.await_waiting(3);
  pool->release(lease);
  const Found first = thread.end();
  ASSERT_FALSE(first.error);
  EXPECT_EQ(caller.called(), 0);
  pool->release(first.ticket);
  EXPECT_EQ(caller.called(), 1);
  EXPECT_FALSE(last.done());
  pool->release(caller.end().ticket);
  pool->release(last.end().ticket);
}

TYPED_TEST(SlotPoolCalledBack, AnOpeningIsAskedForAndServes) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  Caller caller(pool);
  ASSERT_TRUE(caller.waits());
  EXPECT_EQ(pool.opens_wanted(), 1);
  ASSERT_TRUE(pool.open_one());
  EXPECT_EQ(caller.called(), 1);
  pool->release(caller.end().ticket);
}

// A window is for those who are about to look again by themselves.
TYPED_TEST(SlotPoolCalledBack, HasNoBargeWindow) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1, .barge_window = 1h});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller caller(pool);
  pool->release(lease);
  EXPECT_EQ(caller.called(), 1);
  pool->release(caller.end().ticket);
}

TYPED_TEST(SlotPoolCalledBack, ADeadlineThatHasPassedNeverWaits) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller caller(pool, {.deadline = Deadline::now()});
  ASSERT_FALSE(caller.waits());
  EXPECT_EQ(caller.end().error, Errc::timeout);
  pool->release(lease);
}

TYPED_TEST(SlotPoolCalledBack, WhoWithdrawsIsNotCalledAndLeavesTheQueue) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller late(pool);
  Caller unwanted(pool);
  ASSERT_TRUE(late.withdraw(wait_word::kTimedOut));
  EXPECT_FALSE(late.withdraw(wait_word::kCanceled)) << "once";
  ASSERT_TRUE(unwanted.withdraw(wait_word::kCanceled));
  EXPECT_EQ(pool->counts().waiting, 0u);
  EXPECT_EQ(late.end().error, Errc::timeout);
  EXPECT_EQ(unwanted.end().error, Errc::canceled);
  pool->release(lease);
  EXPECT_EQ(late.called() + unwanted.called(), 0);
  pool->release(pool.take());
}

// Planted: withdraw() that does not look who was first. The slot of the grant is lost.
TYPED_TEST(SlotPoolCalledBack, AGrantThatCameFirstIsNotWithdrawn) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller caller(pool);
  pool->release(lease);
  EXPECT_FALSE(caller.withdraw(wait_word::kTimedOut));
  const Found found = caller.end();
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

// Planted: close() that calls back under the wait mutex. The callback ends the search, as a pool's
// does, and that may need the mutex.
TYPED_TEST(SlotPoolCalledBack, CloseTellsThemAllWithoutALock) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  std::vector<std::unique_ptr<Caller<TypeParam>>> callers;
  for (int i = 0; i < 3; ++i) callers.push_back(std::make_unique<Caller<TypeParam>>(pool));
  EXPECT_EQ(pool->close().waiters, 3u);
  for (const auto& caller : callers) {
    EXPECT_EQ(caller->called(), 1);
    EXPECT_EQ(caller->end().error, Errc::closed);
  }
  EXPECT_FALSE(pool->drained());
  pool->release(lease);
  EXPECT_TRUE(pool->drained());
  Caller after(pool);
  EXPECT_EQ(after.end().error, Errc::closed);
}

TYPED_TEST(SlotPoolCalledBack, ARejectionTellsThemAll) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  Caller first(pool);
  Caller second(pool);
  ASSERT_TRUE(pool.fail_one(OpenFailure::rejected, TypeParam::now() + 1h));
  for (Caller<TypeParam>* caller : {&first, &second}) {
    EXPECT_EQ(caller->called(), 1);
    EXPECT_EQ(caller->end().error, Errc::rejected);
  }
}

// A slot that was granted and given up keeps the place in the queue, as with a thread.
TYPED_TEST(SlotPoolCalledBack, WhoGoesOnIsServedBeforeThoseWhoCameLater) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  const Ticket lease = pool.take();
  Caller later(pool);
  Caller again(pool, {.resumed = true, .since = TypeParam::now()});
  pool->release(lease);
  EXPECT_EQ(again.called(), 1);
  EXPECT_EQ(later.called(), 0);
  pool->release(again.end().ticket);
  pool->release(later.end().ticket);
}

}  // namespace
}  // namespace tidegate::core
