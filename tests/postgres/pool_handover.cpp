// Leases that are handed from thread to thread, and what the pool may say of who holds them. A
// verdict that can be false is none: a wait is refused only where nobody but the waiting thread
// could end it, whatever the program does.
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/core/slot_pool.hpp>

#include "close_support.hpp"
#include "pool_support.hpp"

namespace tidegate::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Outcome = CloseReport::Outcome;

// What was suspected: where, of how many leases, and whether it was a close.
class Suspicions final : public tidegate::Observer {
 public:
  struct Told {
    int line = 0;
    std::size_t leases = 0;
    bool closes = false;
  };
  void self_deadlock_suspected(Location where, const std::vector<LeaseInfo>& leases,
                               bool closes) override {
    const std::lock_guard lock(mutex_);
    told_.push_back({static_cast<int>(where.line()), leases.size(), closes});
  }
  void closed(const CloseReport& report) override { report_ = report; }
  bool wants_leases() const noexcept override { return false; }

  std::vector<Told> told() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  // Of the close; after it.
  const CloseReport& report() const { return *report_; }

 private:
  mutable std::mutex mutex_;
  std::vector<Told> told_;
  std::optional<CloseReport> report_;
};

bool somebody_waits(Pool& pool) {
  return eventually([&] { return pool.stats().waiting == 1; }, 10s);
}

// ---- what is no deadlock ---------------------------------------------------------------------

// A dispatcher acquires, and hands what it got to workers. It waits for the next one while each of
// them still looks like its own. Seen failing, each of these, with WouldDeadlock "this thread holds
// the only lease": a lease counted for its acquirer until another thread used it.
class HandOver : public testing::Test {
 protected:
  HandOver() : pool_(PoolConfig{.max_size = 1, .barge_window = 0us}) {}

  // `worker` ends the lease that is out, when the dispatcher waits for it.
  template <class Worker>
  void expect_served(Worker worker) {
    std::jthread thread([this, worker = std::move(worker)]() mutable {
      EXPECT_TRUE(somebody_waits(pool_));
      worker();
    });
    EXPECT_NO_THROW(pool_.acquire(kLong));
    EXPECT_EQ(pool_.stats().outcomes.would_deadlock, 0u);
  }

  Pool pool_;
};

TEST_F(HandOver, ToAWorkerThatOnlyGivesItBack) {
  Lease lease = pool_.acquire();
  expect_served([mine = std::move(lease)]() mutable { mine.release(); });
}

TEST_F(HandOver, AfterTheDispatcherHasUsedIt) {
  Lease lease = pool_.acquire();
  lease->exec("select 1");
  expect_served([mine = std::move(lease)]() mutable { mine.release(); });
}

TEST_F(HandOver, ToAWorkerThatUsesAndReleasesIt) {
  Lease lease = pool_.acquire();
  expect_served([mine = std::move(lease)]() mutable {
    mine->exec("select 1");
    mine.release();
  });
}

TEST_F(HandOver, ByReference) {
  Lease lease = pool_.acquire();
  expect_served([&lease] { lease.release(); });
}

TEST_F(HandOver, ThroughASharedPointer) {
  auto lease = std::make_shared<Lease>(pool_.acquire());
  expect_served([mine = lease] { mine->release(); });
}

TEST_F(HandOver, ToOneThatDiscardsOrHijacksIt) {
  Lease lease = pool_.acquire();
  expect_served([mine = std::move(lease)]() mutable { mine.discard(); });
  lease = pool_.acquire();
  expect_served([mine = std::move(lease)]() mutable { std::move(mine).hijack(); });
}

TEST_F(HandOver, OfATransaction) {
  auto transaction = pool_.begin();
  transaction.exec("select 1");
  expect_served([mine = std::move(transaction)]() mutable { mine.commit(); });
}

// In a call of the pool it is another thread's as well: the call's frame is on that one.
TEST_F(HandOver, FromACallOfAnotherThread) {
  std::latch in_call(1);
  std::jthread worker([&] {
    pool_.with([&](Connection&) {
      in_call.count_down();
      EXPECT_TRUE(somebody_waits(pool_));
    });
  });
  in_call.wait();
  EXPECT_NO_THROW(pool_.acquire(kLong));
}

// A stage of a shutdown, on the thread that has dispatched all the work. Seen failing with
// WouldDeadlock: nothing was closed.
TEST_F(HandOver, IsWaitedForByACloseOfTheDispatcher) {
  Lease lease = pool_.acquire();
  std::jthread worker([&, mine = std::move(lease)]() mutable {
    EXPECT_TRUE(eventually([&] { return pool_.closed(); }));
    mine.release();
  });
  const CloseReport report = pool_.close({.drain = kLong});
  EXPECT_EQ(report.outcome, Outcome::drained);
  EXPECT_EQ(report.leases_at_close, 1u);
  EXPECT_EQ(report.leases_of_closer, 0u);
}

// ---- what is certain -------------------------------------------------------------------------

// Calls of the pool that run code of the user, with the lease in their own frame.
class InACall : public testing::Test {
 protected:
  // At once: a wait that is not refused ends otherwise.
  void expect_refused(const std::function<void()>& acquire) {
    EXPECT_THROW(acquire(), WouldDeadlock);
  }
  void expect_all_refused() {
    expect_refused([&] { pool_.acquire(1s); });
    expect_refused([&] { pool_.exec("select 1"); });
    expect_refused([&] { pool_.with([](Connection&) {}); });
    expect_refused([&] { pool_.close({.drain = 1s, .cancel = 0ms, .force = 0ms}); });
    EXPECT_EQ(pool_.try_acquire().error().code(), Errc::timeout) << "that one would not wait";
    EXPECT_FALSE(pool_.closed());
    ++called_;
  }

  Pool pool_{PoolConfig{.max_size = 1, .acquire_timeout = 1s}};
  int called_ = 0;
};

TEST_F(InACall, AWaitForTheSamePoolIsRefusedAtOnce) {
  pool_.with([&](Connection&) { expect_all_refused(); });
  pool_.with([&](Connection&) { expect_all_refused(); }, Deadline(kLong));
  pool_.transact([&](Transaction& t) {
    expect_all_refused();
    t.exec("select 1");
    expect_all_refused();
  });
  pool_.transact([&](Transaction&) { expect_all_refused(); }, Deadline(kLong));
  pool_.transact_retry([&](Transaction&) { expect_all_refused(); });
  pool_.copy_out("select 1", [&](const auto&) { expect_all_refused(); });
  pool_.exec("create temp table handed_over (number int)");
  const auto rows = std::views::iota(0, 1) | std::views::transform([&](int i) {
                      expect_all_refused();
                      return std::tuple(i);
                    });
  pool_.copy_in({.table = "handed_over"}, rows);
  EXPECT_EQ(called_, 8);
  // Nothing was taken.
  EXPECT_EQ(pool_.query_value<int>("select 7"), 7);
  EXPECT_EQ(pool_.close().outcome, Outcome::drained);
}

TEST_F(InACall, TheRefusalNamesTheCallsAndWhatToDo) {
  pool_.with([&](Connection& c) {
    try {
      pool_.acquire();
      FAIL() << "nobody could ever have released one";
    } catch (const WouldDeadlock& error) {
      EXPECT_EQ(error.situation(), WouldDeadlock::Situation::acquire);
      EXPECT_THAT(error.what(), HasSubstr("pool_handover.cpp"));
      EXPECT_THAT(error.what(), HasSubstr("pid " + std::to_string(c.backend_pid())));
      EXPECT_THAT(error.what(), HasSubstr("use the connection that the call has given"));
    }
    try {
      pool_.close();
      FAIL() << "it would have waited for its own end";
    } catch (const WouldDeadlock& error) {
      EXPECT_EQ(error.situation(), WouldDeadlock::Situation::close_with_lease);
      EXPECT_THAT(error.what(), HasSubstr("pool_handover.cpp"));
    }
  });
}

// Two calls, one in the other, and a Lease: that one may be given back by anybody.
TEST(InCalls, ALeaseBesideThemMakesItUncertain) {
  Pool pool(PoolConfig{.max_size = 3, .barge_window = 0us});
  pool.with([&](Connection&) {
    pool.transact([&](Transaction&) {
      Lease lease = pool.acquire();
      std::jthread worker([&] {
        ASSERT_TRUE(somebody_waits(pool));
        lease.release();
      });
      EXPECT_NO_THROW(pool.acquire(kLong));
      worker.join();
      pool.with([&](Connection&) { EXPECT_THROW(pool.acquire(1s), WouldDeadlock); });
    });
  });
}

// The call is over, the connection is the next one's.
TEST(InCalls, EndWithTheCall) {
  Pool pool(PoolConfig{.max_size = 1, .barge_window = 0us});
  pool.with([](Connection&) {});
  EXPECT_THROW(pool.with([](Connection&) { throw 3; }), int);
  Lease lease = pool.acquire();
  std::jthread worker([&] {
    ASSERT_TRUE(somebody_waits(pool));
    lease.release();
  });
  EXPECT_NO_THROW(pool.acquire(kLong));
}

// ---- what looks like one ---------------------------------------------------------------------

// `auto a = pool.acquire(); auto b = pool.acquire();` with a pool of one. Nobody has `a` but this
// thread, which the pool cannot know: it waits, tells the observer, and says at the deadline what
// it looks like.
TEST(SelfDeadlock, IsToldToTheObserverAndNamedAtTheDeadline) {
  const auto suspicions = std::make_shared<Suspicions>();
  Pool pool(PoolConfig{.name = "orders", .max_size = 2, .observer = suspicions});
  const Lease first = pool.acquire();
  const Lease second = pool.acquire();
  const Location here = Location::current();
  try {
    pool.acquire(10 * core::kSuspicious, {}, here);
    FAIL() << "there are two";
  } catch (const AcquireTimeout& error) {
    EXPECT_THAT(
        error.what(),
        AllOf(HasSubstr("likely: all leases were acquired or last used by this very thread"),
              HasSubstr(first.info().site.to_string()),
              HasSubstr("pid " + std::to_string(second.info().backend_pid)),
              HasSubstr("hint: pass the connection down instead of acquiring again")));
  }
  ASSERT_EQ(suspicions->told().size(), 1u);
  EXPECT_EQ(suspicions->told()[0].line, static_cast<int>(here.line()));
  EXPECT_EQ(suspicions->told()[0].leases, 2u);
  EXPECT_FALSE(suspicions->told()[0].closes);
  EXPECT_EQ(pool.stats().self_deadlocks_suspected, 1u);
  EXPECT_EQ(pool.stats().outcomes.would_deadlock, 0u);
}

// A deadline too short for the observer, a stop, and one that never waits: the words are there.
TEST(SelfDeadlock, IsNamedByEveryAcquireThatEndsWithoutALease) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease lease = pool.acquire();
  constexpr auto kWords = "likely: the lease was acquired or last used by this very thread";
  try {
    pool.acquire(1ms);
    FAIL();
  } catch (const AcquireTimeout& error) {
    EXPECT_THAT(error.what(), HasSubstr(kWords));
  }
  const auto refused = pool.try_acquire();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what(), HasSubstr(kWords));
  std::stop_source stop;
  std::jthread stopper([&] {
    ASSERT_TRUE(somebody_waits(pool));
    stop.request_stop();
  });
  try {
    pool.acquire(Deadline::never(), stop.get_token());
    FAIL();
  } catch (const AcquireCanceled& error) {
    EXPECT_THAT(error.what(), HasSubstr(kWords));
  }
}

// Others have one of them: it is an ordinary shortage.
TEST(SelfDeadlock, IsNoneWhereOthersHaveALease) {
  const auto suspicions = std::make_shared<Suspicions>();
  Pool pool(PoolConfig{.max_size = 2, .observer = suspicions});
  const Lease mine = pool.acquire();
  Lease adopted = pool.acquire();
  std::jthread([&] { adopted.adopt(); }).join();
  const auto refused = pool.try_acquire(2 * core::kSuspicious);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::timeout);
  EXPECT_THAT(refused.error().what(), Not(HasSubstr("likely")));
  EXPECT_TRUE(suspicions->told().empty());
}

// It closes with a Lease in its hands. What it waits for does not come, within its bounds; then it
// says why.
TEST(SelfDeadlock, OfACloseEndsWithItsPhasesAndIsInTheReport) {
  const auto suspicions = std::make_shared<Suspicions>();
  Pool pool(PoolConfig{.max_size = 1, .observer = suspicions});
  const Lease lease = pool.acquire();
  const Location here = Location::current();
  const CloseReport report =
      pool.close({.drain = 10 * core::kSuspicious, .cancel = 0ms, .force = 0ms}, here);
  EXPECT_EQ(report.outcome, Outcome::orphaned);
  EXPECT_EQ(report.leases_of_closer, 1u);
  EXPECT_THAT(to_string(report),
              HasSubstr("1 of them was acquired or last used by the closing thread"));
  ASSERT_EQ(suspicions->told().size(), 1u);
  EXPECT_EQ(suspicions->told()[0].line, static_cast<int>(here.line()));
  EXPECT_TRUE(suspicions->told()[0].closes);
}

TEST(SelfDeadlock, OfACloseIsNoneWhereAnotherThreadHasTheLease) {
  const auto suspicions = std::make_shared<Suspicions>();
  Pool pool(PoolConfig{.max_size = 1, .observer = suspicions});
  Lease lease = pool.acquire();
  std::jthread([&] { lease.adopt(); }).join();
  const CloseReport report =
      pool.close({.drain = 2 * core::kSuspicious, .cancel = 0ms, .force = 0ms});
  EXPECT_EQ(report.leases_of_closer, 0u);
  EXPECT_EQ(to_string(report).find("closing thread itself"), std::string::npos);
  EXPECT_TRUE(suspicions->told().empty());
}

// ---- the destructor --------------------------------------------------------------------------

// It cannot be refused either. What a worker has in its hands, and only gives back, is waited for.
// Seen failing as orphaned.
TEST(PoolDestructor, WaitsForALeaseThatItsThreadHasHandedOn) {
  const auto suspicions = std::make_shared<Suspicions>();
  std::jthread worker;
  {
    Pool pool(PoolConfig{.max_size = 1, .close_drain = kLong, .observer = suspicions});
    auto lease = std::make_shared<Lease>(pool.acquire());
    const std::stop_token closing = lease->stop_token();
    worker = std::jthread([lease, closing] {
      EXPECT_TRUE(eventually([&] { return closing.stop_requested(); }));
      lease->release();
    });
  }
  EXPECT_EQ(suspicions->report().outcome, Outcome::drained);
}

// Nobody else has it, and drain is over: it works on, as after an announcement by anybody, where a
// lease of another thread would be canceled and cut off.
TEST(PoolDestructor, LeavesALeaseOfItsOwnThreadAloneWhenDrainIsOver) {
  const auto suspicions = std::make_shared<Suspicions>();
  Lease own;
  {
    Pool pool(PoolConfig{.max_size = 1,
                         .close_drain = 10 * core::kSuspicious,
                         .close_cancel = 1s,
                         .close_force = 1s,
                         .observer = suspicions});
    own = pool.acquire();
  }
  EXPECT_EQ(suspicions->report().outcome, Outcome::orphaned);
  EXPECT_EQ(suspicions->report().leases_of_closer, 1u);
  EXPECT_EQ(suspicions->told().size(), 1u);
  EXPECT_EQ(own->query_value<int>("select 1"), 1);
}

// As above, where somebody else has begun to close it: drain is over, and the lease is left alone.
TEST(PoolDestructor, LeavesALeaseOfItsOwnThreadAloneInACloseOfAnother) {
  const auto suspicions = std::make_shared<Suspicions>();
  Lease own;
  {
    Pool pool(PoolConfig{.max_size = 1,
                         .close_drain = 10 * core::kSuspicious,
                         .close_cancel = 1s,
                         .close_force = 1s,
                         .observer = suspicions});
    own = pool.acquire();
    pool.request_close("in a signal handler");
  }
  EXPECT_EQ(suspicions->report().outcome, Outcome::orphaned);
  EXPECT_LT(suspicions->report().total, kPatience);
  EXPECT_EQ(own->query_value<int>("select 1"), 1);
}

}  // namespace
}  // namespace tidegate::test
