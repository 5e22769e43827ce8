// Lanes: one-shot statements share connections when none is idle (docs/lanes.md).
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <tidegate/core/sync.hpp>

#include "pool_support.hpp"
#include "pq_support.hpp"
#include "support/pgbouncer.hpp"
#include "support/proxy.hpp"
#include "support/rendezvous.hpp"
#include "support/test_points.hpp"

namespace tidegate::test {
namespace {

// Calls of a pool that share the one lane of its one connection: the connection is out until all of
// them are on the lane. Each has its own thread; join() waits for all.
class Together {
 public:
  explicit Together(Pool& pool) : pool_(pool), held_(pool.acquire(30s)) {}
  ~Together() { join(); }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

  // They get on the lane one after the other, so they are sent in this order.
  void call(std::function<void()> f) {
    Hold pushed("lane.pushed");
    calls_.emplace_back(std::move(f));
    pushed.await();
  }
  void release() { held_.release(); }
  // The same, and returns when so many have been sent.
  void send(std::uint64_t count) {
    release();
    EXPECT_TRUE(eventually([&] { return pool_.stats().lanes.statements == count; }));
  }
  void join() {
    release();
    calls_.clear();
  }

 private:
  Pool& pool_;
  Lease held_;
  std::vector<std::jthread> calls_{};
};

PoolConfig with_a_lane() { return {.max_size = 1, .lanes = 1, .lane_limit = 60'000ms}; }

// The code of the error that `f` ends with; none: it ends without.
std::optional<Errc> ends_with(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST(PoolLanes, WhatWaitsTogetherIsSentTogether) {
  Pool pool(with_a_lane());
  {
    Together together(pool);
    for (int i = 0; i < 8; ++i) {
      together.call([&pool, i] { EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i); });
    }
    together.join();
  }
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.lanes.statements, 8u);
  EXPECT_EQ(stats.lanes.rounds, 1u);
  EXPECT_EQ(stats.lanes.callers, 0u);
  EXPECT_EQ(stats.lanes.open, 0u);
  EXPECT_EQ(stats.leased, 0u);
  EXPECT_EQ(stats.created, 1u);
  EXPECT_EQ(stats.acquired(), stats.released);
}

TEST(PoolLanes, AnIdleConnectionIsTakenAsEver) {
  Pool pool(with_a_lane());
  pool.acquire();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i);
  EXPECT_EQ(pool.stats().lanes.statements, 0u);
}

TEST(PoolLanes, EveryAnswerReachesTheOneWhoAsked) {
  Pool pool(PoolConfig{.max_size = 2, .lanes = 2});
  std::vector<std::jthread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 200; ++i) {
        const int nonce = t * 1000 + i;
        const auto [number, text] =
            pool.query_row<int, std::string>("select $1::int4, $1::text || 'x'", nonce);
        ASSERT_EQ(number, nonce);
        ASSERT_EQ(text, std::to_string(nonce) + "x");
      }
    });
  }
  threads.clear();
  const Stats stats = pool.stats();
  EXPECT_GT(stats.lanes.statements, 0u);
  EXPECT_EQ(stats.leased, 0u);
  EXPECT_EQ(stats.lanes.callers, 0u);
}

// Each has a Sync of its own, hence a transaction of its own.
TEST(PoolLanes, AnErrorReachesItsOwnerAlone) {
  Pool pool(with_a_lane());
  pool.exec_script(
      "drop table if exists lanes_alone; create table lanes_alone (i int primary key)");
  Together together(pool);
  together.call([&] { pool.exec("insert into lanes_alone values ($1)", 1); });
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec("insert into lanes_alone values ($1)", 1); }), Errc::query);
  });
  together.call([&] { pool.exec("insert into lanes_alone values ($1)", 2); });
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec("select * from lanes_of_nobody"); }), Errc::query);
  });
  together.call([&] {
    try {
      pool.exec("select 1; select 2");
      ADD_FAILURE() << "two statements";
    } catch (const QueryError& error) {
      EXPECT_EQ(error.sqlstate(), "42601");
      EXPECT_EQ(error.statement(), "select 1; select 2");
    }
  });
  together.call([&] { EXPECT_EQ(pool.query_value<int>("select 5"), 5); });
  together.join();
  EXPECT_EQ(pool.query_value<std::int64_t>("select sum(i) from lanes_alone"), 3);
  EXPECT_EQ(pool.stats().lanes.statements, 6u);
  pool.exec("drop table lanes_alone");
}

// The one with the deadline leaves, the server is asked to cancel what it left, and whoever that
// strikes is run again.
TEST(PoolLanes, ADeadlineOfOneIsNobodyElses) {
  Pool pool(with_a_lane());
  Together together(pool);
  std::atomic<int> served{0};
  together.call([&] {
    EXPECT_EQ(pool.query_value<int>("select 1"), 1);
    ++served;
  });
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec({.by = 300ms}, "select pg_sleep(600)"); }), Errc::timeout);
  });
  for (int i = 0; i < 4; ++i) {
    together.call([&pool, &served, i] {
      EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i);
      ++served;
    });
  }
  together.join();
  EXPECT_EQ(served, 5);
  const bool in_time = pool.stats().lanes.statements >= 6;  // sent before its deadline
  EXPECT_EQ(pool.stats().cancels.sent > 0, in_time);
  EXPECT_EQ(pool.query_value<int>("select 6"), 6);
  EXPECT_EQ(pool.stats().destroyed.broken, 0u);
}

TEST(PoolLanes, AStopOfOneIsNobodyElses) {
  Pool pool(with_a_lane());
  Together together(pool);
  std::stop_source stop;
  together.call([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
  together.call([&] {
    EXPECT_EQ(ends_with([&] {
                pool.exec({.stop = stop.get_token()}, "select pg_sleep(600) /* stops */");
              }),
              Errc::canceled);
  });
  together.call([&] { EXPECT_EQ(pool.query_value<int>("select 2"), 2); });
  together.release();
  Observer observer;
  Pool watch(PoolConfig{.max_size = 1});
  EXPECT_TRUE(eventually([&] {
    return watch.query_value<bool>(
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep' and query like "
        "'%stops%' and pid <> pg_backend_pid())");
  }));
  stop.request_stop();
  together.join();
  EXPECT_EQ(pool.query_value<int>("select 3"), 3);
}

// The leader's own statement is the slow one: another leads meanwhile.
TEST(PoolLanes, ALeaderLeavesToo) {
  Pool pool(with_a_lane());
  Together together(pool);
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec({.by = 300ms}, "select pg_sleep(600)"); }), Errc::timeout);
  });
  together.call([&] { EXPECT_EQ(pool.query_value<int>("select 2"), 2); });
  together.join();
  EXPECT_EQ(pool.query_value<int>("select 3"), 3);
}

// A thread that the system has stopped: a signal whose handler returns when go_on() is called.
class Stopped {
 public:
  explicit Stopped(std::int32_t thread) {
    struct sigaction action{};
    action.sa_handler = stand_still;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGUSR2, &action, &before_);
    going_ = standing_ = false;
    EXPECT_EQ(::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR2), 0);
    await("a thread to stop", [] { return standing_.load(); });
  }
  ~Stopped() {
    go_on();
    ::sigaction(SIGUSR2, &before_, nullptr);
  }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;
  void go_on() {
    going_ = true;
    await("a thread to go on", [] { return !standing_; });
  }

 private:
  static void stand_still(int) {
    const int error = errno;
    for (standing_ = true; !going_;) {
      const timespec moment{0, 1'000'000};
      ::nanosleep(&moment, nullptr);
    }
    standing_ = false;
    errno = error;
  }
  static inline std::atomic<bool> standing_{false};
  static inline std::atomic<bool> going_{false};
  struct sigaction before_{};
};

// Nobody can lead while the leader stands still, but whoever has a limit leaves at it: those that
// were sent, and those that came later. What has none has its answer when the leader goes on.
TEST(PoolLanes, AStoppedLeaderKeepsNobodyPastTheirLimit) {
  Pool pool(with_a_lane());
  pool.acquire();
  Observer observer;
  Pool others(PoolConfig{.max_size = 1});
  Lease holder = others.acquire();
  holder->exec("select pg_advisory_lock(91117)");
  std::atomic<std::int32_t> leader{0};
  std::atomic<int> answered{0};
  {
    Together together(pool);
    together.call([&] {
      leader = core::current_thread_id();
      pool.exec("select pg_advisory_xact_lock(91117)");
      ++answered;
    });
    std::atomic<int> late{0};
    const auto is_late = [&] {
      EXPECT_EQ(ends_with([&] { pool.exec({.by = 300ms}, "select 1"); }), Errc::timeout);
      ++late;
    };
    together.call(is_late);
    std::stop_source stop;
    std::atomic<bool> canceled{false};
    together.call([&] {
      EXPECT_EQ(ends_with([&] { pool.exec({.stop = stop.get_token()}, "select 2"); }),
                Errc::canceled);
      canceled = true;
    });
    together.call([&] {
      EXPECT_EQ(pool.query_value<int>("select 3"), 3);
      ++answered;
    });
    together.send(4);
    Stopped stopped(leader);
    std::jthread newcomer(is_late);
    await("those with a deadline", [&] { return late == 2; });
    stop.request_stop();
    await("the one that is stopped", [&] { return canceled.load(); });
    EXPECT_EQ(holder->query_value<bool>("select pg_advisory_unlock(91117)"), true);
    EXPECT_EQ(answered, 0);
    stopped.go_on();
    together.join();
  }
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(pool.query_value<int>("select 4"), 4);
  EXPECT_EQ(pool.stats().lanes.callers, 0u);
  EXPECT_EQ(pool.stats().destroyed.broken, 0u);
}

TEST(PoolLanes, WhoeverWaitsInVainIsToldSo) {
  Pool pool(with_a_lane());
  Together together(pool);
  together.call([&] { expect_timeout_before(20s, [&] { pool.exec({.by = 20ms}, "select 1"); }); });
  std::stop_source stop;
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec({.stop = stop.get_token()}, "select 1"); }),
              Errc::canceled);
  });
  together.call([&] { expect_timeout_before(20s, [&] { pool.exec({.by = 20ms}, "select 1"); }); });
  stop.request_stop();
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 0; }));
  together.join();
  EXPECT_EQ(pool.stats().lanes.statements, 0u);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

TEST(PoolLanes, WhatWasSentOnALostConnectionIsLost) {
  Pool pool(with_a_lane());
  const int pid = pid_of(pool);
  Together together(pool);
  for (int i = 0; i < 3; ++i) {
    together.call([&] {
      try {
        pool.exec("select pg_sleep(600) /* lost */");
        ADD_FAILURE() << "nobody ends it";
      } catch (const ConnectionLost& error) {
        EXPECT_TRUE(error.outcome_unknown());
        EXPECT_EQ(error.sqlstate(), "57P01") << error.what();
        EXPECT_EQ(error.statement(), "select pg_sleep(600) /* lost */");
      }
    });
  }
  together.release();
  Observer observer;
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.statements == 3; }));
  observer.terminate(pid);
  together.join();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().lanes.callers, 0u);
}

TEST(PoolLanes, CloseFencesWhatWasNotSent) {
  Pool pool(PoolConfig{.max_size = 1, .lanes = 1, .lane_limit = 60'000ms, .close_drain = 20'000ms});
  Together together(pool);
  std::atomic<int> closed{0};
  for (int i = 0; i < 4; ++i) {
    together.call([&] {
      if (ends_with([&] { pool.exec("select 1"); }) == Errc::closed) ++closed;
    });
  }
  std::jthread closer([&] { pool.close(); });
  EXPECT_TRUE(eventually([&] { return closed == 4; }));
  together.join();
  EXPECT_EQ(pool.stats().outcomes.closed, 4u) << "each is counted once";
}

// Behind a statement that is under way, too: the fence is for the lane's own connection.
TEST(PoolLanes, CloseFencesWhatWaitsForTheNextRound) {
  Pool pool(with_a_lane());
  Together together(pool);
  together.call([&] { pool.exec("select pg_sleep(0.3)"); });
  together.send(1);
  together.call([&] { EXPECT_EQ(ends_with([&] { pool.exec("select 1"); }), Errc::closed); });
  std::jthread closer([&] { EXPECT_EQ(pool.close().outcome, CloseReport::Outcome::drained); });
  together.join();
  closer.join();
  EXPECT_EQ(pool.stats().lanes.statements, 1u);
}

// What was sent is waited for, as leases are.
TEST(PoolLanes, CloseWaitsForWhatWasSent) {
  Pool pool(with_a_lane());
  Together together(pool);
  std::atomic<int> served{0};
  for (int i = 0; i < 3; ++i) {
    together.call([&] {
      pool.exec("select pg_sleep(0.2)");
      ++served;
    });
  }
  together.send(3);
  const CloseReport report = pool.close();
  together.join();
  EXPECT_EQ(served, 3);
  EXPECT_EQ(report.outcome, CloseReport::Outcome::drained);
}

// Whoever looks on sees how many callers share the connection.
TEST(PoolLanes, LeasesAndReportsSayHowManyShare) {
  Pool pool(with_a_lane());
  Together together(pool);
  for (int i = 0; i < 3; ++i) {
    together.call([&] { ends_with([&] { pool.exec("select pg_sleep(600) /* shared */"); }); });
  }
  together.release();
  EXPECT_TRUE(eventually([&] {
    const auto leases = pool.leases();
    return leases.size() == 1 && leases[0].under_way > 0;
  }));
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.statements == 3; }));
  const std::vector<LeaseInfo> leases = pool.leases();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].under_way, 3);
  EXPECT_NE(
      to_string(leases[0]).find(
          "running \"select pg_sleep(600) /* shared */\" and 2 more of other callers, on a lane"),
      std::string::npos)
      << to_string(leases[0]);
  const CloseReport report = pool.close({.drain = 0ms, .cancel = 20s, .force = 1s});
  ASSERT_EQ(report.remaining.size(), 1u);
  EXPECT_EQ(report.remaining[0].lease.under_way, 3);
}

// A close that cancels does not have statements run again.
TEST(PoolLanes, CloseCancelsWhatWasSent) {
  Pool pool(with_a_lane());
  Together together(pool);
  std::atomic<int> canceled{0};
  for (int i = 0; i < 2; ++i) {
    together.call([&] {
      const auto code = ends_with([&] { pool.exec("select pg_sleep(600)"); });
      if (code == Errc::canceled || code == Errc::connection_lost) ++canceled;
    });
  }
  together.send(2);
  pool.close({.drain = 0ms, .cancel = 20s, .force = 1s});
  together.join();
  EXPECT_EQ(canceled, 2);
}

TEST(PoolLanes, AStalePreparedStatementIsRunAgain) {
  Pool pool(with_a_lane());
  pool.exec_script("drop table if exists lanes_stale; create table lanes_stale as select 1 as a");
  const char* const sql = "select * from lanes_stale";
  for (int i = 0; i < 2; ++i) EXPECT_EQ(pool.exec(sql).columns(), 1u);
  Pool(PoolConfig{.max_size = 1}).exec("alter table lanes_stale add b int default 2");
  Together together(pool);
  for (int i = 0; i < 3; ++i) {
    together.call([&] { EXPECT_EQ((pool.query_row<int, int>(sql)), std::tuple(1, 2)); });
  }
  together.join();
  EXPECT_GT(pool.stats().lanes.rerun, 0u);
  pool.exec("drop table lanes_stale");
}

// It takes a connection of its own, although it waits for that.
TEST(PoolLanes, WhatWorksOnItsSessionDoesNotTravel) {
  Pool pool(with_a_lane());
  for (const char* sql : {"set work_mem = '4MB'", "select set_config('a.b', 'c', false)",
                          "select pg_advisory_lock(4711)", "listen lanes", "begin"}) {
    Lease held = pool.acquire(30s);
    std::jthread call([&] { pool.exec(sql); });
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; })) << sql;
    EXPECT_EQ(pool.stats().lanes.callers, 0u) << sql;
    held.release();
  }
  Lease held = pool.acquire(30s);
  std::jthread call([&] { pool.exec({.shared = false}, "select 1"); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  EXPECT_EQ(pool.stats().lanes.callers, 0u);
  held.release();
  call.join();
  EXPECT_EQ(pool.stats().lanes.statements, 0u);
}

TEST(PoolLanes, WhatIsTooLargeDoesNotTravel) {
  Pool pool(with_a_lane());
  Lease held = pool.acquire(30s);
  const std::string large(1 << 20, 'x');
  std::jthread call(
      [&] { EXPECT_EQ(pool.query_value<std::string>("select $1::text", large), large); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  held.release();
  call.join();
  EXPECT_EQ(pool.stats().lanes.statements, 0u);
}

TEST(PoolLanes, ParametersOfAllKindsTravel) {
  Pool pool(with_a_lane());
  Together together(pool);
  together.call([&] {
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
    EXPECT_EQ(pool.query_value<std::vector<std::byte>>("select $1::bytea", bytes), bytes);
  });
  together.call([&] {
    const std::vector<int> numbers{1, 2, 3};
    EXPECT_EQ(pool.query_value<std::vector<int>>("select $1::int4[]", numbers), numbers);
  });
  together.call([&] {
    EXPECT_EQ(pool.query_value<std::optional<int>>("select $1::int4", std::optional<int>()),
              std::nullopt);
  });
  std::jthread([&] {
    EXPECT_EQ(ends_with([&] { pool.exec("select $1::text", std::string("a\0b", 3)); }),
              Errc::usage);
  }).join();
}

// What a thread might wait for itself with is found out as ever: it does not get on a lane.
TEST(PoolLanes, AThreadWithALeaseTakesNoLane) {
  Pool pool(with_a_lane());
  pool.with([&](Connection&) {
    EXPECT_EQ(ends_with([&] { pool.exec("select 1"); }), Errc::would_deadlock);
  });
}

// Not even a place where somebody else leads: it waits for a connection, as an acquire does.
TEST(PoolLanes, AThreadWithALeaseWaitsBesideTheLane) {
  Pool pool(PoolConfig{.max_size = 2, .lanes = 1});
  const Lease mine = pool.acquire(30s);
  std::optional<Lease> others;
  std::jthread([&] { others = pool.acquire(30s); }).join();
  std::jthread leads([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 1; }));
  std::jthread looks([&] {
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 2; }));
    EXPECT_EQ(pool.stats().lanes.callers, 1u);
    others.reset();
  });
  EXPECT_EQ(pool.query_value<int>("select 2"), 2);
}

TEST(PoolLanes, AStatementThatIsSlowTakesAConnectionOfItsOwn) {
  Pool pool(PoolConfig{.max_size = 1, .lanes = 1, .lane_limit = 5ms});
  const char* const sql = "select pg_sleep(0.05)";
  {
    Together together(pool);
    together.call([&] { pool.exec(sql); });
  }
  EXPECT_EQ(pool.stats().lanes.statements, 1u);
  Lease held = pool.acquire(30s);
  std::jthread call([&] { pool.exec(sql); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  EXPECT_EQ(pool.stats().lanes.callers, 0u);
  held.release();
  call.join();
  EXPECT_EQ(pool.stats().lanes.statements, 1u);
}

// libpq reads a result to its end before it hands it out: nobody waits for that twice.
TEST(PoolLanes, AStatementThatReturnsMuchTakesAConnectionOfItsOwn) {
  Pool pool(with_a_lane());
  const char* const sql = "select repeat('x', 1000000)";
  {
    Together together(pool);
    together.call([&] { EXPECT_EQ(pool.query_value<std::string>(sql).size(), 1'000'000u); });
  }
  EXPECT_EQ(pool.stats().lanes.statements, 1u);
  Lease held = pool.acquire(30s);
  std::jthread call([&] { pool.exec(sql); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  held.release();
  call.join();
  EXPECT_EQ(pool.stats().lanes.statements, 1u);
}

// Whoever waits on a lane that a slow statement blocks takes another way.
TEST(PoolLanes, NobodyWaitsBehindASlowStatement) {
  Pool pool(PoolConfig{.max_size = 2, .lanes = 1, .lane_limit = 5ms});
  std::vector<Lease> held;
  held.push_back(pool.acquire(30s));
  held.push_back(pool.acquire(30s));
  std::jthread slow([&] { ends_with([&] { pool.exec({.by = 20s}, "select pg_sleep(600)"); }); });
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 1; }));
  held.pop_back();
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.statements == 1; }));
  // Until the round has taken longer than the limit: then nobody takes a place there even to try.
  for (const Deadline too_long(50ms); !too_long.passed();) std::this_thread::yield();
  std::jthread fast([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  EXPECT_EQ(pool.stats().lanes.moved, 0u) << "at once, not after a try";
  held.clear();
  fast.join();
  pool.close({.drain = 0ms, .cancel = 20s, .force = 1s});
}

// A lane gives its connection back while somebody waits for one.
TEST(PoolLanes, AnAcquireIsNotStarved) {
  Pool pool(PoolConfig{.max_size = 1, .lanes = 1});
  std::atomic<bool> over{false};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (!over) pool.exec("select 1");
    });
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.acquire(30s)->query_value<int>("select 7"), 7);
  over = true;
}

TEST(PoolLanes, NothingTravelsWhereLeasesAreCleanedOrPrepared) {
  std::vector<PoolConfig> configs(3, PoolConfig{.max_size = 1, .lanes = 1});
  configs[0].reset = ResetPolicy::discard_all;
  configs[1].nested_acquire = NestedAcquire::warn;
  configs[2].hooks.after_release = [](Connection&) { return true; };
  for (const PoolConfig& each : configs) {
    Pool pool(each);
    Lease held = pool.acquire(30s);
    std::jthread call([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
    held.release();
    call.join();
    EXPECT_EQ(pool.stats().lanes.statements, 0u);
  }
}

// ---- what a look at other projects' reports has found ------------------------------------------

// A text was cut off at its NUL: a DELETE without its WHERE was run. Prepared, it failed those of
// others.
TEST(PoolLanes, ATextWithANulByteIsRefusedAndNobodyElseIs) {
  Pool pool(with_a_lane());
  Together together(pool);
  for (const bool prepared : {true, false}) {
    std::jthread([&] {
      EXPECT_EQ(ends_with([&] {
                  pool.exec({.prepared = prepared}, std::string("select 1\0 where false", 22));
                }),
                Errc::usage);
    }).join();
  }
  together.call([&] { EXPECT_EQ(pool.query_value<int>("select 1"), 1); });
}

// Parse waits for a lock on the table: it is one of the round's statements, and nobody waits for it
// but those behind it, and those not for long. Its owner leaves in time.
TEST(PoolLanes, NobodyWaitsBehindATableThatIsLocked) {
  Connection locker = pq_test::connect_to_server();
  locker.exec_script("drop table if exists lanes_locked; create table lanes_locked (i int)");
  Pool pool(PoolConfig{.max_size = 2, .lanes = 1, .lane_limit = 5ms});
  Transaction lock = locker.begin();
  lock.exec("lock table lanes_locked in access exclusive mode");
  std::vector<Lease> held;
  held.push_back(pool.acquire(30s));
  held.push_back(pool.acquire(30s));
  std::jthread waits([&] {
    EXPECT_EQ(ends_with([&] { pool.exec({.by = 500ms}, "select * from lanes_locked"); }),
              Errc::timeout);
  });
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 1; }));
  std::jthread behind([&] { EXPECT_EQ(pool.query_value<int>("select 2"), 2); });
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 2; }));
  held.pop_back();  // both are sent, or the second moves
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.statements >= 1; }));
  held.pop_back();
  std::jthread([&] { EXPECT_EQ(pool.query_value<int>("select 3"), 3); }).join();
  waits.join();
  behind.join();
  lock.rollback();
  EXPECT_TRUE(eventually([&] { return pool.stats().leased == 0; }));
}

// Nothing comes of the cancel: the connection is given up, as with a lease; those behind it are not
// kept waiting for ever.
TEST(PoolLanes, AStatementThatCannotBeCanceledKeepsNobodyForEver) {
  Pool pool(with_a_lane());
  const int pid = pid_of(pool);
  {
    Together together(pool);
    std::stop_source stop;
    together.call([&] {
      EXPECT_EQ(ends_with([&] { pool.exec({.stop = stop.get_token()}, "select pg_sleep(600)"); }),
                Errc::canceled);
    });
    together.call(
        [&] { EXPECT_EQ(ends_with([&] { pool.exec("select 1"); }), Errc::connection_lost); });
    together.send(2);
    const Frozen server(pid);
    stop.request_stop();
    together.join();
  }
  EXPECT_EQ(pool.query_value<int>("select 2"), 2);
}

// The last phase: the socket is shut down, and everybody on the lane is told.
TEST(PoolLanes, CloseForcesWhatCannotBeCanceled) {
  Pool pool(with_a_lane());
  const int pid = pid_of(pool);
  Together together(pool);
  for (int i = 0; i < 2; ++i) {
    together.call([&] {
      EXPECT_EQ(ends_with([&] { pool.exec("select pg_sleep(600)"); }), Errc::connection_lost);
    });
  }
  together.send(2);
  const Frozen server(pid);
  const CloseReport report = pool.close({.drain = 0ms, .cancel = 100ms, .force = 20s});
  EXPECT_EQ(report.outcome, CloseReport::Outcome::drained_after_force);
  together.join();
}

// Whoever gets the lead with a statement that was not sent is bound as an acquire is.
TEST(PoolLanes, WhoeverLeadsWithoutHavingBeenSentIsToldInTime) {
  PoolConfig config = with_a_lane();
  config.acquire_timeout = 400ms;
  Pool pool(config);
  const int pid = pid_of(pool);
  Together together(pool);
  std::stop_source stop;
  together.call([&] {
    EXPECT_EQ(ends_with([&] { pool.exec({.stop = stop.get_token()}, "select pg_sleep(600)"); }),
              Errc::canceled);
  });
  together.send(1);
  const Frozen server(pid);
  together.call([&] { EXPECT_THROW(pool.exec("select 1"), AcquireTimeout); });
  stop.request_stop();
  together.join();
}

struct CountedParam {
  std::atomic<int>* count;
};

}  // namespace
}  // namespace tidegate::test

template <>
struct tidegate::Convert<tidegate::test::CountedParam> {
  static void encode(const tidegate::test::CountedParam& value, tidegate::Params& params) {
    ++*value.count;
    params.text(std::string(200'000, 'x'));
  }
};

namespace tidegate::test {
namespace {

// It was bound anew for each lane, and each seat kept a copy.
TEST(PoolLanes, WhatDoesNotFitGoesToALeaseAtOnce) {
  Pool pool(PoolConfig{.max_size = 1, .lanes = 1});
  Lease held = pool.acquire(30s);
  std::atomic<int> encoded{0};
  std::jthread call([&] {
    EXPECT_EQ(pool.query_value<int>("select length($1::text)", CountedParam{&encoded}), 200'000);
  });
  EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
  held.release();
  call.join();
  EXPECT_LE(encoded, 2);
}

// Wherever the connection ends, between two messages or within one: each statement has its own
// answer, or is lost, and the pool goes on.
TEST(PoolLanes, ACutAnywhereIsALossOfWhatWasNotAnswered) {
  using stress::Direction;
  stress::Proxy proxy(pq_test::environment("PGHOST"), pq_test::environment("PGPORT"));
  PoolConfig config = with_a_lane();
  config.conninfo = "host=127.0.0.1 sslmode=disable gssencmode=disable port=" + proxy.port();
  Pool pool(config);
  for (const Direction direction : {Direction::to_client, Direction::to_server}) {
    bool cut = true;
    for (std::uint64_t after = 0; cut; after += 5) {
      ASSERT_LT(after, 10'000u);
      std::atomic<int> answered{0};
      std::atomic<int> lost{0};
      {
        Together together(pool);
        proxy.set(direction, {.cut_after = after});
        for (int i = 0; i < 3; ++i) {
          together.call([&pool, &answered, &lost, i] {
            try {
              EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i);
              ++answered;
            } catch (const ConnectionLost&) {
              ++lost;
            }
          });
        }
        together.release();
        // What was not sent goes on with another connection, when one can be made.
        EXPECT_TRUE(eventually([&] { return lost > 0 || answered == 3; }));
        proxy.heal();
      }
      EXPECT_EQ(answered + lost, 3);
      cut = lost > 0;
      EXPECT_EQ(pool.query_value<int>("select 7"), 7) << after;
      EXPECT_EQ(pool.stats().lanes.callers, 0u) << after;
    }
  }
}

// Its statements would meet another session each, and nobody knows what it does with a pipeline.
TEST(PoolLanes, NothingTravelsThroughAPooler) {
  const Bouncer bouncer(1);
  PoolConfig config = PoolConfig::parse(bouncer.conninfo() + " pool_max_conns=1 pool_lanes=1");
  config.lane_limit = 60'000ms;
  Pool pool(config);
  for (int i = 0; i < 2; ++i) {  // it is met, and then known
    Lease held = pool.acquire(30s);
    std::vector<std::jthread> calls;
    for (int call = 0; call < 3; ++call) {
      calls.emplace_back(
          [&pool, call] { EXPECT_EQ(pool.query_value<int>("select $1::int4", call), call); });
    }
    EXPECT_TRUE(eventually([&] {
      const Stats stats = pool.stats();
      return stats.lanes.callers + stats.waiting >= 3;
    }));
    held.release();
  }
  EXPECT_EQ(pool.stats().lanes.statements, 0u);
}

// Short deadlines, errors, slow statements, cancels and nonces, all at once: every answer is its
// own, and nothing is left over.
TEST(PoolLanes, AllAtOnce) {
  Pool pool(PoolConfig{.max_size = 2, .lanes = 2});
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 100; ++i) {
        const int nonce = t * 1000 + i;
        switch ((t + i) % 10) {
          case 0:
            EXPECT_EQ(ends_with([&] { pool.exec("select 1 / $1::int4", 0); }), Errc::query);
            break;
          case 1: {
            const auto code = ends_with(
                [&] { pool.exec({.by = 2ms}, "select pg_sleep(0.004), $1::int4", nonce); });
            EXPECT_TRUE(!code || code == Errc::timeout);
            break;
          }
          default: ASSERT_EQ(pool.query_value<int>("select $1::int4", nonce), nonce);
        }
      }
    });
  }
  threads.clear();
  EXPECT_TRUE(eventually([&] { return pool.stats().leased == 0; }));
  EXPECT_EQ(pool.stats().lanes.callers, 0u);
  EXPECT_EQ(pool.query_value<int>("select 8"), 8);
}

}  // namespace
}  // namespace tidegate::test
