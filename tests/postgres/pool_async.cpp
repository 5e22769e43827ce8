// The seam for event loops (pool/async.hpp), without any: the loop here is poll(2).
#include <poll.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <support/call_counter.hpp>
#include <support/test_points.hpp>
#include <tidegate/pool/async.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

// What `ready` was called for, so far.
struct Calls {
  std::atomic<int> count{0};
  static void on(void* of) noexcept { ++static_cast<Calls*>(of)->count; }
};

TEST(AsyncAcquire, EndsAtOnceWhereAConnectionIsIdle) {
  Pool pool(PoolConfig{.max_size = 1});
  pool.exec("select 1");
  Calls calls;
  async::Acquire acquire(pool);
  auto ended = acquire.begin(&Calls::on, &calls);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->value()->query_value<int>("select 2"), 2);
  EXPECT_EQ(calls.count, 0);
}

TEST(AsyncAcquire, IsCalledAndGoesOn) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  Calls calls;
  async::Acquire acquire(pool);
  EXPECT_FALSE(acquire.begin(&Calls::on, &calls).has_value());
  EXPECT_EQ(pool.stats().waiting, 1u);
  EXPECT_EQ(calls.count, 0);
  held.release();
  EXPECT_EQ(calls.count, 1);
  auto ended = acquire.go_on();
  ASSERT_TRUE(ended.has_value());
  EXPECT_TRUE(ended->has_value());
  EXPECT_EQ(pool.stats().outcomes.waited, 2u) << "and the one that opened it";
}

TEST(AsyncAcquire, DestroyedWhileItWaitsLeavesTheQueue) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  Calls calls;
  {
    async::Acquire acquire(pool);
    EXPECT_FALSE(acquire.begin(&Calls::on, &calls).has_value());
  }
  EXPECT_EQ(pool.stats().waiting, 0u);
  held.release();
  EXPECT_EQ(calls.count, 0);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().outcomes.canceled, 1u);
}

// Planted: abandon() that leaves what came meanwhile. The pool is short of a connection for ever.
TEST(AsyncAcquire, DestroyedAfterItsCallGivesTheConnectionBack) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  Calls calls;
  {
    async::Acquire acquire(pool);
    EXPECT_FALSE(acquire.begin(&Calls::on, &calls).has_value());
    held.release();
    EXPECT_EQ(calls.count, 1);
  }
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().leased, 0u);
}

TEST(AsyncAcquire, TimesOutAndIsCanceledLikeOneThatBlocks) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 1});
  const Lease held = pool.acquire();
  Calls calls;
  async::Acquire late(pool, Deadline(1h));
  EXPECT_FALSE(late.begin(&Calls::on, &calls).has_value());
  EXPECT_EQ(late.time_out().value().error().code(), Errc::timeout);
  async::Acquire unwanted(pool);
  EXPECT_FALSE(unwanted.begin(&Calls::on, &calls).has_value());
  EXPECT_EQ(unwanted.cancel().value().error().code(), Errc::canceled);
  EXPECT_EQ(calls.count, 0);
  EXPECT_EQ(pool.stats().waiting, 0u);
}

TEST(AsyncAcquire, AGrantThatCameFirstStands) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease held = pool.acquire();
  Calls calls;
  async::Acquire acquire(pool, Deadline(1h));
  EXPECT_FALSE(acquire.begin(&Calls::on, &calls).has_value());
  held.release();
  EXPECT_FALSE(acquire.time_out().has_value());
  EXPECT_FALSE(acquire.cancel().has_value());
  EXPECT_TRUE(acquire.go_on().value().has_value());
}

// The two ends of a wait on two threads: a release, and whoever goes away. PendingAcquire's races.
TEST(AsyncAcquireRace, AReleaseAgainstAnEnd) {
  Pool pool(PoolConfig{.max_size = 1});
  enum Turn { none, release, released, over };
  std::atomic<Turn> turn{none};
  std::optional<Lease> held(pool.acquire());
  std::thread releaser([&] {
    for (;;) {
      const Turn now = turn;
      if (now == over) return;
      if (now != release) continue;
      held.reset();
      turn = released;
    }
  });
  for (int i = 0; i < 3000; ++i) {
    Calls calls;
    auto acquire = std::make_unique<async::Acquire>(pool);
    ASSERT_FALSE(acquire->begin(&Calls::on, &calls).has_value());
    turn = release;
    for (int spins = i % 50; spins > 0; --spins) (void)calls.count.load();
    switch (i % 3) {
      case 0: acquire.reset(); break;
      case 1: (void)acquire->cancel(); break;
      default:
        if (calls.count > 0) (void)acquire->go_on();
    }
    while (turn != released) {
    }
    acquire.reset();
    held.emplace(pool.acquire());
    turn = none;
  }
  turn = over;
  releaser.join();
  held.reset();
  EXPECT_EQ(pool.stats().leased, 0u);
  EXPECT_EQ(pool.stats().waiting, 0u);
}

#if defined(TIDEGATE_CHECKED)
// A thread of the pool calls an acquire back, which ends, and the pool with it, before that thread
// is past its callback.
void expect_end_during_callback(Pool* made, const std::function<void(Pool&)>& serve) {
  std::unique_ptr<Pool> pool(made);
  Calls calls;
  Hold told("async.told");
  std::optional<async::Acquire> acquire(std::in_place, *pool);
  ASSERT_FALSE(acquire->begin(&Calls::on, &calls).has_value());
  serve(*pool);
  told.await();
  EXPECT_EQ(calls.count, 1);
  EXPECT_TRUE(acquire->go_on().value().has_value());
  acquire.reset();
  std::atomic<bool> gone{false};
  std::thread end([&] {
    pool.reset();
    gone = true;
  });
  eventually([&] { return gone.load(); }, 1s);  // or it waits for that thread, which is as good
  told.release();
  end.join();
}

// Seen ending the process, once in some twenty runs of all tests ("Resource deadlock avoided"): an
// opener was the last to let go of the pool, and joined the maintenance that was joining it.
TEST(AsyncAcquireRace, TheLastToLetGoIsNoOpener) {
  expect_end_during_callback(new Pool(PoolConfig{.max_size = 1}), [](Pool&) {});
}

TEST(AsyncAcquireRace, NorIsItMaintenance) {
  auto* const pool = new Pool(PoolConfig{.max_size = 1});
  Lease held = pool->acquire();
  held->exec("begin");
  expect_end_during_callback(pool, [&](Pool&) { held.release(); });  // to be reset
}
#endif

#if !defined(TIDEGATE_TEST_SANITIZED)
TEST(AsyncAcquire, TryAcquireAllocatesNothingAndLocksNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  pool.exec("select 1");
  pool.acquire().release();
  const CallCounter counter;
  for (int i = 0; i < 100; ++i) {
    auto lease = async::try_acquire(pool);
    ASSERT_TRUE(lease.has_value());
  }
  EXPECT_EQ(counter.allocations(), 0u);
  EXPECT_EQ(counter.locks(), 0u);
}
#endif

TEST(AsyncAcquire, TryAcquireOfAPoolInUseGivesNothing) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease held = pool.acquire();
  EXPECT_FALSE(async::try_acquire(pool).has_value());
}

// ---- calls -------------------------------------------------------------------------------------

// An event loop: runs the calls until all are over.
void run_all(std::vector<async::Call*> calls) {
  using Came = async::Call::Came;
  std::erase_if(calls, [](async::Call* call) { return !call->run(); });
  while (!calls.empty()) {
    std::vector<pollfd> polled;
    Deadline next = Deadline::never();
    for (const async::Call* call : calls) {
      const auto wait = call->wait();
      polled.push_back({wait.fd, wait.events, 0});
      polled.push_back({wait.wake_fd, POLLIN, 0});
      next = earlier(next, wait.until);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next.remaining());
    const auto most = std::min<std::int64_t>(left.count(), 1000);
    ASSERT_GE(::poll(polled.data(), polled.size(), static_cast<int>(most)), 0);
    std::size_t at = 0;
    std::erase_if(calls, [&](async::Call* call) {
      const pollfd& socket = polled[at];
      const pollfd& wake = polled[at + 1];
      at += 2;
      if (wake.revents != 0) return !call->resume(Came::woken);
      if (socket.revents != 0) return !call->resume(Came::ready, socket.revents);
      if (call->wait().until.passed()) return !call->resume(Came::timed_out);
      return false;
    });
  }
}

TEST(AsyncCall, ThreeStatementsOfOneThreadRunSideBySide) {
  Pool pool(PoolConfig{.max_size = 3});
  auto leases = lease_all(pool);
  std::vector<int> values(3);
  std::vector<std::string> order;
  auto body = [&](std::size_t i) {
    return [&, i]() noexcept {
      values[i] =
          leases[i]->query_value<int>("select $1::int4 from pg_sleep($2)", static_cast<int>(i),
                                      0.1 * static_cast<double>(3 - i));
      order.push_back(std::to_string(i));
    };
  };
  auto first = body(0);
  auto second = body(1);
  auto third = body(2);
  async::Call a(first);
  async::Call b(second);
  async::Call c(third);
  run_all({&a, &b, &c});
  EXPECT_EQ(values, (std::vector{0, 1, 2}));
  EXPECT_EQ(order, (std::vector<std::string>{"2", "1", "0"}));
}

TEST(AsyncCall, AnErrorIsThrownOnItsOwnStack) {
  Pool pool(PoolConfig{.max_size = 2});
  auto leases = lease_all(pool);
  std::vector<std::string> errors(2);
  auto body = [&](std::size_t i) {
    return [&, i]() noexcept {
      try {
        leases[i]->exec("select pg_sleep(0.01)");
        leases[i]->exec("select 1/0");
      } catch (const QueryError& e) {
        leases[i]->exec("select pg_sleep(0.01)");  // waits while it handles the error
        errors[i] = e.sqlstate();
      }
    };
  };
  auto first = body(0);
  auto second = body(1);
  async::Call a(first);
  async::Call b(second);
  run_all({&a, &b});
  EXPECT_EQ(errors, (std::vector<std::string>{"22012", "22012"}));
}

TEST(AsyncCall, InterruptedItCancelsItsStatement) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  bool canceled = false;
  auto body = [&]() noexcept {
    try {
      lease->exec("select pg_sleep(60)");
    } catch (const QueryCanceled&) {
      canceled = true;
    }
  };
  async::Call call(body);
  ASSERT_TRUE(call.run());
  bool waits = call.interrupt();
  while (waits) {
    pollfd socket{call.wait().fd, call.wait().events, 0};
    ::poll(&socket, 1, 1);
    waits = socket.revents != 0 ? call.resume(async::Call::Came::ready, socket.revents)
                                : call.resume(async::Call::Came::timed_out);
  }
  EXPECT_TRUE(canceled);
  EXPECT_EQ(lease->query_value<int>("select 1"), 1);
}

TEST(AsyncCall, DestroyedInAStatementItEndsThere) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  bool ended = false;
  auto body = [&]() noexcept {
    try {
      lease->exec("select pg_sleep(60)");
    } catch (const QueryCanceled&) {
      ended = true;
    }
  };
  {
    async::Call call(body);
    ASSERT_TRUE(call.run());
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(lease->query_value<int>("select 1"), 1) << "the connection goes on";
}

}  // namespace
}  // namespace tidegate::test
