// A pool whose things are made with those of another pool: the thread that opens for the one makes
// a resource of the other, in the middle of its own creation.
#include <tidegate/core/resource_pool.hpp>

#include <atomic>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include <support/fake_resources.hpp>
#include <support/rendezvous.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::await;

class NestedPools : public testing::Test {
 protected:
  ~NestedPools() override { let_go_ = true; }

  test::FakeResources::Pool pool_of(test::FakeResources& things) {
    auto config = things.config(1);
    config.open_timeout = 10ms;
    return test::FakeResources::Pool(std::move(config));
  }
  // Does not return before the test lets it go.
  void hang() {
    await("the test to let a creation go", [&] { return let_go_.load(); });
  }

  std::atomic<bool> let_go_{false};
  test::FakeResources outer_things_;
  test::FakeResources inner_things_;
};

// What the creation inside settles is its own, not the one around it, which goes on and may be
// given up still. Seen failing with an opener that takes both for one: its slot was `connecting`
// for ever.
TEST_F(NestedPools, ACreationThatHasMadeOneOfAnotherPoolIsStillGivenUpWhenItDoesNotReturn) {
  auto inner = pool_of(inner_things_);
  std::atomic<int> creations{0};
  outer_things_.before_create([&](const std::stop_token&) -> std::optional<ErrorValue> {
    if (++creations > 1) return std::nullopt;
    EXPECT_TRUE(inner.create_resource());
    hang();
    return std::nullopt;
  });
  auto outer = pool_of(outer_things_);
  auto got = outer.acquire(test::patience() / 2);
  EXPECT_TRUE(got) << "it waits for the one that does not return";
  EXPECT_EQ(outer.stats().create_failed, 1u);
  EXPECT_EQ(inner.counts().idle, 1u);
  let_go_ = true;
  await("the late one to be ended",
        [&] { return outer_things_.created() == 2 && outer_things_.alive() == 1; });
  EXPECT_TRUE(outer.balances());
  EXPECT_TRUE(inner.balances());
}

// And the other way round: that the one around it has been given up is nothing to the one inside.
// Seen failing with an opener that takes both for one: what was made was ended, and its slot was
// `connecting` for ever.
TEST_F(NestedPools, WhatIsMadeInsideACreationThatWasGivenUpIsKept) {
  auto inner = pool_of(inner_things_);
  std::atomic<int> creations{0};
  std::optional<bool> made;
  std::atomic<bool> over{false};
  inner_things_.before_create([&](const std::stop_token&) -> std::optional<ErrorValue> {
    hang();
    return std::nullopt;
  });
  outer_things_.before_create([&](const std::stop_token&) -> std::optional<ErrorValue> {
    if (++creations > 1) return std::nullopt;
    made = inner.create_resource();
    over = true;
    return std::nullopt;
  });
  auto outer = pool_of(outer_things_);
  auto got = outer.acquire(test::patience() / 2);
  EXPECT_TRUE(got);
  ASSERT_EQ(outer.stats().create_failed, 1u) << "the creation around it has been given up";
  let_go_ = true;
  await("the creation inside to end", [&] { return over.load(); });
  EXPECT_EQ(made, true);
  EXPECT_EQ(inner_things_.alive(), 1);
  EXPECT_EQ(inner.counts().idle, 1u);
  EXPECT_EQ(inner.counts().connecting, 0u);
  EXPECT_TRUE(inner.balances());
  await("the late one to be ended",
        [&] { return outer_things_.created() == 2 && outer_things_.alive() == 1; });
}

}  // namespace
}  // namespace tidegate::core
