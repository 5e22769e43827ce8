// Close in phases: what each does to leases that do not come back, and who may shorten it.
#include <csignal>

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <thread>

#include <gmock/gmock.h>

#include "pool_support.hpp"
#include "pq_support.hpp"
#include "support/companion.hpp"
#include "support/stuck_look_ups.hpp"

namespace tidegate::test {
namespace {

using Outcome = CloseReport::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr auto kLong = 60s;
// A bound that nothing here comes near to unless it hangs.
constexpr auto kPatience = 30s;

// A thread that holds a lease in a statement that does not end, and tells how it ended.
class Sleeper {
 public:
  explicit Sleeper(Pool& pool) {
    std::promise<int> pid;
    auto started = pid.get_future();
    thread_ = std::jthread([&pool, this, pid = std::move(pid)]() mutable {
      Lease lease = pool.acquire();
      pid.set_value(lease->backend_pid());
      try {
        lease->exec("select pg_sleep(3600)");
      } catch (const QueryError& error) {
        ended_.set_value(error.code());
        return;
      }
      ended_.set_value(Errc::usage);
    });
    pid_ = started.get();
    pq_test::wait_until_asleep(pid_);
  }
  int pid() const { return pid_; }
  Errc ended_with() { return ended_.get_future().get(); }

 private:
  int pid_ = 0;
  std::promise<Errc> ended_;
  std::jthread thread_;
};

// ---- cancel ----------------------------------------------------------------------------------

TEST(CloseCancels, AStatementThatDoesNotEnd) {
  Pool pool(PoolConfig{.max_size = 2});
  Sleeper sleeper(pool);
  const CloseReport report = pool.close({.drain = 0ms, .cancel = kLong, .reason = "SIGTERM"});
  EXPECT_EQ(sleeper.ended_with(), Errc::canceled);
  EXPECT_EQ(report.outcome, Outcome::drained_after_cancel);
  EXPECT_EQ(report.cancels_sent, 1u);
  EXPECT_EQ(report.cancels_failed, 0u);
  ASSERT_EQ(report.remaining.size(), 1u);
  EXPECT_TRUE(report.remaining[0].canceled);
  EXPECT_EQ(report.remaining[0].ended_in, "cancel");
  EXPECT_EQ(report.remaining[0].lease.backend_pid, sleeper.pid());
  EXPECT_EQ(report.remaining[0].lease.statement, "select pg_sleep(3600)");
  EXPECT_THAT(to_string(report), HasSubstr("drained_after_cancel"));
}

TEST(CloseCancels, AlsoAStatementThatBeginsInThatPhase) {
  Pool pool(PoolConfig{.max_size = 1});
  std::latch held(1);
  std::latch closing(1);
  std::jthread user([&] {
    Lease lease = pool.acquire();
    held.count_down();
    closing.wait();
    EXPECT_THROW(lease->exec("select pg_sleep(3600)"), QueryCanceled);
  });
  held.wait();
  auto report =
      std::async(std::launch::async, [&] { return pool.close({.drain = 0ms, .cancel = kLong}); });
  ASSERT_TRUE(eventually([&] {
    const auto refused = pool.try_acquire();
    const auto* closed = refused ? nullptr : refused.error().as<PoolClosed>();
    return closed != nullptr && closed->closer().phase == "cancel";
  }));
  closing.count_down();
  EXPECT_EQ(report.get().outcome, Outcome::drained_after_cancel);
}

// Nothing runs on it that could be canceled; the report says so.
TEST(CloseCancels, NotALeaseThatIsIdleInTransaction) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  lease->exec("begin");
  std::jthread([&] {
    const CloseReport report = pool.close({.drain = 0ms, .cancel = 1ms, .force = 0ms});
    EXPECT_EQ(report.outcome, Outcome::orphaned);
    EXPECT_EQ(report.cancels_sent, 0u);
    ASSERT_EQ(report.remaining.size(), 1u);
    EXPECT_FALSE(report.remaining[0].canceled);
    EXPECT_THAT(to_string(report), HasSubstr("in transaction"));
    EXPECT_THAT(to_string(report), HasSubstr("no statement to cancel"));
  }).join();
  EXPECT_EQ(lease->query_value<int>("select 1"), 1) << "an orphan works on";
}

// ---- force -----------------------------------------------------------------------------------

// By each kind of transport: the slot's own descriptor is shut down, and nothing of libpq.
class CloseForces : public testing::TestWithParam<const char*> {
 protected:
  std::string conninfo() {
    const std::string kind = GetParam();
    if (kind == "unix") return "";
    if (kind == "tcp") return "host=" + pq_test::environment("TIDEGATE_PG_TCP_HOST");
    server_.emplace(std::vector<std::string>{"--ssl"});
    return "host=localhost port=" + server_->port() +
           " user=postgres dbname=postgres sslmode=verify-full sslrootcert=" +
           server_->certificate_authority();
  }

 private:
  std::optional<OwnServer> server_;
};

TEST_P(CloseForces, AStatementWhoseServerDoesNotAnswer) {
  Pool pool(PoolConfig{.conninfo = conninfo(), .max_size = 1});
  std::promise<int> pid;
  std::atomic<bool> lost{false};
  std::jthread user([&] {
    Lease lease = pool.acquire();
    pid.set_value(lease->backend_pid());
    try {
      lease->exec("select pg_sleep(3600)");
    } catch (const ConnectionLost&) {
      lost = true;
    }
  });
  const Frozen frozen(pid.get_future().get());
  ASSERT_TRUE(eventually([&] { return !pool.leases().empty() && pool.leases()[0].busy; }));
  const CloseReport report = pool.close({.drain = 0ms, .cancel = 1ms, .force = kLong});
  EXPECT_EQ(report.outcome, Outcome::drained_after_force);
  ASSERT_EQ(report.remaining.size(), 1u);
  EXPECT_TRUE(report.remaining[0].forced);
  EXPECT_EQ(report.remaining[0].ended_in, "force");
  user.join();
  EXPECT_TRUE(lost);
}

INSTANTIATE_TEST_SUITE_P(Over, CloseForces, testing::Values("unix", "tcp", "tls"),
                         [](const auto& transport) { return std::string(transport.param); });

TEST(CloseForces, WithoutACancelBeforeIt) {
  Pool pool(PoolConfig{.max_size = 1});
  Sleeper sleeper(pool);
  const CloseReport report = pool.close({.drain = 0ms, .cancel = 0ms, .force = kLong});
  EXPECT_EQ(report.outcome, Outcome::drained_after_force);
  EXPECT_EQ(report.cancels_sent, 0u);
  EXPECT_EQ(sleeper.ended_with(), Errc::connection_lost);
}

TEST(CloseForces, NotAThreadThatMakesNoCall) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  std::jthread([&] {
    const CloseReport report = pool.close({.drain = 0ms, .cancel = 1ms, .force = 1ms});
    EXPECT_EQ(report.outcome, Outcome::orphaned);
    EXPECT_EQ(report.leases_orphaned, 1u);
    ASSERT_EQ(report.remaining.size(), 1u);
    EXPECT_TRUE(report.remaining[0].forced);
    EXPECT_EQ(report.remaining[0].ended_in, "");
    EXPECT_THAT(to_string(report), HasSubstr("no call is on it that could fail"));
  }).join();
  EXPECT_THROW(lease->exec("select 1"), ConnectionLost);
}

// ---- bounds and callers ----------------------------------------------------------------------

TEST(ClosePhases, TakeNoLongerThanTheirSumWhateverTheServerDoes) {
  Pool pool(PoolConfig{.max_size = 2});
  auto leases = lease_all(pool);
  const int frozen_pid = leases[0]->backend_pid();
  const Frozen frozen(frozen_pid);
  std::jthread([&] {
    const CloseReport report = pool.close({.drain = 10ms, .cancel = 10ms, .force = 10ms});
    EXPECT_LT(report.total, kPatience);
    EXPECT_EQ(report.leases_orphaned, 2u);
  }).join();
}

TEST(ClosePhases, AreShortenedByALaterCallAndNeverProlonged) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  auto first = std::async(std::launch::async, [&] {
    return pool.close({.drain = kLong, .cancel = kLong, .force = kLong, .reason = "first"});
  });
  ASSERT_TRUE(eventually([&] { return pool.closed(); }));
  auto second = std::async(std::launch::async, [&] {
    return pool.close({.drain = 0ms, .cancel = 0ms, .force = 0ms, .reason = "second"});
  });
  const CloseReport report = first.get();
  EXPECT_LT(report.total, kPatience);
  EXPECT_EQ(report.outcome, Outcome::orphaned);
  EXPECT_EQ(report.closer.reason, "first");
  ASSERT_EQ(report.later_callers.size(), 1u);
  EXPECT_EQ(report.later_callers[0].reason, "second");
  EXPECT_EQ(second.get().total, report.total) << "the same report";
}

TEST(ClosePhases, AreNotProlongedByALaterCall) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  auto first = std::async(std::launch::async, [&] {
    return pool.close({.drain = 200ms, .cancel = 0ms, .force = 0ms});
  });
  ASSERT_TRUE(eventually([&] { return pool.closed(); }));
  auto second = std::async(std::launch::async, [&] { return pool.close({.drain = kLong}); });
  EXPECT_LT(first.get().total, kPatience);
  EXPECT_LT(second.get().total, kPatience);
}

TEST(ClosePhases, EightClosersWithDifferentDeadlinesGetOneReport) {
  Pool pool(PoolConfig{.max_size = 2});
  auto leases = lease_all(pool);
  std::vector<std::future<CloseReport>> reports;
  for (int i = 0; i < 8; ++i) {
    reports.push_back(std::async(std::launch::async, [&pool, i] {
      return pool.close({.drain = 1ms * (40 - 5 * i), .cancel = 1ms * i, .force = 1ms * i});
    }));
  }
  const CloseReport first = reports[0].get();
  EXPECT_EQ(first.outcome, Outcome::orphaned);
  for (std::size_t i = 1; i < 8; ++i) EXPECT_EQ(reports[i].get().total, first.total);
}

TEST(ClosePhases, HurryEndsTheDrainAndLeavesCancelItsTime) {
  Pool pool(PoolConfig{.max_size = 1});
  Sleeper sleeper(pool);
  std::stop_source hurry;
  auto closing = std::async(std::launch::async, [&] {
    return pool.close({.drain = kLong, .cancel = kLong, .hurry = hurry.get_token()});
  });
  ASSERT_TRUE(eventually([&] { return pool.closed(); }));
  hurry.request_stop();
  const CloseReport report = closing.get();
  EXPECT_EQ(report.outcome, Outcome::drained_after_cancel);
  EXPECT_LT(report.drain, kPatience);
}

TEST(ClosePhases, AreTheConfiguredOnesUnlessTheCallSaysOtherwise) {
  Pool pool("pool_max_conns=1 pool_close_drain=0 pool_close_cancel=1m pool_close_force=0");
  Sleeper sleeper(pool);
  EXPECT_EQ(pool.close().outcome, Outcome::drained_after_cancel);
}

TEST(ClosePhases, RefuseToBeNegative) {
  Pool pool(PoolConfig{.max_size = 1});
  for (const CloseOptions& options :
       {CloseOptions{.cancel = -1ms}, CloseOptions{.force = -1ms}, CloseOptions{.drain = -1ms}}) {
    EXPECT_THROW(pool.close(options), UsageError);
  }
  EXPECT_FALSE(pool.closed());
}

TEST(ClosePhases, ThatWaitTellHowItGoes) {
  struct Listener : tidegate::Observer {
    void close_phase(std::string_view phase) override { phases.emplace_back(phase); }
    void close_waits(std::chrono::nanoseconds so_far,
                     const std::vector<LeaseInfo>& leases) override {
      EXPECT_GE(so_far, 1s);
      EXPECT_EQ(leases.size(), 1u);
      ++told;
    }
    void closed(const CloseReport& report) override { outcome = report.outcome; }
    std::vector<std::string> phases;
    int told = 0;
    std::optional<Outcome> outcome;
  };
  const auto listener = std::make_shared<Listener>();
  Pool pool(PoolConfig{.max_size = 1, .observer = listener});
  Lease lease = pool.acquire();
  std::jthread([&] { pool.close({.drain = 1500ms, .cancel = 1ms, .force = 1ms}); }).join();
  EXPECT_THAT(listener->phases, ElementsAre("fence", "drain", "cancel", "force", "orphaned"));
  EXPECT_EQ(listener->told, 1);
  EXPECT_EQ(listener->outcome, Outcome::orphaned);
}

// ---- request_close ---------------------------------------------------------------------------

Pool* signalled = nullptr;

TEST(RequestClose, FromASignalHandlerSetsTheFenceAndThePoolDoesTheRest) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 2});
  pool.exec("select 1");
  signalled = &pool;
  struct sigaction action{};
  action.sa_handler = [](int) { signalled->request_close("SIGUSR1"); };
  struct sigaction before{};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  errno = 4711;
  ::raise(SIGUSR1);
  EXPECT_EQ(errno, 4711) << "a handler leaves errno as it was";
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_TRUE(pool.closed());
  const auto refused = pool.try_acquire(Deadline::never());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().as<PoolClosed>()->closer().reason, "SIGUSR1");
  EXPECT_THAT(refused.error().what(), HasSubstr("pool_close_phases.cpp"));
  EXPECT_TRUE(eventually([&] {
    const Stats stats = pool.stats();
    return stats.idle + stats.retiring == 0;
  })) << "without anybody calling close()";
}

TEST(RequestClose, IsJoinedByALaterClose) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  pool.request_close("the first");
  std::jthread([&] {
    const CloseReport report = pool.close({.drain = 1ms, .cancel = 1ms, .force = 1ms});
    EXPECT_EQ(report.closer.reason, "the first");
    EXPECT_EQ(report.outcome, Outcome::orphaned);
  }).join();
}

TEST(RequestClose, TellsWhoWaits) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  auto waiter = std::async(std::launch::async, [&] {
    const auto refused = pool.try_acquire(Deadline::never());
    return refused ? Errc::usage : refused.error().code();
  });
  ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  pool.request_close();
  EXPECT_EQ(waiter.get(), Errc::closed);
}

TEST(RequestClose, OfAClosedPoolDoesNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  pool.close({.reason = "mine"});
  pool.request_close("too late");
  EXPECT_EQ(pool.try_acquire().error().as<PoolClosed>()->closer().reason, "mine");
}

// ---- what the errors say ---------------------------------------------------------------------

TEST(PoolClosedText, NamesPhaseHoldersWithPidAndTransactionAndWhoIsAttached) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 2});
  const UserToken user = pool.attach("http-server");
  Lease lease = pool.acquire();
  lease->exec("begin");
  auto closing = std::async(std::launch::async, [&] {
    return pool.close({.drain = kLong, .cancel = 0ms, .force = 0ms, .reason = "SIGTERM"});
  });
  std::string text;
  ASSERT_TRUE(eventually([&] {
    const auto refused = pool.try_acquire();
    if (refused) return false;
    text = refused.error().what();
    return text.find("phase drain") != std::string::npos;
  }));
  EXPECT_THAT(text, StartsWith("pool \"orders\" is closed: closed by"));
  EXPECT_THAT(text, HasSubstr("while http-server (postgres/pool_close_phases.cpp"));
  EXPECT_THAT(text, HasSubstr("1 of 2 leases outstanding"));
  EXPECT_THAT(text, HasSubstr("pid " + std::to_string(lease->backend_pid()) + ", in transaction"));
  EXPECT_THAT(text, HasSubstr("this acquire: postgres/pool_close_phases.cpp"));
  lease.release();
  EXPECT_THAT(closing.get().still_attached, ElementsAre(StartsWith("http-server (")));
}

// ---- threads that do not come back, and pools that end on their own threads --------------------

TEST(CloseEndsInTime, WithAHookThatDoesNotReturnAndNamesIt) {
  std::latch inside(1);
  auto release = std::make_shared<std::latch>(1);
  PoolConfig config{.max_size = 1, .close_drain = 0ms, .close_cancel = 0ms, .close_force = 0ms};
  config.hooks.after_connect = [&inside, release](Connection&) {
    inside.count_down();
    release->wait();
  };
  {
    Pool pool(config);
    EXPECT_FALSE(pool.try_acquire().has_value());
    inside.wait();
    const CloseReport report = pool.close();
    EXPECT_LT(report.total, kPatience);
    EXPECT_EQ(report.connects_aborted, 1u);
    ASSERT_EQ(report.stuck_threads.size(), 1u);
    EXPECT_EQ(report.stuck_threads[0].role, "opener");
    EXPECT_EQ(report.stuck_threads[0].in, "hook after_connect");
    EXPECT_THAT(to_string(report), HasSubstr("left behind: opener thread"));
  }
  // The pool is gone; what the hook still refers to is not (ASan looks).
  release->count_down();
  config = {};
  EXPECT_TRUE(eventually([&] { return release.use_count() == 1; })) << "the pool's end follows";
}

TEST(CloseEndsInTime, WithANameLookUpThatDoesNotReturn) {
  tidegate::test::StuckLookUps stuck("stuck.invalid");
  {
    Pool pool(PoolConfig{.conninfo = "host=stuck.invalid", .max_size = 1});
    EXPECT_FALSE(pool.try_acquire().has_value());
    stuck.await_one();
    const CloseReport report = pool.close({.drain = 0ms, .cancel = 0ms, .force = 0ms});
    ASSERT_EQ(report.stuck_threads.size(), 1u);
    EXPECT_EQ(report.stuck_threads[0].role, "opener");
    EXPECT_EQ(report.stuck_threads[0].in, "a connect, at the look-up of a host name");
  }
}

TEST(CloseEndsInTime, WithAnObserverThatDoesNotReturn) {
  struct Blocking : tidegate::Observer {
    void retired(const ConnectionRetired&) override {
      inside.count_down();
      release.wait();
    }
    std::latch inside{1};
    std::latch release{1};
  };
  const auto blocking = std::make_shared<Blocking>();
  {
    Pool pool(PoolConfig{.max_size = 1, .observer = blocking});
    pool.acquire().discard();
    blocking->inside.wait();
    const CloseReport report = pool.close({.drain = 0ms, .cancel = 0ms, .force = 0ms});
    ASSERT_EQ(report.stuck_threads.size(), 1u);
    EXPECT_EQ(report.stuck_threads[0].role, "maintenance");
  }
  blocking->release.count_down();
  EXPECT_TRUE(eventually([&] { return blocking.use_count() == 1; })) << "the pool's end follows";
}

TEST(PoolDestructor, DoesNotWaitForLeasesOfItsOwnThread) {
  struct Listener : tidegate::Observer {
    void close_phase(std::string_view phase) override {
      if (phase == "drain") draining.count_down();
    }
    void closed(const CloseReport& given) override { report = given; }
    std::latch draining{1};
    CloseReport report;
  };
  const auto listener = std::make_shared<Listener>();
  Lease own;
  std::jthread other;
  {
    Pool pool(PoolConfig{.max_size = 2, .close_drain = kLong, .observer = listener});
    own = pool.acquire();
    std::promise<void> held;
    other = std::jthread([&held, &pool, listener] {
      const Lease lease = pool.acquire();
      held.set_value();
      listener->draining.wait();
    });
    held.get_future().wait();
  }
  EXPECT_EQ(own->query_value<int>("select 1"), 1);
  EXPECT_EQ(listener->report.outcome, Outcome::orphaned);
  EXPECT_EQ(listener->report.leases_at_close, 2u);
  EXPECT_EQ(listener->report.leases_orphaned, 1u) << "the other's was waited for";
}

// Seen failing with a pool that closes itself on the hook's own thread: it waits for that.
TEST(PoolDestructor, InAHookOfThePoolLeavesTheRestToOthers) {
  auto pool = std::make_shared<std::unique_ptr<Pool>>();
  const auto destroyed = std::make_shared<std::promise<void>>();
  std::latch nobody_uses_it(1);
  PoolConfig config{.name = "suicide", .max_size = 1, .close_drain = kLong};
  config.hooks.after_connect = [pool, &nobody_uses_it, destroyed](Connection&) {
    nobody_uses_it.wait();
    pool->reset();
    destroyed->set_value();
  };
  *pool = std::make_unique<Pool>(config);
  EXPECT_FALSE((*pool)->try_acquire().has_value());
  nobody_uses_it.count_down();
  ASSERT_EQ(destroyed->get_future().wait_for(kPatience), std::future_status::ready);
  Observer observer;
  EXPECT_TRUE(eventually([&] { return observer.backends("suicide") == 0; }));
}

TEST(Close, OnAThreadOfThePoolIsRefused) {
  struct Closer : tidegate::Observer {
    void retired(const ConnectionRetired&) override {
      try {
        pool->close();
      } catch (const WouldDeadlock&) {
        refused.set_value();
      }
    }
    Pool* pool = nullptr;
    std::promise<void> refused;
  };
  const auto closer = std::make_shared<Closer>();
  Pool pool(PoolConfig{.max_size = 1, .observer = closer});
  closer->pool = &pool;
  pool.acquire().discard();
  EXPECT_EQ(closer->refused.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_FALSE(pool.closed());
}

// Handed over and used elsewhere: the holder is who used it last, so who acquired it may close.
TEST(Close, ByAThreadWhoseLeasesOthersUseIsNoDeadlock) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  std::latch used(1);
  std::jthread other([&, lease = std::move(lease)]() mutable {
    lease->exec("select 1");
    used.count_down();
    EXPECT_TRUE(eventually([&] { return pool.closed(); }));
    lease.release();
  });
  used.wait();
  EXPECT_EQ(pool.close({.drain = kLong}).outcome, Outcome::drained);
}

}  // namespace
}  // namespace tidegate::test
