// The registry while a pool is being made. Pools are lazy: no server is needed.
#include <tidegate/pool/registry.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <support/test_points.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::test {
namespace {

#if defined(TIDEGATE_CHECKED)
// Seen failing with a pool that is made outside the lock: the second made one, too.
TEST(RegistryOpen, WhoComesWhileThePoolIsBeingMadeGetsTheSame) {
  PoolRegistry registry;
  std::shared_ptr<Pool> first;
  std::shared_ptr<Pool> second;
  std::atomic<std::int32_t> id_of_second{0};
  std::atomic<bool> second_done{false};
  Hold making("registry.making");
  std::jthread maker([&] { first = registry.open("orders", {.max_size = 1}); });
  making.await();
  std::jthread other([&] {
    id_of_second = core::current_thread_id();
    second = registry.open("orders", {.max_size = 1});
    second_done = true;
  });
  await("the second", [&] { return second_done || (id_of_second != 0 && asleep(id_of_second)); });
  making.release();
  maker.join();
  other.join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(registry.get("orders"), first);
}
#endif

}  // namespace
}  // namespace tidegate::test
