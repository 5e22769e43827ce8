#include <tidegate/core/idle_queue.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <support/call_counter.hpp>
#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

// Alone, nobody makes the queue say "empty" when it is not.
std::vector<std::uint32_t> drain(IdleQueue& queue) {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; queue.try_dequeue(slot);) slots.push_back(slot);
  return slots;
}
std::vector<std::uint32_t> all_slots(std::uint32_t count) {
  std::vector<std::uint32_t> slots(count);
  std::iota(slots.begin(), slots.end(), 0U);
  return slots;
}

class IdleQueueOfSize : public testing::TestWithParam<std::uint32_t> {
 protected:
  const std::uint32_t size = GetParam();
  IdleQueue queue{size, 4};
};
INSTANTIATE_TEST_SUITE_P(Sizes, IdleQueueOfSize, testing::Values(1U, 4U, 64U, 4096U, 65535U),
                         [](const auto& size) { return std::to_string(size.param); });

TEST_P(IdleQueueOfSize, EverythingThatGoesInComesOutOnce) {
  // Spread over the producers, and all through one of them.
  for (const bool spread : {true, false}) {
    for (std::uint32_t slot = 0; slot < size; ++slot) {
      ASSERT_TRUE(queue.try_enqueue(slot, spread ? slot : 3)) << slot;
    }
    auto slots = drain(queue);
    std::sort(slots.begin(), slots.end());
    EXPECT_EQ(slots, all_slots(size));
  }
}

TEST_P(IdleQueueOfSize, OneProducerKeepsTheOrder) {
  const std::uint32_t count = std::min(size, 1024U);
  for (std::uint32_t slot = 0; slot < count; ++slot) ASSERT_TRUE(queue.try_enqueue(slot, 1));
  EXPECT_EQ(drain(queue), all_slots(count));
}

// As a pool uses it: what came out goes in again, here or there, in any order, for long.
// Planted: enqueue() instead of try_enqueue() in idle_queue.cpp. It allocates new blocks.
TEST_P(IdleQueueOfSize, NothingIsAllocatedOrLostOrRefusedUnderUse) {
  const std::uint32_t rounds = std::max(3 * size, 20'000U);
  std::minstd_rand random(7);
  std::vector<std::uint32_t> outside = all_slots(size);
  std::shuffle(outside.begin(), outside.end(), random);
  std::uint32_t refused = 0;
  {
    const test::CallCounter counter;
    for (std::uint32_t i = 0; i < rounds; ++i) {
      if (!outside.empty() && random() % 2 == 0) {
        if (queue.try_enqueue(outside.back(), static_cast<std::uint32_t>(random() % 4))) {
          outside.pop_back();
        } else {
          ++refused;
        }
      } else if (std::uint32_t slot = 0; queue.try_dequeue(slot)) {
        outside.push_back(slot);  // within its capacity
      }
    }
    EXPECT_EQ(counter.allocations(), 0u);
  }
  EXPECT_EQ(refused, 0u);
  const auto inside = drain(queue);
  outside.insert(outside.end(), inside.begin(), inside.end());
  std::sort(outside.begin(), outside.end());
  EXPECT_EQ(outside, all_slots(size));
}

TEST_P(IdleQueueOfSize, WhenItIsFullItRefusesAndLosesNothing) {
  std::uint32_t accepted = 0;
  {
    const test::CallCounter counter;
    while (queue.try_enqueue(accepted, 0)) {
      ++accepted;
      ASSERT_LT(accepted, 10 * size + 100'000) << "it must be full some time";
    }
    EXPECT_FALSE(queue.try_enqueue(accepted, 1)) << "full for every producer";
    EXPECT_EQ(counter.allocations(), 0u);
  }
  EXPECT_GE(accepted, size);
  auto slots = drain(queue);
  std::sort(slots.begin(), slots.end());
  EXPECT_EQ(slots, all_slots(accepted));
  EXPECT_TRUE(queue.try_enqueue(5, 0)) << "there is room again";
  EXPECT_EQ(drain(queue), std::vector{5U});
}

TEST(IdleQueue, AnEmptyOneHasNothing) {
  IdleQueue queue(4, 1);
  std::uint32_t slot = 77;
  EXPECT_FALSE(queue.try_dequeue(slot));
  EXPECT_EQ(slot, 77u);
}

// Threads take slots out and put them back. None is ever with two of them, and at the end all are
// there. A thread that is told "empty", wrongly or not, looks again.
TEST(IdleQueue, ManyThreadsExchangeSlotsAndNoneIsLostOrDoubled) {
  constexpr std::uint32_t kSlots = 5;
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  IdleQueue queue(kSlots, 4);
  std::vector<std::atomic<int>> owners(kSlots);
  std::atomic<int> refused{0};
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) ASSERT_TRUE(queue.try_enqueue(slot, slot));

  test::run_threads(kThreads, [&](int thread) {
    std::minstd_rand random(static_cast<unsigned>(thread) + 1);
    for (int i = 0; i < kRounds; ++i) {
      std::uint32_t slot = 0;
      if (!queue.try_dequeue(slot)) continue;
      EXPECT_EQ(owners[slot].fetch_add(1), 0);
      owners[slot].fetch_sub(1);
      // Refused when all producers are busy at this moment: one keeps at it here; the pool lets the
      // scan find the slot instead.
      while (!queue.try_enqueue(slot, static_cast<std::uint32_t>(random()))) ++refused;
    }
  });
  auto slots = drain(queue);
  std::sort(slots.begin(), slots.end());
  EXPECT_EQ(slots, all_slots(kSlots));
}

// One takes a slot out and is not heard of again, while another fills so many blocks that the queue
// writes over what the first has read there. That is in order, by a fence: without ReuseEdge
// ThreadSanitizer says no, and said so of the test above, where a thread had to stand still for it.
TEST(IdleQueue, WhoReadTheIndexLongAgoIsInNobodysWay) {
  IdleQueue queue(2, 1);
  ASSERT_TRUE(queue.try_enqueue(0, 0));
  ASSERT_TRUE(queue.try_enqueue(1, 0));
  std::atomic<bool> taken{false};
  std::atomic<bool> filled{false};
  test::run_threads(2, [&](int thread) {
    std::uint32_t slot = 0;
    if (thread == 0) {
      EXPECT_TRUE(queue.try_dequeue(slot));
      taken.store(true, std::memory_order_relaxed);  // orders nothing
      while (!filled.load(std::memory_order_relaxed)) std::this_thread::yield();
      return;
    }
    while (!taken.load(std::memory_order_relaxed)) std::this_thread::yield();
    for (int i = 0; i < 10'000; ++i) {
      EXPECT_TRUE(queue.try_dequeue(slot));
      EXPECT_TRUE(queue.try_enqueue(slot, 0));
    }
    filled.store(true, std::memory_order_relaxed);
  });
  EXPECT_EQ(drain(queue).size(), 1u);
}

// ---- the counter itself ----------------------------------------------------------------------

// What escapes, the compiler cannot leave out.
void* volatile escaped = nullptr;

TEST(CallCounter, SeesEveryKindOfAllocation) {
  const test::CallCounter counter;
  std::size_t seen = 0;
  const auto counted = [&] {
    return counter.allocations() - std::exchange(seen, counter.allocations());
  };
  const auto plain = std::make_unique<std::uint64_t>();
  escaped = plain.get();
  EXPECT_GE(counted(), 1u);
  struct alignas(128) Wide {
    char bytes[128];
  };
  const auto aligned = std::make_unique<Wide>();
  escaped = aligned.get();
  EXPECT_GE(counted(), 1u);
  escaped = std::malloc(10);
  EXPECT_GE(counted(), 1u);
  escaped = std::realloc(escaped, 100'000);
  EXPECT_GE(counted(), 1u);
  std::free(escaped);
  escaped = std::calloc(3, 5);
  EXPECT_GE(counted(), 1u);
  std::free(escaped);
  EXPECT_EQ(counted(), 0u);
}

}  // namespace
}  // namespace tidegate::core
