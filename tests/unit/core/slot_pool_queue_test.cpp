// The idle queue is an accelerator: whatever it refuses or denies having, no slot is lost and no
// wake-up. This program brings its own IdleQueue, which refuses and lies as it is told.
#include <tidegate/core/idle_queue.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

#include <gtest/gtest.h>

#include <support/test_pool.hpp>

namespace {

std::atomic<bool> refuses{false};  // as when all producers are busy, or their blocks used up
std::atomic<bool> lies{false};     // says "empty" (moodycamel, issue 265)
std::atomic<int> entries{0};
// The next one to dequeue stops inside, with what it took in its hand, until it is `none` again.
enum class Freeze { none, next, stands };
std::atomic<Freeze> freeze{Freeze::none};

}  // namespace

namespace tidegate::core {

struct IdleQueue::Impl {
  std::mutex mutex;
  std::deque<std::uint32_t> slots;
};
IdleQueue::IdleQueue(std::uint32_t, std::uint32_t) : impl_(std::make_unique<Impl>()) {}
IdleQueue::~IdleQueue() = default;
bool IdleQueue::try_enqueue(std::uint32_t slot, std::uint32_t) noexcept {
  if (refuses) return false;
  std::lock_guard lock(impl_->mutex);
  impl_->slots.push_back(slot);
  ++entries;
  return true;
}
bool IdleQueue::try_dequeue(std::uint32_t& slot) noexcept {
  {
    std::lock_guard lock(impl_->mutex);
    if (lies || impl_->slots.empty()) return false;
    slot = impl_->slots.front();
    impl_->slots.pop_front();
    --entries;
  }
  Freeze expected = Freeze::next;
  if (freeze.compare_exchange_strong(expected, Freeze::stands)) {
    test::await("the end of a freeze", [] { return freeze == Freeze::none; });
  }
  return true;
}

namespace {

using test::Acquirer;
using test::TestPool;

template <class Sync>
class SlotPoolQueue : public testing::Test {
 protected:
  SlotPoolQueue() { reset(); }
  ~SlotPoolQueue() override { reset(); }

 private:
  static void reset() {
    refuses = lies = false;
    entries = 0;
    freeze = Freeze::none;
  }
};
TYPED_TEST_SUITE(SlotPoolQueue, test::AllSyncs, test::SyncNames);

// Planted: find() without its scan.
TYPED_TEST(SlotPoolQueue, ASlotThatTheQueueRefusedIsFoundByTheScan) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  refuses = true;
  pool.open(3);
  EXPECT_EQ(pool->counts().idle, 3u);
  for (std::uint32_t slot = 0; slot < 3; ++slot) EXPECT_EQ(pool.take().slot(), slot);
  EXPECT_EQ(pool.acquire().error, Errc::timeout);
  for (std::uint32_t slot = 0; slot < 3; ++slot) pool->release({slot, 0});
  EXPECT_EQ(pool->counts().idle, 3u);
}

TYPED_TEST(SlotPoolQueue, WhatTheQueueHasComesBeforeTheDocksAndThoseBeforeTheScan) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 2});
  refuses = true;
  pool.open(1);  // slot 0: for the scan only
  refuses = false;
  pool.open(2);
  const Ticket docked = pool.take(0);
  EXPECT_EQ(docked.slot(), 1u);
  pool->release(docked);
  EXPECT_EQ(pool.take(1).slot(), 2u) << "the queue";
  EXPECT_EQ(pool.take(1).slot(), 1u) << "the dock of gate 0";
  EXPECT_EQ(pool.take(1).slot(), 0u) << "the scan";
  for (std::uint32_t slot = 0; slot < 3; ++slot) pool->release({slot, 1});
}

TYPED_TEST(SlotPoolQueue, ASlotThatWasRefusedIsEnqueuedTheNextTime) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  refuses = true;
  pool.open(2);
  const Ticket first = pool.take();
  const Ticket second = pool.take();
  refuses = false;
  pool->release(first);
  pool->release(second);
  EXPECT_EQ(pool.take().slot(), first.slot()) << "the dock";
  EXPECT_EQ(pool.take().slot(), second.slot()) << "the queue";
  pool->release(first);
  pool->release(second);
}

TYPED_TEST(SlotPoolQueue, AQueueThatSaysEmptyWronglyHidesNothing) {
  TestPool<TypeParam> pool({.max_size = 2, .gates = 1});
  pool.open(2);
  lies = true;
  const Ticket first = pool.take();
  const Ticket second = pool.take();
  pool->release(first);
  pool->release(second);  // its old entry is still in the queue, and not doubled
  lies = false;
  EXPECT_EQ(pool.take().slot(), first.slot());
  EXPECT_EQ(pool.take().slot(), second.slot());
  EXPECT_EQ(pool.acquire().error, Errc::timeout);
  pool->release(first);
  pool->release(second);
}

// Planted: sleep() without its scan. "Dequeue failed, therefore park" loses the wake-up.
TYPED_TEST(SlotPoolQueue, NobodySleepsBesideASlotThatTheQueueDenies) {
  TestPool<TypeParam> pool({.max_size = 1, .gates = 1});
  pool.open(1);
  lies = true;
  Search resumed{.resumed = true, .since = TypeParam::now()};  // goes straight to the wait
  const Found found = pool.acquire(resumed);
  ASSERT_FALSE(found.error);
  pool->release(found.ticket);
}

TYPED_TEST(SlotPoolQueue, WaitersAreServedWhateverTheQueueDoes) {
  for (const bool refusing : {false, true}) {
    refuses = refusing;
    lies = !refusing;
    TestPool<TypeParam> pool({.max_size = 2, .gates = 2});
    pool.open(2);
    test::run_threads(4, [&](int thread) {
      for (int i = 0; i < 300; ++i) {
        const Found found = pool.acquire(Deadline::never(), static_cast<unsigned>(thread + i) % 2);
        ASSERT_FALSE(found.error);
        pool->release(found.ticket);
      }
    });
    EXPECT_EQ(pool->counts().idle, 2u);
  }
}

TYPED_TEST(SlotPoolQueue, CloseSweepsWhatTheQueueDenies) {
  TestPool<TypeParam> pool({.max_size = 3, .gates = 1});
  pool.open(2);
  refuses = true;
  pool.open(1);
  lies = true;
  pool->close();
  EXPECT_EQ(pool.slots_in(SlotState::retiring), 3u);
}

// ---- a dequeuer that the system stops inside the queue ------------------------------------------

// Two slots are idle, and somebody who does not want to wait has taken the entry of slot 0 out of
// the queue, and stands.
template <class Sync>
struct FrozenDequeuer {
  FrozenDequeuer() {
    pool.open(2);
    freeze = Freeze::next;
    thread.emplace(pool, Search{.deadline = Deadline::now()});
    test::await("a dequeuer", [] { return freeze == Freeze::stands; });
  }
  Found go_on() {
    freeze = Freeze::none;
    return thread->end();
  }
  TestPool<Sync> pool{{.max_size = 2, .gates = 1}};
  std::optional<Acquirer<Sync>> thread;
};

// Planted: a scan that finds nothing. The second of the others has nothing, either.
TYPED_TEST(SlotPoolQueue, AFrozenDequeuerHoldsUpNobody) {
  FrozenDequeuer<TypeParam> at;
  for (int round = 0; round < 3; ++round) {  // by queue and scan, then by dock and scan
    const Ticket first = at.pool.take();
    const Ticket second = at.pool.take();
    EXPECT_EQ(first.slot() + second.slot(), 1u) << "both, and each once";
    Acquirer waiter(at.pool);
    at.pool.await_waiting(1);
    at.pool->release(first);
    const Found served = waiter.end();
    ASSERT_FALSE(served.error);
    at.pool->release(served.ticket);
    at.pool->release(second);
  }
  const Found found = at.go_on();
  ASSERT_FALSE(found.error) << "one of them is idle";
  at.pool->release(found.ticket);
}

// Planted: claim_dequeued() that keeps the entry's mark. The slot never comes into the queue again.
TYPED_TEST(SlotPoolQueue, AFrozenDequeuerWhoseSlotIsOutDropsItsEntry) {
  FrozenDequeuer<TypeParam> at;
  const Ticket one = at.pool.take();
  const Ticket other = at.pool.take();
  EXPECT_EQ(at.go_on().error, Errc::timeout);
  at.pool->release(one);  // to the dock
  ASSERT_EQ(other.slot(), 0u) << "the one that was found by the scan";
  at.pool->release(other);
  EXPECT_EQ(entries, 1) << "its new one";
  at.pool->release(at.pool.take());
}

TYPED_TEST(SlotPoolQueue, AFrozenDequeuerIsToldOfTheCloseThatHasSweptItsSlot) {
  FrozenDequeuer<TypeParam> at;
  at.pool->close();
  EXPECT_EQ(at.pool.slots_in(SlotState::retiring), 2u);
  EXPECT_FALSE(at.pool->drained()) << "somebody is inside";
  EXPECT_EQ(at.go_on().error, Errc::closed);
  EXPECT_TRUE(at.pool->await_drained(Deadline::never()));
}

}  // namespace
}  // namespace tidegate::core
