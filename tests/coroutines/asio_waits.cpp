// Coroutines that wait: in the pool's queue, for a server, for a deadline, on several loops.
#include <libpq-fe.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include <support/sanitizers.hpp>
#include <support/test_points.hpp>

#include "coroutines/asio_support.hpp"

namespace tidegate::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// ---- the queue ---------------------------------------------------------------------------------

TEST(AsioWait, ServesCoroutinesInTheOrderOfTheirComing) {
  Pool pool("pool_max_conns=1");
  std::vector<int> order;
  net::io_context loop(1);
  run_on(loop, [&]() -> Task {
    ta::Lease held = co_await ta::acquire(pool);
    for (int i = 0; i < 5; ++i) {
      net::co_spawn(
          loop,
          [&, i]() -> Task {
            ta::Lease lease = co_await ta::acquire(pool);
            order.push_back(i);
            EXPECT_EQ(co_await lease.query_value<int>("select $1::int4", i), i);
          },
          net::detached);
    }
    co_await until([&] { return waiting(pool) == 5; });
    EXPECT_TRUE(order.empty());
  });
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4}));
}

TEST(AsioWait, ThreadsAndCoroutinesStandInOneQueue) {
  Pool pool(PoolConfig{.max_size = 1, .barge_window = 0ms});
  std::vector<std::string> order;
  std::mutex mutex;
  const auto note = [&](const char* who) {
    const std::lock_guard lock(mutex);
    order.emplace_back(who);
  };
  Lease held = pool.acquire();
  std::thread first([&] {
    const Lease lease = pool.acquire();
    note("thread");
  });
  ASSERT_TRUE(eventually([&] { return waiting(pool) == 1; }));
  std::thread loop([&] {
    run([&]() -> Task {
      const ta::Lease lease = co_await ta::acquire(pool);
      note("coroutine");
    });
  });
  ASSERT_TRUE(eventually([&] { return waiting(pool) == 2; }));
  std::thread last([&] {
    const Lease lease = pool.acquire();
    note("last thread");
  });
  ASSERT_TRUE(eventually([&] { return waiting(pool) == 3; }));
  held.release();
  first.join();
  loop.join();
  last.join();
  EXPECT_EQ(order, (std::vector<std::string>{"thread", "coroutine", "last thread"}));
}

#if defined(TIDEGATE_CHECKED)
//     who gives the connection back     the loop
//     decides the wait: granted
//                                       the timer runs out: too late, the result is on its way
//     calls back: posts it
// Nobody owned the operation then: it went, and the coroutine was never heard of again. Seen
// failing: a timer that is not set anew.
TEST(AsioWait, ATimerThatIsLateByAMomentLeavesTheCoroutineItsConnection) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  net::io_context loop(1);
  const Deadline deadline(50ms);
  bool has_it = false;
  net::co_spawn(
      loop,
      [&]() -> Task {
        ta::Lease lease = co_await ta::acquire(pool, deadline);
        has_it = static_cast<bool>(lease);
      },
      net::detached);
  while (waiting(pool) == 0) loop.run_one();
  Hold granted("async.before_told");
  std::thread releaser([&] { held.release(); });
  granted.await();
  while (!deadline.passed()) loop.run_one_for(10ms);
  loop.run_for(20ms);  // the timer's turn
  EXPECT_FALSE(has_it);
  granted.release();
  releaser.join();
  loop.restart();
  loop.run_for(10s);
  EXPECT_TRUE(has_it);
}
#endif

TEST(AsioWait, EndsAtItsDeadlineWithTheUsualReport) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 1});
  const Lease held = pool.acquire();
  run([&]() -> Task {
    const std::string error = co_await error_of<AcquireTimeout>(
        [](Pool& of) -> Task { (void)co_await ta::acquire(of, 20ms); }(pool));
    EXPECT_THAT(error, AllOf(HasSubstr("orders"), HasSubstr("asio_waits.cpp")));
  });
  EXPECT_EQ(pool.stats().outcomes.timeout, 1u);
  EXPECT_EQ(pool.stats().waiting, 0u);
}

TEST(AsioWait, TheConfiguredTimeoutIsTheDefault) {
  Pool pool(PoolConfig{.max_size = 1, .acquire_timeout = 20ms});
  const Lease held = pool.acquire();
  run([&]() -> Task {
    co_await error_of<AcquireTimeout>(
        [](Pool& of) -> Task { (void)co_await ta::acquire(of); }(pool));
    co_await error_of<AcquireTimeout>(
        [](Pool& of) -> Task { co_await ta::exec(of, "select 1"); }(pool));
  });
}

// So many coroutines that wait for a connection until the pool is closed; each that is told counts.
void spawn_waiters(net::io_context& loop, Pool& pool, int count, int& told) {
  for (int i = 0; i < count; ++i) {
    net::co_spawn(
        loop,
        [&]() -> Task {
          co_await error_of<PoolClosed>(
              [](Pool& of) -> Task { (void)co_await ta::acquire(of); }(pool));
          ++told;
        },
        net::detached);
  }
}

TEST(AsioWait, ACloseTellsEveryCoroutine) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  int told = 0;
  run_on(loop, [&]() -> Task {
    ta::Lease held = co_await ta::acquire(pool);
    spawn_waiters(loop, pool, 20, told);
    co_await until([&] { return waiting(pool) == 20; });
    net::co_spawn(
        loop,
        [&]() -> Task {
          co_await until([&] { return told == 20; });
          EXPECT_EQ(co_await held.query_value<int>("select 5"), 5) << "leases live on";
          held.release();
        },
        net::detached);
    const CloseOptions options{.reason =
                                   "the test, told at length so that the text is on the heap"};
    const CloseReport report = co_await ta::close(pool, options);
    EXPECT_EQ(report.outcome, CloseReport::Outcome::drained) << to_string(report);
    EXPECT_EQ(report.waiters_rejected, 20u);
  });
  EXPECT_EQ(told, 20);
}

// A close on the loop's own thread, while coroutines wait that this loop would have to tell: they
// hold nothing up.
TEST(AsioWait, ABlockingCloseOnTheLoopWaitsForNoWaiter) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  std::optional<Lease> held = pool.acquire();
  int told = 0;
  run_on(loop, [&]() -> Task {
    spawn_waiters(loop, pool, 5, told);
    co_await until([&] { return waiting(pool) == 5; });
    std::thread elsewhere([&] {
      eventually([&] { return pool.closed(); });
      held.reset();
    });
    const CloseReport report = pool.close({.drain = 20s});
    elsewhere.join();
    EXPECT_EQ(report.outcome, CloseReport::Outcome::drained) << to_string(report);
    EXPECT_EQ(told, 0);
  });
  EXPECT_EQ(told, 5);
}

// Cancel, the second phase of a close: the statement of a coroutine is canceled, and its lease
// comes back by itself.
TEST(AsioWait, ACloseCancelsTheStatementOfACoroutine) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  bool canceled = false;
  run_on(
      loop,
      [&]() -> Task {
        co_await error_of<QueryCanceled>(
            [](Pool& of) -> Task { co_await ta::exec(of, "select pg_sleep(60)"); }(pool));
        canceled = true;
      },
      [&]() -> Task {
        co_await until([&] { return pool.stats().leased == 1; });
        const CloseOptions options{.drain = 10ms, .cancel = 20s};
        const CloseReport report = co_await ta::close(pool, options);
        EXPECT_EQ(report.outcome, CloseReport::Outcome::drained_after_cancel) << to_string(report);
      });
  EXPECT_TRUE(canceled);
}

// Force, the third: a server process that does not answer any more.
TEST(AsioWait, ACloseCutsOffTheStatementOfACoroutine) {
  Pool pool(PoolConfig{.max_size = 1});
  const Frozen frozen(pid_of(pool));
  net::io_context loop(1);
  bool lost = false;
  run_on(
      loop,
      [&]() -> Task {
        ta::Lease lease = co_await ta::acquire(pool);
        try {
          co_await lease.exec("select 1");
        } catch (const QueryError&) {  // lost, or canceled and given up, whichever is first
          lost = !lease.connection().is_open();
        }
      },
      [&]() -> Task {
        co_await until([&] { return pool.stats().leased == 1; });
        const CloseOptions options{.drain = 10ms, .cancel = 50ms, .force = 20s};
        const CloseReport report = co_await ta::close(pool, options);
        EXPECT_EQ(report.outcome, CloseReport::Outcome::drained_after_force) << to_string(report);
      });
  EXPECT_TRUE(lost);
}

TEST(AsioWait, AServerThatRefusesIsToldAtOnce) {
  Pool pool(PoolConfig::parse("dbname=no_such_database pool_max_conns=1"));
  run([&]() -> Task {
    co_await error_of<ConnectError>(
        [](Pool& of) -> Task { co_await ta::exec(of, "select 1"); }(pool));
  });
}

// Each wants a ping before it is handed out. Nobody on the loop waits for the answer: maintenance
// asks, and the acquire waits in the queue.
TEST(AsioWait, PingsAreMaintenances) {
  struct WhoPings final : tidegate::Observer {
    std::atomic<std::thread::id> thread{};
    void ping_started(int) override { thread = std::this_thread::get_id(); }
  };
  const auto who = std::make_shared<WhoPings>();
  std::atomic<int> asked{0};
  PoolConfig config{.max_size = 1};
  config.observer = who;
  config.hooks.should_ping = [&](const Connection&, std::chrono::nanoseconds) {
    return asked++ == 0;
  };
  Pool pool(std::move(config));
  pool.query_value<int>("select 1");
  await_idle_long_enough();
  asked = 0;
  run([&]() -> Task { EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1"), 1); });
  EXPECT_EQ(pool.stats().pings, 1u);
  EXPECT_NE(who->thread.load(), std::thread::id());
  EXPECT_NE(who->thread.load(), std::this_thread::get_id()) << "the loop's";
  EXPECT_EQ(pool.stats().outcomes.immediate + pool.stats().outcomes.waited, 2u);
}

// ---- many --------------------------------------------------------------------------------------

TEST(AsioMany, TenThousandCoroutinesShareEightConnections) {
  Pool pool(PoolConfig{.max_size = 8});
  net::io_context loop(1);
  int right = 0;
  for (int i = 0; i < 10'000; ++i) {
    net::co_spawn(
        loop,
        [&, i]() -> Task {
          right += co_await ta::query_value<int>(pool, "select $1::int4", i) == i;
        },
        net::detached);
  }
  loop.run();
  EXPECT_EQ(right, 10'000);
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.acquired(), 10'000u);
  EXPECT_LE(stats.created, 8u);
  EXPECT_EQ(stats.waiting, 0u);
  EXPECT_EQ(stats.leased, 0u);
}

#if !defined(TIDEGATE_TEST_SANITIZED)
// What 2,000 coroutines take that wait for a connection, beyond what as many take that wait for a
// timer. Bytes that malloc has given out, not pages.
TEST(AsioMany, AWaitingCoroutineTakesLessThanAKilobyteOfOurs) {
  constexpr std::size_t kCoroutines = 2000;
  const auto bytes_of = [](const std::function<Task(net::io_context&)>& wait,
                           const std::function<bool(std::size_t)>& all_wait) {
    net::io_context loop(1);
    std::size_t begun = 0;
    const std::size_t before = ::mallinfo2().uordblks;
    for (std::size_t i = 0; i < kCoroutines; ++i) {
      net::co_spawn(
          loop,
          [&]() -> Task {
            ++begun;
            co_await wait(loop);
          },
          net::detached);
    }
    while (!all_wait(begun)) loop.poll_one();
    return ::mallinfo2().uordblks - before;
  };
  const std::size_t timers = bytes_of(
      [](net::io_context& loop) -> Task {
        net::steady_timer timer(loop, net::steady_timer::time_point::max());
        co_await timer.async_wait(net::use_awaitable);
      },
      [](std::size_t begun) { return begun == kCoroutines; });
  Pool pool(PoolConfig{.max_size = 1});
  const Lease held = pool.acquire();
  const std::size_t acquires =
      bytes_of([&](net::io_context&) -> Task { (void)co_await ta::acquire(pool); },
               [&](std::size_t) { return waiting(pool) == kCoroutines; });
  const double each = (static_cast<double>(acquires) - static_cast<double>(timers)) / kCoroutines;
  RecordProperty("bytes", std::to_string(each));
  std::printf("%.0f bytes a waiting coroutine, %.0f with a timer's\n", each,
              static_cast<double>(acquires) / kCoroutines);
  EXPECT_LE(each, 1024);
}
#endif

// No strand: the handlers of one operation may run on any of the threads, side by side.
TEST(AsioMany, ALoopMayHaveManyThreads) {
  Pool pool(PoolConfig{.max_size = 4});
  net::io_context loop;
  std::atomic<int> right{0};
  constexpr int kCoroutines = 400;
  for (int i = 0; i < kCoroutines; ++i) {
    net::co_spawn(
        loop,
        [&, i]() -> Task {
          for (int k = 0; k < 5; ++k) {
            ta::Lease lease = co_await ta::acquire(pool, 60s);
            const int value = 10 * i + k;
            const ExecOptions options{.by = Deadline(60s)};
            right += co_await lease.query_value<int>(options, "select $1::int4", value) == value;
          }
        },
        net::detached);
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { loop.run(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 5 * kCoroutines);
  EXPECT_EQ(pool.stats().leased, 0u);
}

TEST(AsioMany, ConnectionsMoveBetweenLoopsAndThreads) {
  Pool pool(PoolConfig{.max_size = 2});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      run([&]() -> Task {
        for (int i = 0; i < 100; ++i) {
          const int value = 1000 * t + i;
          if (co_await ta::query_value<int>(pool, "select $1::int4", value) != value) ++wrong;
        }
      });
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 100; ++i) {
      if (pool.query_value<int>("select $1::int4", -i) != -i) ++wrong;
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(pool.stats().created, 2u);
}

// Loops and threads on few connections; verbs at random, with and without deadlines that pass;
// server processes that end. Each answer is its own statement's, and nothing is left behind.
TEST(AsioMany, EverythingAtOnce) {
  Pool pool(PoolConfig{.name = "everything", .max_size = 4, .acquire_timeout = 20s});
  std::atomic<int> right{0};
  std::atomic<int> wrong{0};
  std::atomic<int> refused{0};
  std::atomic<int> over{0};
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));

  const auto one_verb = [&](std::mt19937& random, int nonce) -> Task {
    const auto check = [&](int got) { ++(got == nonce ? right : wrong); };
    ExecOptions options;
    if (random() % 4 == 0) options.by = Deadline(std::chrono::microseconds(random() % 3000));
    options.prepared = random() % 2 == 0;
    switch (random() % 6) {
      case 0: check(co_await ta::query_value<int>(pool, options, "select $1::int4", nonce)); break;
      case 1: {
        ta::Lease lease =
            co_await ta::acquire(pool, Deadline(std::chrono::milliseconds(random() % 50)));
        check(co_await lease.query_value<int>("select $1::int4 from pg_sleep(0.001)", nonce));
        check(co_await lease.query_value<int>(options, "select $1::int4", nonce));
        break;
      }
      case 2:
        check(co_await ta::transact(pool, [nonce](ta::Transaction& tx) -> net::awaitable<int> {
          co_await tx.exec("select 1");
          co_return co_await tx.query_value<int>("select $1::int4", nonce);
        }));
        break;
      case 3:
        check(co_await ta::call(pool, [nonce](Connection& c) {
          int last = 0;
          c.each("select generate_series($1::int4 - 100, $1)", nonce,
                 [&](const Row& row) { last = row.get<int>(0); });
          return last;
        }));
        break;
      case 4: {
        ta::Transaction left = co_await ta::begin(pool);
        check(co_await left.query_value<int>("select $1::int4", nonce));
        break;  // left open
      }
      default: co_await ta::exec(pool, options, "select pg_sleep(0.002)"); ++right;
    }
  };
  constexpr int kLoops = 2;
  constexpr int kCoroutines = 20;
  constexpr int kVerbs = 30;
  std::vector<std::thread> threads;
  for (int l = 0; l < kLoops; ++l) {
    threads.emplace_back([&, l] {
      net::io_context loop(1);
      for (int c = 0; c < kCoroutines; ++c) {
        net::co_spawn(
            loop,
            [&, l, c]() -> Task {
              std::mt19937 random(seed + static_cast<unsigned>(100 * l + c));
              for (int v = 0; v < kVerbs; ++v) {
                try {
                  co_await one_verb(random, 10'000 * (l + 1) + 100 * c + v);
                } catch (const QueryError&) {  // canceled, or its connection lost
                  ++refused;
                } catch (const AcquireTimeout&) {
                  ++refused;
                } catch (const ConnectError&) {  // the process was ended while it connected
                  ++refused;
                }
              }
              ++over;
            },
            [&](std::exception_ptr error) {
              if (!error) return;
              ++wrong;
              try {
                std::rethrow_exception(error);
              } catch (const std::exception& e) {
                ADD_FAILURE() << e.what();
              }
            });
      }
      loop.run();
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 200; ++i) {
      try {
        ++(pool.query_value<int>("select $1::int4", -i) == -i ? right : wrong);
      } catch (const ConnectionLost&) {
        ++refused;
      } catch (const ConnectError&) {
        ++refused;
      }
    }
  });
  Observer other;
  for (int i = 0; i < 8; ++i) {
    (void)other.value<std::int64_t>(
        "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where "
        "application_name = 'tidegate/everything' order by random() limit 1) as one");
    eventually(
        [&, had = right.load()] { return right > had + 20 || over == kLoops * kCoroutines; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(over, kLoops * kCoroutines);
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(right, kVerbs * kCoroutines) << refused << " refused";
  EXPECT_TRUE(eventually([&] {
    const Stats stats = pool.stats();
    return stats.leased == 0 && stats.waiting == 0 && stats.checking == 0;
  })) << to_string(pool.stats());
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

// ---- statements that end early -----------------------------------------------------------------

TEST(AsioLimits, AStatementIsCanceledAtItsDeadlineAndTheConnectionGoesOn) {
  Pool pool("pool_max_conns=1");
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    const int pid = lease.connection().backend_pid();
    co_await error_of<QueryTimeout>([](ta::Lease& of) -> Task {
      const ExecOptions options{.by = Deadline(30ms)};
      co_await of.exec(options, "select pg_sleep(60)");
    }(lease));
    EXPECT_EQ(co_await lease.query_value<int>("select 1"), 1);
    EXPECT_EQ(lease.connection().backend_pid(), pid);
  });
  run([&]() -> Task {
    co_await error_of<QueryTimeout>([](Pool& of) -> Task {
      const ExecOptions options{.by = Deadline(30ms)};
      co_await ta::exec(of, options, "select pg_sleep(60)");
    }(pool));
    EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1"), 1);
  });
  EXPECT_EQ(pool.stats().created, 1u);
}

TEST(AsioLimits, AStopTokenOfTheUsersCancelsToo) {
  Pool pool("pool_max_conns=1");
  std::stop_source stop;
  net::io_context loop(1);
  run_on(
      loop,
      [&]() -> Task {
        co_await error_of<QueryCanceled>([](Pool& of, std::stop_token token) -> Task {
          const ExecOptions options{.stop = token};
          co_await ta::exec(of, options, "select pg_sleep(60)");
        }(pool, stop.get_token()));
        EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1"), 1);
      },
      [&]() -> Task {
        co_await until([&] { return pool.stats().leased == 1; });
        stop.request_stop();
      });
}

TEST(AsioLimits, AServerProcessThatEndsIsAConnectionLost) {
  Pool pool(PoolConfig{.max_size = 1});
  Observer other;
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    const int pid = lease.connection().backend_pid();
    std::thread killer([&] { other.terminate(pid); });
    co_await error_of<ConnectionLost>(
        [](ta::Lease& of) -> Task { co_await of.exec("select pg_sleep(60)"); }(lease));
    killer.join();
    lease.release();
    EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1"), 1) << "a new one";
  });
}

TEST(AsioLimits, NotificationsAreAwaited) {
  Pool pool(PoolConfig{.max_size = 2});
  net::io_context loop(1);
  run_on(loop, [&]() -> Task {
    ta::Lease listener = co_await ta::acquire(pool);
    co_await listener.exec("listen asio_channel");
    co_await ta::exec(pool, "select pg_notify('asio_channel', 'hello')");
    const auto all = co_await listener.notifications(Deadline(20s));
    EXPECT_EQ(all.size(), 1u);
    EXPECT_EQ(all.at(0).payload, "hello");
    EXPECT_TRUE((co_await listener.notifications(Deadline(10ms))).empty());
  });
}

// PQreset() gives the connection another socket, often with the number of the old one.
TEST(AsioLimits, ASocketThatWasChangedIsWatchedAnew) {
  Pool pool(PoolConfig{.max_size = 1});
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    EXPECT_EQ(co_await lease.query_value<int>("select 1"), 1);
    PQreset(lease.connection().native_handle());
    EXPECT_EQ(co_await lease.query_value<int>("select 2 from pg_sleep(0.01)"), 2);
    lease.discard();
  });
}

// ---- loops that end ----------------------------------------------------------------------------

TEST(AsioLoop, OneThatEndsWithOperationsPendingLeaksNothing) {
  const auto statements = std::make_shared<Statements>();
  Pool pool(PoolConfig{.max_size = 1, .queries = statements});
  int pid = 0;
  {
    net::io_context loop(1);
    net::co_spawn(
        loop,
        [&]() -> Task {
          ta::Lease lease = co_await ta::acquire(pool);
          pid = lease.connection().backend_pid();
          co_await lease.exec("select pg_sleep(60)");
        },
        net::detached);
    for (int i = 0; i < 10; ++i) {
      net::co_spawn(loop, [&]() -> Task { (void)co_await ta::acquire(pool); }, net::detached);
    }
    while (pid == 0 || waiting(pool) < 10) loop.run_one();
    loop.run_for(20ms);  // the statement is on its way
  }
  EXPECT_EQ(waiting(pool), 0u);
  EXPECT_EQ(pool.stats().leased, 0u);
  EXPECT_EQ(statements->started, 1);
  EXPECT_EQ(statements->failed, 1) << "its end is told all the same";
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pid_of(pool), pid) << "the statement was canceled, the connection is in order";
}

// The connection comes back on another thread while the loop is in its destructor. Whoever is
// first: nothing is posted to a loop that has gone, and the connection is in the pool afterwards.
TEST(AsioLoop, MayEndWhileItsWaitersAreServed) {
  Pool pool(PoolConfig{.max_size = 1});
  for (int round = 0; round < 300; ++round) {
    std::optional<Lease> held(pool.acquire());
    std::optional<net::io_context> loop(std::in_place, 1);
    for (int i = 0; i < 3; ++i) {
      net::co_spawn(*loop, [&]() -> Task { (void)co_await ta::acquire(pool); }, net::detached);
    }
    while (waiting(pool) < 3) loop->run_one();
    std::atomic<bool> go{false};
    std::thread releaser([&] {
      while (!go) {
      }
      held.reset();
    });
    go = true;
    for (std::atomic<int> spin{round % 100 * 20}; spin > 0; --spin) {
    }
    loop.reset();
    releaser.join();
    ASSERT_EQ(waiting(pool), 0u);
    ASSERT_EQ(pool.query_value<int>("select $1::int4", round), round);
  }
}

// The loop has waited for its connections before it used them, and is in its destructor when
// another loop takes them over. Seen: a double free in Asio's reactor, once in twenty runs of all
// tests.
TEST(AsioLoop, MayEndWhileItsConnectionsMoveToAnother) {
  constexpr std::uint32_t kConnections = 8;
  Pool pool(PoolConfig{.max_size = kConnections});
  const auto ask_all = [&](net::io_context& loop) {
    for (std::uint32_t i = 0; i < kConnections; ++i) {
      net::co_spawn(loop, [&]() -> Task { co_await ta::exec(pool, "select 1"); }, net::detached);
    }
  };
  for (int round = 0; round < 400; ++round) {
    std::vector<Lease> held = lease_all(pool);
    std::optional<net::io_context> loop(std::in_place, 1);
    ask_all(*loop);
    while (waiting(pool) < kConnections) loop->run_one();
    held.clear();
    loop->run();
    std::atomic<int> ready{0};
    std::thread other([&] {
      net::io_context its(1);
      ask_all(its);
      ++ready;
      while (ready < 2) {
      }
      its.run();
    });
    while (ready < 1) {
    }
    ++ready;
    for (std::atomic<int> spin{round % 50 * 40}; spin > 0; --spin) {
    }
    loop.reset();
    other.join();
  }
  EXPECT_EQ(pool.stats().leased, 0u);
}

// The child of a fork shares the loop's epoll, and must not take the connection out of it.
TEST(AsioLoop, AChildOfAForkLeavesItAlone) {
  net::io_context loop(1);
  std::optional<Pool> pool(std::in_place, PoolConfig{.max_size = 1});
  const auto ask = [&](int value) {
    run_on(loop, [&]() -> Task {
      EXPECT_EQ(co_await ta::query_value<int>(*pool, "select $1::int4", value), value);
    });
  };
  ask(1);
  const pid_t child = ::fork();
  if (child == 0) {
    pool.reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ask(2);
  EXPECT_EQ(pool->stats().created, 1u);
}

// One registration, whatever is asked and however often it is leased, until another loop uses it.
TEST(AsioLoop, KnowsAConnectionOnce) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  const Attachment* first = nullptr;
  run_on(loop, [&]() -> Task {
    for (int i = 0; i < 20; ++i) {
      ta::Lease lease = co_await ta::acquire(pool);
      co_await lease.exec("select 1");
      const Attachment* const now = async::attachment(lease.connection()).get();
      EXPECT_NE(now, nullptr);
      if (first == nullptr) first = now;
      EXPECT_EQ(now, first);
    }
  });
  pool.exec("select 2");  // a thread's use changes nothing
  run([&]() -> Task {
    ta::Lease lease = co_await ta::acquire(pool);
    EXPECT_EQ(async::attachment(lease.connection()).get(), first);
    co_await lease.exec("select 3");
    EXPECT_NE(async::attachment(lease.connection()).get(), nullptr);
  });
}

// A connection that has been on a loop goes on without it.
TEST(AsioLoop, AConnectionOutlivesIt) {
  Pool pool(PoolConfig{.max_size = 1});
  for (int i = 0; i < 3; ++i) {
    run([&]() -> Task { EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1"), 1); });
    EXPECT_EQ(pool.query_value<int>("select 2"), 2);
  }
  EXPECT_EQ(pool.stats().created, 1u);
}

TEST(AsioLoop, OutlivesThePool) {
  net::io_context loop(1);
  std::optional<Pool> pool(std::in_place, PoolConfig{.max_size = 2});
  run_on(loop, [&]() -> Task { co_await ta::exec(*pool, "select 1"); });
  pool.reset();
  run_on(loop, []() -> Task { co_await turn(); });
}

TEST(AsioLoop, ThatStopsAndGoesOnLosesNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  net::io_context loop(1);
  bool ended = false;
  net::co_spawn(
      loop,
      [&]() -> Task {
        EXPECT_EQ(co_await ta::query_value<int>(pool, "select 1 from pg_sleep(0.05)"), 1);
        ended = true;
      },
      net::detached);
  while (pool.stats().leased == 0) loop.run_one();
  loop.stop();
  EXPECT_FALSE(ended);
  loop.restart();
  loop.run();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace tidegate::test
