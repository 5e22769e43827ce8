// Closing a ResourcePool, and what outlives it.
#include <tidegate/core/resource_pool.hpp>

#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <support/fake_resources.hpp>
#include <support/rendezvous.hpp>
#include <support/test_points.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using test::FakeResources;
using Pool = FakeResources::Pool;
using Lease = FakeResources::Lease;

class ResourcePoolClose : public testing::Test {
 protected:
  static Lease take(Pool& pool) {
    auto acquired = pool.acquire();
    EXPECT_TRUE(acquired);
    return std::move(acquired.lease);
  }

  FakeResources things;
};

TEST_F(ResourcePoolClose, EndsWhatIsIdleAndRefusesWhatComes) {
  Pool pool(things.config(3));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.create_resource());
  EXPECT_TRUE(pool.close());
  EXPECT_EQ(things.alive(), 0);
  EXPECT_EQ(things.destroyers().size(), 3u);
  EXPECT_EQ(pool.acquire().error, Errc::closed);
  EXPECT_EQ(pool.try_acquire().error, Errc::closed);
  EXPECT_FALSE(pool.create_resource());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(pool.acquire(Deadline::never(), stop.get_token()).error, Errc::closed)
      << "closed comes before canceled";
  EXPECT_TRUE(pool.close()) << "once more";
}

TEST_F(ResourcePoolClose, WaitsForLeases) {
  Pool pool(things.config(2));
  Lease lease = take(pool);
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    EXPECT_TRUE(pool.close());
    closed = true;
  });
  test::await("the fence", [&] { return pool.try_acquire().error == Errc::closed; });
  EXPECT_FALSE(closed);
  EXPECT_EQ(lease->id(), 0) << "a lease keeps working";
  lease.release();
  closer.join();
  EXPECT_EQ(things.alive(), 0);
}

TEST_F(ResourcePoolClose, TellsWaiters) {
  Pool pool(things.config(1));
  Lease lease = take(pool);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] { EXPECT_EQ(pool.acquire().error, Errc::closed); });
  }
  test::await("the waiters", [&] { return pool.counts().waiting == 4; });
  EXPECT_FALSE(pool.close(Deadline::now()));
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(pool.stats().failed[static_cast<std::size_t>(Errc::closed)], 4u);
}

TEST_F(ResourcePoolClose, StopsCreationsThatAreUnderWay) {
  std::atomic<bool> creating{false};
  things.before_create([&](const std::stop_token& stop) {
    creating = true;
    test::await("the stop", [&] { return stop.stop_requested(); });
    return std::optional(test::error_value(Errc::canceled));
  });
  Pool pool(things.config(1));
  std::thread waiter([&] { EXPECT_EQ(pool.acquire().error, Errc::closed); });
  test::await("the creation", [&] { return creating.load(); });
  EXPECT_TRUE(pool.close());
  waiter.join();
  EXPECT_EQ(pool.counts().connecting, 0u);
}

// Its maker ignores the stop: what it makes is ended, never handed out.
TEST_F(ResourcePoolClose, ACreationThatFinishesAfterTheFenceIsEnded) {
  std::atomic<bool> creating{false};
  things.before_create([&](const std::stop_token& stop) {
    creating = true;
    test::await("the stop", [&] { return stop.stop_requested(); });
    return std::optional<ErrorValue>();
  });
  Pool pool(things.config(1));
  EXPECT_EQ(pool.try_acquire().error, Errc::timeout);
  test::await("the creation", [&] { return creating.load(); });
  EXPECT_TRUE(pool.close());
  EXPECT_EQ(things.created(), 1);
  EXPECT_EQ(things.alive(), 0);
  EXPECT_EQ(things.destroyers().size(), 1u);
}

// As above, on a thread of the user, which asks what has become of it: nothing was added to
// anything. Seen failing as true.
TEST_F(ResourcePoolClose, ACreationOfTheCallerThatFinishesAfterTheFenceIsToldAsNone) {
  std::atomic<bool> creating{false};
  std::atomic<bool> fenced{false};
  things.before_create([&](const std::stop_token&) {
    creating = true;
    test::await("the fence", [&] { return fenced.load(); });
    return std::optional<ErrorValue>();
  });
  Pool pool(things.config(1));
  std::optional<bool> added;
  std::thread creator([&] { added = pool.create_resource(); });
  test::await("the creation", [&] { return creating.load(); });
  EXPECT_TRUE(pool.close(Deadline::now()));
  fenced = true;
  creator.join();
  EXPECT_EQ(added, false);
  EXPECT_EQ(things.created(), 1);
  EXPECT_EQ(things.alive(), 0);
}

TEST_F(ResourcePoolClose, ACreateResourceThatFinishesAfterTheFenceIsEnded) {
  Pool pool(things.config(1));
  std::atomic<bool> creating{false};
  std::atomic<bool> go_on{false};
  things.before_create([&](auto&) {
    creating = true;
    test::await("the closer", [&] { return go_on.load(); });
    return std::optional<ErrorValue>();
  });
  std::thread creator([&] { pool.create_resource(); });
  test::await("the creation", [&] { return creating.load(); });
  std::thread closer([&] { EXPECT_TRUE(pool.close()); });
  test::await("the fence", [&] { return pool.try_acquire().error == Errc::closed; });
  go_on = true;
  creator.join();
  closer.join();
  EXPECT_EQ(things.created(), 1);
  EXPECT_EQ(things.alive(), 0);
  EXPECT_EQ(things.destroyers().size(), 1u) << "through config.destroy";
}

TEST_F(ResourcePoolClose, DuringABackoffStepDoesNotWaitForItsEnd) {
  things.before_create([&](auto&) { return std::optional(test::error_value(Errc::unavailable)); });
  auto config = things.config(1);
  config.backoff_min = config.backoff_max = 1h;
  Pool pool(config);
  std::thread waiter([&] { EXPECT_EQ(pool.acquire().error, Errc::closed); });
  test::await("the failure", [&] { return pool.stats().create_failed == 1; });
  EXPECT_TRUE(pool.close());
  waiter.join();
}

TEST_F(ResourcePoolClose, WithAPassedDeadlineLeavesTheLeasesToTheirHolders) {
  Pool pool(things.config(2));
  Lease one = take(pool);
  Lease two = take(pool);
  EXPECT_FALSE(pool.close(Deadline::now()));
  EXPECT_EQ(one->id(), 0);
  one.release();
  EXPECT_EQ(things.alive(), 1);
  EXPECT_EQ(things.destroyers().back(), std::this_thread::get_id()) << "nobody else is left";
  two.discard();
  EXPECT_EQ(things.alive(), 0);
  EXPECT_TRUE(pool.close());
}

// Planted: Openers::stop() without its join mutex: two closers join the same thread.
TEST_F(ResourcePoolClose, ByManyAtOnceIsOneClose) {
  for (int round = 0; round < 50; ++round) {
    FakeResources round_things;
    Pool pool(round_things.config(4));
    test::StartLine start(4);
    test::run_threads(4, [&](int thread) {
      auto acquired = pool.acquire();
      start.arrive_and_wait();
      if (thread == 0) {
        acquired.lease.release();
        EXPECT_EQ(pool.acquire(Deadline::never()).error.value_or(Errc::closed), Errc::closed);
      } else {
        acquired.lease.release();
        EXPECT_TRUE(pool.close(thread == 1 ? Deadline::never() : Deadline(1h)));
      }
    });
    EXPECT_TRUE(pool.close());
    EXPECT_EQ(round_things.alive(), 0);
  }
}

TEST_F(ResourcePoolClose, ByManyWithDifferentDeadlinesHarmsNobody) {
  for (int round = 0; round < 50; ++round) {
    FakeResources round_things;
    Pool pool(round_things.config(2));
    Lease lease = take(pool);
    test::StartLine start(4);
    test::run_threads(4, [&](int thread) {
      start.arrive_and_wait();
      switch (thread) {
        case 0: lease.release(); break;
        case 1: pool.close(Deadline::now()); break;
        case 2: pool.close(100us); break;
        default: EXPECT_TRUE(pool.close(Deadline::never()));
      }
    });
    EXPECT_EQ(round_things.alive(), 0);
  }
}

TEST_F(ResourcePoolClose, WhileResetsGoOnEndsEverythingOnce) {
  for (int round = 0; round < 50; ++round) {
    FakeResources round_things;
    {
      Pool pool(round_things.config(4));
      for (int i = 0; i < 4; ++i) EXPECT_TRUE(pool.create_resource());
      test::StartLine start(2);
      test::run_threads(2, [&](int thread) {
        start.arrive_and_wait();
        if (thread == 0) {
          pool.close();
        } else {
          for (int i = 0; i < 3; ++i) pool.reset();
        }
      });
      EXPECT_EQ(round_things.alive(), 0);
      EXPECT_EQ(round_things.destroyers().size(), 4u);
    }
  }
}

// ---- leases that outlive their pool ----------------------------------------------------------

TEST_F(ResourcePoolClose, ALeaseMayOutliveItsPool) {
  Lease late;
  Lease discarded;
  std::optional<FakeResources::Thing> hijacked;
  {
    Pool pool(things.config(4));
    late = take(pool);
    discarded = take(pool);
    hijacked.emplace(take(pool).hijack());
    Lease hijacked_late = take(pool);
    hijacked.emplace(std::move(hijacked_late).hijack());
  }
  EXPECT_EQ(things.alive(), 3);
  ++late->uses;
  discarded.discard();
  EXPECT_EQ(things.alive(), 2);
  std::thread([moved = std::move(late)]() mutable { moved.release(); }).join();
  EXPECT_EQ(things.alive(), 1);
  hijacked.reset();
  EXPECT_EQ(things.destroyers().size(), 2u);
}

TEST_F(ResourcePoolClose, ALeaseMayBeHijackedFromAPoolThatIsGone) {
  Lease lease;
  {
    Pool pool(things.config(1));
    lease = take(pool);
  }
  const auto thing = std::move(lease).hijack();
  EXPECT_EQ(thing.id(), 0);
  EXPECT_EQ(things.alive(), 1);
}

TEST_F(ResourcePoolClose, AnUnfitLateLeaseIsEndedOnceToo) {
  Lease lease;
  {
    Pool pool(things.config(1));
    lease = take(pool);
  }
  lease->broken = true;
  lease.release();
  EXPECT_EQ(things.alive(), 0);
  EXPECT_EQ(things.destroyers().size(), 1u);
}

// The pool goes while its leases come back on other threads. ASan and TSan watch.
TEST_F(ResourcePoolClose, ThePoolMayGoWhileItsLeasesComeBack) {
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<Pool>(things.config(3));
    std::vector<Lease> leases;
    for (int i = 0; i < 3; ++i) leases.push_back(take(*pool));
    test::StartLine start(4);
    test::run_threads(4, [&](int thread) {
      start.arrive_and_wait();
      if (thread == 3) {
        pool.reset();
      } else {
        leases[static_cast<std::size_t>(thread)].release();
      }
    });
    EXPECT_EQ(things.alive(), 0);
  }
}

TEST_F(ResourcePoolClose, StormsOfAcquiresEndWithClosedAndTheBooksWithIt) {
  for (int round = 0; round < 20; ++round) {
    FakeResources round_things;
    Pool pool(round_things.config(2));
    std::atomic<std::uint64_t> attempts{0};
    test::StartLine start(4);
    test::run_threads(4, [&](int thread) {
      start.arrive_and_wait();
      if (thread == 0) {
        test::await("some leases", [&] { return pool.stats().acquired > 50; });
        EXPECT_TRUE(pool.close());
        return;
      }
      for (bool told = false; !told;) {
        ++attempts;
        auto acquired = pool.acquire();
        told = acquired.error.has_value();
        if (told) {
          EXPECT_EQ(acquired.error, Errc::closed);
        } else {
          ++acquired.lease->uses;
        }
      }
    });
    const ResourceStats stats = pool.stats();
    EXPECT_EQ(std::accumulate(stats.failed.begin(), stats.failed.end(), stats.acquired), attempts);
    EXPECT_EQ(stats.acquired, stats.ended);
    EXPECT_EQ(round_things.alive(), 0);
  }
}

// ---- an opening meets the fence, through the test points of Openers
// ------------------------------

#if defined(TIDEGATE_CHECKED)

//     opener                               closer
//     makes the resource
//                                          fence; tells the waiter; sweeps; waits for the opener
//     opened(): closed, hence retired
// Planted: make_available() without its look at closed_. The resource is idle, until a sweep comes
// by.
TEST_F(ResourcePoolClose, AnOpeningThatFinishesJustAfterTheFenceIsRetiredAndNeverPublished) {
  Pool pool(things.config(1));
  test::Hold made("open.after");
  std::thread waiter([&] { EXPECT_EQ(pool.acquire().error, Errc::closed); });
  made.await();
  EXPECT_EQ(things.alive(), 1);
  test::Hold sweeping("close.sweeping");
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    EXPECT_TRUE(pool.close());
    closed = true;
  });
  waiter.join();
  EXPECT_FALSE(closed) << "an opener is under way";
  made.release();
  test::await("the close", [&] { return closed || sweeping.reached(); });
  EXPECT_FALSE(sweeping.reached()) << "it was idle in a closed pool";
  sweeping.release();
  closer.join();
  EXPECT_EQ(things.created(), 1);
  EXPECT_EQ(things.alive(), 0);
  EXPECT_EQ(things.destroyers().size(), 1u);
  const ResourceStats stats = pool.stats();
  EXPECT_EQ(stats.created, 1u);
  EXPECT_EQ(stats.acquired, 0u);
  EXPECT_EQ(stats.counts.idle + stats.counts.leased + stats.counts.connecting, 0u);
}

// Planted: Openers::stop() that fires no stop.
TEST_F(ResourcePoolClose, AnOpeningThatBeginsJustAfterTheFenceHearsOfTheStop) {
  things.before_create([&](const std::stop_token& stop) -> std::optional<ErrorValue> {
    test::await("the stop", [&] { return stop.stop_requested(); });
    return test::error_value(Errc::unavailable);
  });
  Pool pool(things.config(1));
  test::Hold before("open.before");
  std::thread waiter([&] { EXPECT_EQ(pool.acquire().error, Errc::closed); });
  before.await();
  std::thread closer([&] { EXPECT_TRUE(pool.close()); });
  waiter.join();
  before.release();
  closer.join();
  EXPECT_EQ(things.created(), 0);
  EXPECT_EQ(pool.counts().connecting, 0u);
}

#endif

}  // namespace
}  // namespace tidegate::core
