// ResourcePool over fake resources: making, leasing, replacing, and the books.
#include <tidegate/core/resource_pool.hpp>

#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <support/fake_resources.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::FakeResources;
using Pool = FakeResources::Pool;
using Lease = FakeResources::Lease;

class ResourcePoolTest : public testing::Test {
 protected:
  static Lease take(Pool& pool) {
    auto acquired = pool.acquire();
    EXPECT_TRUE(acquired);
    return std::move(acquired.lease);
  }
  void await_alive(int count) {
    test::await(std::to_string(count) + " things", [&] { return things.alive() == count; });
  }

  FakeResources things;
};

// I7: at rest every attempt has its outcome, and every lease its end.
void expect_books_closed(const Pool& pool, std::uint64_t attempts) {
  const ResourceStats stats = pool.stats();
  EXPECT_EQ(std::accumulate(stats.failed.begin(), stats.failed.end(), stats.acquired), attempts);
  EXPECT_EQ(stats.acquired, stats.ended + stats.counts.leased);
  EXPECT_LE(stats.discarded + stats.hijacked, stats.ended);
  EXPECT_LE(stats.waited, stats.acquired);
}

std::uint64_t failed(const Pool& pool, Errc code) {
  return pool.stats().failed[static_cast<std::size_t>(code)];
}

// ---- configuration ---------------------------------------------------------------------------

// Of such a pool every acquire waits for ever, or it has no memory to stand on.
TEST_F(ResourcePoolTest, AConfigurationThatCannotWorkIsRefused) {
  using Config = ResourcePoolConfig<FakeResources::Thing>;
  const std::pair<const char*, void (*)(Config&)> kinds[] = {
      {"create", [](Config& c) { c.create = nullptr; }},
      {"max_size", [](Config& c) { c.max_size = 0; }},
      {"max_size", [](Config& c) { c.max_size = 65536; }},
      {"gates", [](Config& c) { c.gates = 3; }},
      {"gates", [](Config& c) { c.gates = 128; }},
      {"max_opening", [](Config& c) { c.max_opening = 0; }},
      {"barge_window", [](Config& c) { c.barge_window = -1us; }},
      {"open_timeout", [](Config& c) { c.open_timeout = 0ms; }},
      {"backoff_min", [](Config& c) { c.backoff_min = -1ms; }},
      {"backoff_max", [](Config& c) { c.backoff_max = c.backoff_min - 1ms; }},
  };
  for (const auto& [field, spoil] : kinds) {
    auto config = things.config(1);
    spoil(config);
    try {
      const Pool pool(config);
      ADD_FAILURE() << field << " was accepted";
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
      EXPECT_TRUE(error.where().known());
    }
  }
}

TEST_F(ResourcePoolTest, TheLimitsOfAConfigurationAreAccepted) {
  for (const std::uint32_t size : {1u, 65535u}) {
    auto config = things.config(size);
    config.gates = 64;
    config.barge_window = 0us;
    config.backoff_min = config.backoff_max = 0ms;
    Pool pool(config);
    EXPECT_TRUE(pool.acquire());
  }
}

// ---- making ----------------------------------------------------------------------------------

TEST_F(ResourcePoolTest, MakesNothingBeforeItIsAsked) {
  Pool pool(things.config(4));
  EXPECT_EQ(things.created(), 0);
  EXPECT_EQ(pool.counts().idle, 0u);
}

TEST_F(ResourcePoolTest, MakesOneForTheFirstAcquireAndUsesItAgain) {
  Pool pool(things.config(4));
  for (int i = 0; i < 10; ++i) {
    Lease lease = take(pool);
    EXPECT_EQ(lease->id(), 0);
    EXPECT_EQ(lease->uses++, i);
  }
  EXPECT_EQ(things.created(), 1);
  expect_books_closed(pool, 10);
}

TEST_F(ResourcePoolTest, MakesOneMoreForEachLeaseUpToItsSize) {
  Pool pool(things.config(3));
  std::vector<Lease> leases;
  std::set<int> ids;
  for (int i = 0; i < 3; ++i) {
    leases.push_back(take(pool));
    ids.insert(leases.back()->id());
  }
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(pool.try_acquire().error, Errc::timeout);
  EXPECT_EQ(pool.counts().leased, 3u);
  EXPECT_EQ(things.created(), 3);
}

TEST_F(ResourcePoolTest, NeverHasMoreThanItsSizeWhateverIsThrownAway) {
  Pool pool(things.config(3));
  test::run_threads(4, [&](int thread) {
    for (int i = 0; i < 200; ++i) {
      Lease lease = take(pool);
      ++lease->uses;
      if ((i + thread) % 5 == 0) lease.discard();
    }
  });
  EXPECT_LE(things.most_alive(), 3);
  expect_books_closed(pool, 800);
  EXPECT_EQ(pool.stats().discarded, 160u);
}

TEST_F(ResourcePoolTest, TryAcquireMakesOneInTheBackground) {
  Pool pool(things.config(2));
  EXPECT_EQ(pool.try_acquire().error, Errc::timeout);
  test::await("the thing", [&] { return pool.counts().idle == 1; });
  EXPECT_TRUE(pool.try_acquire());
  EXPECT_EQ(things.created(), 1);
  expect_books_closed(pool, 2);
}

TEST_F(ResourcePoolTest, AFailedCreationIsRepeatedUntilItSucceeds) {
  std::atomic<int> attempts{0};
  things.before_create([&](auto&) -> std::optional<ErrorValue> {
    if (++attempts <= 3) return test::error_value(Errc::unavailable, "down");
    return std::nullopt;
  });
  Pool pool(things.config(2));
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(attempts, 4);
  const ResourceStats stats = pool.stats();
  EXPECT_EQ(stats.created, 1u);
  EXPECT_EQ(stats.create_failed, 3u);
  EXPECT_FALSE(pool.last_failure().has_value()) << "one has succeeded since";
}

// What an acquire is told whose deadline passes in the backoff step after a failed creation.
TEST_F(ResourcePoolTest, ACreationThatThrowsIsAFailedOneThatTellsWhat) {
  things.before_create(
      [](auto&) -> std::optional<ErrorValue> { throw std::runtime_error("no such harbour"); });
  auto config = things.config(1);
  config.backoff_min = config.backoff_max = 1h;
  Pool pool(config);
  EXPECT_FALSE(pool.create_resource());
  EXPECT_EQ(pool.acquire(1ms).error, Errc::unavailable);
  const auto failure = pool.last_failure();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), Errc::unavailable);
  EXPECT_STREQ(failure->what(), "no such harbour");
}

TEST_F(ResourcePoolTest, ACreationThatThrowsAnythingAtAllIsAFailedOne) {
  things.before_create([](auto&) -> std::optional<ErrorValue> { throw 42; });
  auto config = things.config(1);
  config.backoff_min = config.backoff_max = 1h;
  Pool pool(config);
  EXPECT_FALSE(pool.create_resource());
  EXPECT_EQ(pool.acquire(1ms).error, Errc::unavailable);
  EXPECT_TRUE(pool.last_failure().has_value());
}

TEST_F(ResourcePoolTest, ARejectedCreationFailsTheAcquireAtOnce) {
  things.before_create([&](auto&) { return std::optional(test::error_value(Errc::rejected)); });
  auto config = things.config(1);
  config.backoff_min = config.backoff_max = 1h;
  Pool pool(config);
  EXPECT_EQ(pool.acquire(Deadline::never()).error, Errc::rejected);
  EXPECT_EQ(pool.acquire(Deadline::never()).error, Errc::rejected);
  EXPECT_EQ(pool.stats().create_failed, 1u) << "it was asked once";

  things.before_create(nullptr);
  pool.reset();
  EXPECT_TRUE(pool.acquire(Deadline::never())) << "reset() clears the verdict";
  expect_books_closed(pool, 3);
}

// A maker that says "canceled" though nobody asked it to stop must not be asked again in a hot
// loop.
TEST_F(ResourcePoolTest, ACreationThatSaysCanceledOfItsOwnAccordIsAFailure) {
  std::atomic<int> attempts{0};
  things.before_create([&](auto&) -> std::optional<ErrorValue> {
    if (++attempts <= 2) return test::error_value(Errc::canceled);
    return std::nullopt;
  });
  Pool pool(things.config(1));
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(pool.stats().create_failed, 2u);
}

TEST_F(ResourcePoolTest, CreateResourceMakesOneHere) {
  Pool pool(things.config(2));
  std::thread::id maker;
  things.before_create([&](auto&) {
    maker = std::this_thread::get_id();
    return std::optional<ErrorValue>();
  });
  EXPECT_TRUE(pool.create_resource());
  EXPECT_EQ(maker, std::this_thread::get_id());
  EXPECT_EQ(pool.counts().idle, 1u);
  EXPECT_TRUE(pool.create_resource());
  EXPECT_FALSE(pool.create_resource()) << "the pool is full";
  EXPECT_EQ(things.created(), 2);
}

TEST_F(ResourcePoolTest, CreateResourceSaysWhenItFailed) {
  Pool pool(things.config(1));
  things.before_create([&](auto&) { return std::optional(test::error_value(Errc::unavailable)); });
  EXPECT_FALSE(pool.create_resource());
  EXPECT_TRUE(pool.last_failure().has_value());
  things.before_create(nullptr);
  EXPECT_TRUE(pool.create_resource(1h)) << "after its backoff step";
}

// The slot that create_resource() took and gives up is what a waiter waits for.
// Planted: open_failed() that plans no opening after an aborted one. The waiter sleeps for good.
TEST_F(ResourcePoolTest, ACreateResourceThatGivesUpLeavesItsSlotToAWaiter) {
  auto config = things.config(1);
  config.backoff_min = config.backoff_max = 1h;
  Pool pool(config);
  things.before_create([&](auto&) { return std::optional(test::error_value(Errc::unavailable)); });
  EXPECT_FALSE(pool.create_resource());
  things.before_create(nullptr);

  std::stop_source stop;
  std::thread creating([&] { EXPECT_FALSE(pool.create_resource({}, stop.get_token())); });
  test::await("it to sit out the backoff", [&] { return pool.counts().connecting == 1; });
  std::thread waiter([&] { EXPECT_TRUE(pool.acquire()); });
  test::await("the waiter", [&] { return pool.counts().waiting == 1; });
  stop.request_stop();
  creating.join();
  test::await("the next opening", [&] { return pool.counts().connecting == 1; });
  pool.reset();
  waiter.join();
}

// ---- the ends of a lease ---------------------------------------------------------------------

TEST_F(ResourcePoolTest, ALeaseComesBackByItsDestructorByReleaseOrByBeingOverwritten) {
  Pool pool(things.config(1));
  {
    const Lease lease = take(pool);
  }
  Lease lease = take(pool);
  lease.release();
  EXPECT_FALSE(lease);
  lease.release();
  lease = take(pool);
  lease = Lease();
  EXPECT_TRUE(pool.try_acquire());
  EXPECT_EQ(things.created(), 1);
  expect_books_closed(pool, 4);
}

TEST_F(ResourcePoolTest, AMovedFromLeaseIsEmpty) {
  Pool pool(things.config(2));
  Lease lease = take(pool);
  Lease other(std::move(lease));
  EXPECT_FALSE(lease);  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(other);
  lease.release();
  lease.discard();
  EXPECT_EQ(pool.counts().leased, 1u);

  Lease& same = other;
  other = std::move(same);
  EXPECT_TRUE(other);
  EXPECT_EQ(other->id(), 0);

  Lease second = take(pool);
  second = std::move(other);
  EXPECT_EQ(second->id(), 0);
  EXPECT_EQ(pool.counts().leased, 1u);
  EXPECT_EQ(pool.counts().idle, 1u);
}

TEST_F(ResourcePoolTest, AnUnfitOneIsEndedByMaintenanceNotByTheOneWhoReleasesIt) {
  Pool pool(things.config(1));
  Lease lease = take(pool);
  lease->broken = true;
  lease.release();
  EXPECT_EQ(take(pool)->id(), 1);
  ASSERT_EQ(things.destroyers().size(), 1u);
  EXPECT_NE(things.destroyers()[0], std::this_thread::get_id());
  EXPECT_EQ(pool.stats().discarded, 1u);
  expect_books_closed(pool, 2);
}

TEST_F(ResourcePoolTest, ADiscardedOneIsEndedByMaintenance) {
  Pool pool(things.config(1));
  take(pool).discard();
  EXPECT_EQ(take(pool)->id(), 1);
  ASSERT_EQ(things.destroyers().size(), 1u);
  EXPECT_NE(things.destroyers()[0], std::this_thread::get_id());
  expect_books_closed(pool, 2);
}

TEST_F(ResourcePoolTest, AHijackedOneLeavesForGoodAndItsSlotIsFreeAtOnce) {
  std::optional<FakeResources::Thing> kept;
  {
    Pool pool(things.config(1));
    kept.emplace(take(pool).hijack());
    EXPECT_EQ(kept->id(), 0);
    EXPECT_EQ(take(pool)->id(), 1);
    EXPECT_EQ(things.alive(), 2) << "the hijacked one does not count";
    EXPECT_EQ(pool.stats().hijacked, 1u);
    expect_books_closed(pool, 2);
  }
  EXPECT_EQ(things.alive(), 1) << "it needs no pool";
}

TEST_F(ResourcePoolTest, WithoutADestroyFunctionTheDestructorIsTheEnd) {
  auto config = things.config(2);
  config.destroy = nullptr;
  config.is_reusable = nullptr;
  Pool pool(config);
  take(pool).discard();
  take(pool).release();
  EXPECT_TRUE(things.destroyers().empty());
  pool.close();
  EXPECT_EQ(things.alive(), 0);
}

// ---- the holder ------------------------------------------------------------------------------

// Both leases are this thread's, as far as anybody knows. It is not refused, since any thread may
// give a lease back: it is told, and waits. Here the one that it has told does so.
TEST_F(ResourcePoolTest, AWaitForOneselfIsSuspectedAndGoesOn) {
  auto config = things.config(2);
  Lease* handed_on = nullptr;
  std::thread other;
  std::vector<Location> told;
  config.self_deadlock_suspected = [&](Location where) {
    told.push_back(where);
    other = std::thread([&] { handed_on->release(); });
  };
  Pool pool(config);
  const Lease one = take(pool);
  Lease two = take(pool);
  handed_on = &two;
  const Location here = Location::current();
  auto acquired = pool.acquire(Deadline::never(), {}, here);
  EXPECT_EQ(acquired.error, std::nullopt);
  other.join();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].to_string(), here.to_string());
  EXPECT_EQ(pool.stats().self_deadlocks_suspected, 1u);
  EXPECT_EQ(failed(pool, Errc::would_deadlock), 0u);
}

// Nobody comes: the deadline ends it, and nothing else.
TEST_F(ResourcePoolTest, AWaitForOneselfEndsAtItsDeadline) {
  Pool pool(things.config(1));
  const Lease one = take(pool);
  EXPECT_EQ(pool.acquire(Deadline(10 * kSuspicious)).error, Errc::timeout);
  EXPECT_EQ(pool.stats().self_deadlocks_suspected, 1u);
}

// The worker does nothing with the lease but to give it back: nothing shows whose it is. Seen
// failing as would_deadlock, when a lease counted for its acquirer until another used it.
TEST_F(ResourcePoolTest, ADispatcherMayWaitForALeaseThatAWorkerOnlyGivesBack) {
  auto config = things.config(1);
  config.barge_window = 0us;  // it looks whether it may wait before anybody can serve it
  Pool pool(config);
  Lease lease = take(pool);
  std::thread worker([&, mine = std::move(lease)]() mutable {
    test::await("the dispatcher to wait", [&] { return pool.counts().waiting == 1; });
    mine.release();
  });
  EXPECT_EQ(pool.acquire().error, std::nullopt);
  worker.join();
}

// A lease is acquired here, and used and given back there: its last user is there.
// Planted: operator-> without its adopt(). The dispatcher is suspected though others work for it.
TEST_F(ResourcePoolTest, ALeaseThatIsUsedElsewhereIsHeldThere) {
  auto config = things.config(1);
  config.barge_window = 0us;  // it looks who has the leases before anybody can serve it
  Pool pool(config);
  Lease lease = take(pool);
  std::atomic<bool> used{false};
  std::atomic<bool> may_return{false};
  std::thread worker([&, mine = std::move(lease)]() mutable {
    ++mine->uses;
    used = true;
    test::await("the dispatcher", [&] { return may_return.load(); });
  });
  test::await("the worker", [&] { return used.load(); });
  std::thread waker([&] {
    test::await("the dispatcher to wait", [&] { return may_return || pool.counts().waiting == 1; });
    std::this_thread::sleep_for(2 * kSuspicious);  // what is not suspicious takes that time, too
    may_return = true;
  });
  const auto acquired = pool.acquire(1h);
  may_return = true;
  EXPECT_EQ(acquired.error, std::nullopt);
  EXPECT_EQ(pool.stats().self_deadlocks_suspected, 0u);
  worker.join();
  waker.join();
}

// ---- everything idle -------------------------------------------------------------------------

TEST_F(ResourcePoolTest, AcquireAllIdleTakesWhatIsThereAndMakesNothing) {
  Pool pool(things.config(6));
  EXPECT_TRUE(pool.acquire_all_idle().empty());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pool.create_resource());
  const Lease leased = take(pool);
  {
    const auto idle = pool.acquire_all_idle();
    EXPECT_EQ(idle.size(), 3u);
    EXPECT_EQ(pool.counts().leased, 4u);
    EXPECT_TRUE(pool.acquire_all_idle().empty());
  }
  EXPECT_EQ(pool.counts().idle, 3u);
  EXPECT_EQ(things.created(), 4);
  pool.close(Deadline::now());
  EXPECT_TRUE(pool.acquire_all_idle().empty());
}

// ---- a look at what is idle ------------------------------------------------------------------

// Seen failing: with a look that leaves out the docks, and with one that puts back what is not fit.
TEST_F(ResourcePoolTest, CheckIdleLooksAtAllThatIsIdleAndEndsWhatIsNotFit) {
  Pool pool(things.config(3));
  const Lease leased = take(pool);
  Lease docked = take(pool);
  Lease queued = take(pool);
  docked.release();
  queued.release();
  std::set<int> seen;
  pool.check_idle([&](auto& thing) {
    EXPECT_EQ(pool.counts().checking, 1u);
    seen.insert(thing.id());
    return thing.id() != 1;
  });
  ASSERT_EQ(seen, (std::set<int>{1, 2}));
  ASSERT_EQ(pool.counts().idle, 1u);
  await_alive(2);
  EXPECT_EQ(take(pool)->id(), 2);
}

TEST_F(ResourcePoolTest, WhoeverComesDuringALookIsServedAfterIt) {
  Pool pool(things.config(1));
  EXPECT_TRUE(pool.create_resource());
  std::thread waiter;
  pool.check_idle([&](auto&) {
    waiter = std::thread([&] { EXPECT_EQ(take(pool)->id(), 0); });
    test::await("the waiter", [&] { return pool.counts().waiting == 1; });
    return true;
  });
  ASSERT_TRUE(waiter.joinable());
  waiter.join();
}

// ---- reset -----------------------------------------------------------------------------------

TEST_F(ResourcePoolTest, ResetReplacesIdleOnesNowAndLeasedOnesWhenTheyComeBack) {
  Pool pool(things.config(3));
  Lease leased = take(pool);
  Lease docked = take(pool);
  Lease queued = take(pool);
  docked.release();
  queued.release();
  pool.reset();
  await_alive(1);
  EXPECT_EQ(pool.counts().leased, 1u);
  EXPECT_EQ(leased->id(), 0) << "still its holder's";
  leased.release();
  await_alive(0);
  EXPECT_EQ(take(pool)->id(), 3);
  EXPECT_EQ(pool.stats().discarded, 1u) << "of leases: the idle ones were none";
  expect_books_closed(pool, 4);
}

TEST_F(ResourcePoolTest, ResetReplacesTheOneThatIsBeingMade) {
  Pool pool(things.config(1));
  std::atomic<bool> making{false};
  std::atomic<bool> go_on{false};
  things.before_create([&](auto&) -> std::optional<ErrorValue> {
    if (!making.exchange(true)) test::await("the reset", [&] { return go_on.load(); });
    return std::nullopt;
  });
  std::thread creating([&] { EXPECT_TRUE(pool.create_resource()); });
  test::await("the creation", [&] { return making.load(); });
  pool.reset();
  go_on = true;
  creating.join();

  // It was made before the reset as far as anybody knows, and is nobody's.
  // Planted: acquire_all_idle() without its look at the generation.
  EXPECT_TRUE(pool.acquire_all_idle().empty());
  EXPECT_EQ(take(pool)->id(), 1);
}

// ---- waiting ---------------------------------------------------------------------------------

TEST_F(ResourcePoolTest, TellsAStopATimeoutAndAnOverloadApart) {
  auto config = things.config(1);
  config.max_waiters = 1;
  Pool pool(config);
  Lease lease = take(pool);
  std::thread([&] { EXPECT_EQ(pool.acquire(1ms).error, Errc::timeout); }).join();

  std::stop_source stop;
  std::thread waiter(
      [&] { EXPECT_EQ(pool.acquire(Deadline::never(), stop.get_token()).error, Errc::canceled); });
  test::await("the waiter", [&] { return pool.counts().waiting == 1; });
  std::thread another([&] { EXPECT_EQ(pool.acquire().error, Errc::overloaded); });
  another.join();
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(pool.acquire(Deadline::never(), stop.get_token()).error, Errc::canceled)
      << "before it begins";
  EXPECT_EQ(failed(pool, Errc::canceled), 2u);
  EXPECT_EQ(failed(pool, Errc::overloaded), 1u);
  EXPECT_EQ(failed(pool, Errc::timeout), 1u);
  expect_books_closed(pool, 5);
}

// All kinds of ends at once; the books are closed at the end (I5, I7).
TEST_F(ResourcePoolTest, ManyThreadsAndAllKindsOfEndsLeaveTheBooksClosed) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 400;
  std::atomic<std::uint64_t> attempts{0};
  {
    auto config = things.config(2);
    config.max_waiters = 2;
    Pool pool(config);
    test::run_threads(kThreads, [&](int thread) {
      for (int i = 0; i < kRounds; ++i) {
        ++attempts;
        const int kind = i * kThreads + thread;
        auto acquired = kind % 3 == 0 ? pool.try_acquire() : pool.acquire(200us * (kind % 5));
        if (!acquired) continue;
        ++acquired.lease->uses;
        switch (kind % 7) {
          case 0: acquired.lease.discard(); break;
          case 1: std::move(acquired.lease).hijack(); break;
          case 2: acquired.lease->broken = true; break;
          case 3: pool.reset(); break;
          default: break;
        }
      }
    });
    expect_books_closed(pool, attempts);
    EXPECT_TRUE(pool.close());
  }
  EXPECT_EQ(things.alive(), 0);
}

// pgx rolls the jitter of a connection's lifetime again at each look.
TEST(ResourceCoreExpiry, IsAskedForOncePerResource) {
  int asked = 0;
  auto* const core = ResourceCore<int>::make({.max_size = 1}, {},
                                             {.create = [](auto&&...) { return Expected<int>(7); },
                                              .expires =
                                                  [&asked](Tick) {
                                                    ++asked;
                                                    return kNeverExpires;
                                                  }});
  ASSERT_TRUE(core->create_here({}, Deadline::never()));
  for (int i = 0; i < 10; ++i) {
    Search search;
    const Found found = core->acquire(core->slots().enter(), search, [&](const Found& at) {
      return core->fresh(at.ticket.slot()) ? Checked::use : Checked::next;
    });
    ASSERT_FALSE(found.error);
    core->begin_lease(found.ticket, {});
    core->release(found.ticket);
  }
  EXPECT_EQ(asked, 1);
  core->slots().close();
  core->openers().stop();
  while (const auto slot = core->slots().take_to_retire()) core->finish(*slot);
  core->unref();
}

}  // namespace
}  // namespace tidegate::core
