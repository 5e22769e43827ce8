// Hooks: each on its thread, within its bound, and each may throw.
#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <tuple>

#include <gmock/gmock.h>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

PoolConfig one() { return {.max_size = 1, .connect_backoff_min = 1ms, .ping_after = 0ms}; }

std::string thread_name() {
  std::string name(16, '\0');
  ::pthread_getname_np(::pthread_self(), name.data(), name.size());
  return name.c_str();
}

template <class E, class F>
std::string text_of(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::string nested_text(const HookError& error) {
  try {
    error.rethrow_nested();
  } catch (const std::exception& nested) {
    return nested.what();
  }
}

// A thread that works by itself needs one connection. A machine may stand still for longer than a
// hook or a reset may take (20 ms), but not in each of ten pools.
void expect_one_connection(const PoolConfig& config) {
  std::uint64_t created = 0;
  for (int tries = 0; tries < 10 && created != 1; ++tries) {
    Pool pool(config);
    for (int i = 0; i < 200; ++i) pool.acquire();
    created = pool.stats().created;
  }
  EXPECT_EQ(created, 1);
}

// ---- before_connect, after_connect -----------------------------------------------------------

TEST(BeforeConnect, MayChangeTheParametersOfEachConnectOnAnOpener) {
  PoolConfig config = one();
  std::atomic<int> calls{0};
  std::string thread;
  config.hooks.before_connect = [&](ConnectParams& params) {
    thread = thread_name();
    params.set("application_name", "rotated " + std::to_string(++calls));
  };
  Pool pool(config);
  EXPECT_EQ(pool.query_value<std::string>("show application_name"), "rotated 1");
  EXPECT_EQ(thread, "tidegate-open");
  pool.acquire().discard();
  EXPECT_EQ(pool.query_value<std::string>("show application_name"), "rotated 2");
}

TEST(BeforeConnect, SeesWhatTheConninfoSays) {
  PoolConfig config = one();
  config.conninfo = "application_name=mine";
  std::string seen;
  config.hooks.before_connect = [&](ConnectParams& params) {
    seen = params.get("application_name");
    EXPECT_EQ(params.get("no_such_keyword"), "");
  };
  Pool pool(config);
  pool.exec("select 1");
  EXPECT_EQ(seen, "mine");
}

TEST(BeforeConnect, AThrowIsAConnectThatFailedAndIsRetried) {
  PoolConfig config = one();
  std::atomic<int> calls{0};
  config.hooks.before_connect = [&](ConnectParams&) {
    if (++calls < 3) throw std::runtime_error("no token yet");
  };
  Pool pool(config);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().create_errors, 2);
}

TEST(BeforeConnect, WhatItThrowsIsToldToThoseWhoWaitInVain) {
  PoolConfig config = one();
  config.hooks.before_connect = [](ConnectParams&) { throw std::runtime_error("no token yet"); };
  Pool pool(config);
  const std::string text = text_of<ConnectError>([&] { pool.acquire(100ms); });
  EXPECT_NE(text.find("\": hook before_connect failed: no token yet"), std::string::npos) << text;
  EXPECT_EQ(text.find("server"), std::string::npos) << "which had no part in it: " << text;
}

TEST(AfterConnect, RunsOnAnOpenerBeforeAnybodySeesTheConnection) {
  PoolConfig config = one();
  std::string thread;
  config.hooks.after_connect = [&](Connection& c) {
    thread = thread_name();
    c.exec("set statement_timeout = '77s'");
  };
  Pool pool(config);
  EXPECT_EQ(pool.query_value<std::string>("show statement_timeout"), "77s");
  EXPECT_EQ(thread, "tidegate-open");
}

TEST(AfterConnect, AThrowClosesTheConnectionAndTheConnectIsRetried) {
  PoolConfig config = one();
  std::atomic<int> calls{0};
  config.name = "after-connect";
  config.hooks.after_connect = [&](Connection& c) {
    if (++calls == 1) c.exec("select nonsense");
  };
  Pool pool(config);
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().create_errors, 1);
  EXPECT_EQ(pool.stats().created, 1);
  Observer observer;
  EXPECT_TRUE(eventually([&] { return observer.backends("after-connect") == 1; }));
}

TEST(AfterConnect, AThrowThatIsNoExceptionIsToldToThoseWhoWaitInVain) {
  PoolConfig config = one();
  config.hooks.after_connect = [](Connection&) { throw 7; };
  Pool pool(config);
  const std::string text = text_of<ConnectError>([&] { pool.acquire(100ms); });
  EXPECT_NE(text.find("\": hook after_connect failed: an exception that is no"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("server"), std::string::npos) << "which had no part in it: " << text;
}

TEST(AfterConnect, WhatItLeavesOpenIsToldAsItsOwnFault) {
  PoolConfig config = one();
  config.hooks.after_connect = [](Connection& c) { c.exec("begin"); };
  Pool pool(config);
  const std::string text = text_of<ConnectError>([&] { pool.acquire(100ms); });
  EXPECT_NE(text.find("\": hook after_connect left the connection unusable"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("server"), std::string::npos) << "which had no part in it: " << text;
}

TEST(AfterConnect, ATransactionThatItLeavesOpenIsAFailedConnect) {
  PoolConfig config = one();
  std::atomic<int> calls{0};
  config.hooks.after_connect = [&](Connection& c) {
    if (++calls == 1) c.exec("begin");
  };
  Pool pool(config);
  EXPECT_EQ(pool.acquire()->transaction_status(), TransactionStatus::idle);
  EXPECT_EQ(pool.stats().create_errors, 1);
}

// ---- prepare ---------------------------------------------------------------------------------

TEST(Prepare, RunsOnTheAcquirersThreadBeforeEveryHandOut) {
  PoolConfig config = one();
  int calls = 0;
  std::thread::id thread;
  config.hooks.prepare = [&](Connection&) {
    ++calls;
    thread = std::this_thread::get_id();
    return Verdict::use();
  };
  Pool pool(config);
  for (int i = 0; i < 5; ++i) pool.exec("select 1");
  EXPECT_TRUE(pool.try_acquire().has_value());
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(thread, std::this_thread::get_id());
}

TEST(Prepare, MayUseTheConnectionAndWhatItLeftIsLookedAtWhenTheLeaseEnds) {
  PoolConfig config = one();
  config.hooks.prepare = [](Connection& c) {
    c.exec("begin");
    return Verdict::use();
  };
  Pool pool(config);
  for (int i = 0; i < 3; ++i) {
    const Lease lease = pool.acquire();
    EXPECT_EQ(lease->transaction_status(), TransactionStatus::in_transaction);
  }
  EXPECT_TRUE(eventually([&] { return pool.stats().resets.clean == 3; }));
}

TEST(Prepare, RetryDiscardsAndTakesTheNext) {
  PoolConfig config = one();
  std::vector<int> pids;
  config.hooks.prepare = [&](Connection& c) {
    pids.push_back(c.backend_pid());
    return pids.size() == 1 ? Verdict::retry() : Verdict::use();
  };
  Pool pool(config);
  const int pid = pid_of(pool);
  ASSERT_EQ(pids.size(), 2u);
  EXPECT_EQ(pid, pids[1]);
  EXPECT_NE(pids[0], pids[1]);
  EXPECT_EQ(pool.stats().destroyed.hook, 1);
}

TEST(Prepare, RetryKeepsThePlaceInTheQueue) {
  PoolConfig config = one();
  config.barge_window = 0us;  // strict FIFO
  std::mutex mutex;
  std::vector<std::thread::id> asked;
  config.hooks.prepare = [&](Connection&) {
    const std::lock_guard lock(mutex);
    asked.push_back(std::this_thread::get_id());
    return asked.size() == 2 ? Verdict::retry() : Verdict::use();
  };
  Pool pool(config);
  Lease held = pool.acquire();
  std::vector<std::jthread> waiters;
  for (std::uint32_t i = 1; i <= 2; ++i) {
    waiters.emplace_back([&] { pool.exec("select 1"); });
    ASSERT_TRUE(eventually([&] { return pool.stats().waiting == i; }));
  }
  const auto first = waiters[0].get_id();
  const auto second = waiters[1].get_id();
  held.release();
  waiters.clear();
  ASSERT_EQ(asked.size(), 4u);
  EXPECT_EQ(asked[1], first);
  EXPECT_EQ(asked[2], first);
  EXPECT_EQ(asked[3], second);
}

TEST(Prepare, KeepAndFailPutsTheConnectionBackAndNestsTheException) {
  PoolConfig config = one();
  bool fail = false;
  config.hooks.prepare = [&](Connection&) {
    if (!fail) return Verdict::use();
    return Verdict::keep_and_fail(std::make_exception_ptr(std::runtime_error("no tenant")));
  };
  Pool pool(config);
  const int pid = pid_of(pool);
  fail = true;
  try {
    const Lease none = pool.acquire();
    FAIL() << "prepare said no";
  } catch (const HookError& error) {
    EXPECT_EQ(error.code(), Errc::hook);
    EXPECT_EQ(error.hook(), "prepare");
    EXPECT_EQ(nested_text(error), "no tenant");
    EXPECT_STREQ(error.where().file().data(), "postgres/pool_hooks.cpp");
  }
  fail = false;
  EXPECT_EQ(pid_of(pool), pid);
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.outcomes.hook, 1);
  EXPECT_EQ(stats.attempts(), 3);
  EXPECT_EQ(stats.released, 2);
  EXPECT_EQ(stats.discarded, 0);
}

TEST(Prepare, KeepAndFailGoesThroughTheChecksOfARelease) {
  PoolConfig config = one();
  bool fail = true;
  config.hooks.prepare = [&](Connection& c) {
    if (!fail) return Verdict::use();
    c.exec("begin");
    return Verdict::keep_and_fail("no tenant");
  };
  Pool pool(config);
  const std::string text = text_of<HookError>([&] { pool.acquire(); });
  EXPECT_NE(text.find("hook prepare failed: no tenant"), std::string::npos) << text;
  fail = false;
  EXPECT_EQ(pool.acquire()->transaction_status(), TransactionStatus::idle);
  EXPECT_EQ(pool.stats().resets.clean, 1);
}

TEST(Prepare, DiscardAndFailClosesTheConnection) {
  PoolConfig config = one();
  bool fail = false;
  config.hooks.prepare = [&](Connection&) {
    return fail ? Verdict::discard_and_fail("bad node") : Verdict::use();
  };
  Pool pool(config);
  const int pid = pid_of(pool);
  fail = true;
  const auto refused = pool.try_acquire(30s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::hook);
  fail = false;
  EXPECT_NE(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().destroyed.hook, 1);
}

TEST(Prepare, AThrowDiscardsAndFails) {
  PoolConfig config = one();
  bool fail = true;
  config.hooks.prepare = [&](Connection& c) {
    if (fail) c.exec("select nonsense");
    return Verdict::use();
  };
  Pool pool(config);
  try {
    const Lease none = pool.acquire();
    FAIL() << "prepare threw";
  } catch (const HookError& error) {
    EXPECT_NE(nested_text(error).find("nonsense"), std::string::npos);
  }
  EXPECT_EQ(pool.stats().destroyed.hook, 1);
  fail = false;
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

// pgx: a hook that threw leaked its slot. Seen failing with a throw that leaves the slot behind.
TEST(Prepare, AThrowNeverCostsASlot) {
  PoolConfig config{.max_size = 2, .connect_backoff_min = 1ms};
  std::atomic<int> calls{0};
  config.hooks.prepare = [&](Connection&) {
    if (++calls % 2 == 0) throw std::runtime_error("now and then");
    return Verdict::use();
  };
  Pool pool(config);
  for (int i = 0; i < 10; ++i) std::ignore = pool.try_acquire(1s);
  std::vector<Lease> leases;
  EXPECT_TRUE(eventually([&] {
    if (auto lease = pool.try_acquire(1s)) leases.push_back(std::move(*lease));
    return leases.size() == 2;
  }));
  EXPECT_EQ(pool.stats().leased, 2);
}

TEST(Prepare, OneThatAlwaysSaysRetryIsNamedAsTheBug) {
  PoolConfig config{.max_size = 2, .connect_backoff_min = 1ms};
  int calls = 0;
  config.hooks.prepare = [&](Connection&) {
    ++calls;
    return Verdict::retry();
  };
  Pool pool(config);
  const std::string text = text_of<HookError>([&] { pool.acquire(); });
  EXPECT_NE(text.find("likely bug in prepare/should_ping hook"), std::string::npos) << text;
  EXPECT_EQ(calls, 3);  // max_size + 1
  EXPECT_EQ(pool.stats().leased, 0);
}

// ---- should_ping -----------------------------------------------------------------------------

TEST(ShouldPing, DecidesInsteadOfPingAfter) {
  PoolConfig config = one();
  bool ping = true;
  std::chrono::nanoseconds idle{-1};
  std::thread::id thread;
  config.hooks.should_ping = [&](const Connection& c, std::chrono::nanoseconds since) {
    EXPECT_GT(c.backend_pid(), 0);
    idle = since;
    thread = std::this_thread::get_id();
    return ping;
  };
  Pool pool(config);
  pool.exec("select 1");  // brand new: it came by a grant
  const auto before = pool.stats().pings;
  pool.exec("select 1");
  EXPECT_EQ(pool.stats().pings, before + 1);
  EXPECT_GE(idle, 0ns);
  EXPECT_EQ(thread, std::this_thread::get_id());
  ping = false;
  pool.exec("select 1");
  EXPECT_EQ(pool.stats().pings, before + 1);
}

TEST(ShouldPing, AThrowMeansYes) {
  PoolConfig config = one();
  config.hooks.should_ping = [](const Connection&, std::chrono::nanoseconds) -> bool {
    throw std::runtime_error("undecided");
  };
  Pool pool(config);
  pool.exec("select 1");
  pool.exec("select 1");
  EXPECT_GE(pool.stats().pings, 1);
}

// ---- after_release ---------------------------------------------------------------------------

TEST(AfterRelease, RunsOnAnOpenerAndNobodyGetsTheConnectionBefore) {
  PoolConfig config = one();
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  std::string thread;
  config.hooks.after_release = [&](Connection& c) {
    thread = thread_name();
    inside = true;
    eventually([&] { return go_on.load(); });
    c.exec("set statement_timeout = '77s'");
    return true;
  };
  Pool pool(config);
  const int pid = pid_of(pool);
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  EXPECT_EQ(pool.stats().checking, 1);
  EXPECT_EQ(pool.stats().in_hooks, 1u);
  EXPECT_EQ(pool.stats().idle, 0);
  EXPECT_FALSE(pool.try_acquire());
  go_on = true;
  Lease next = pool.acquire();
  EXPECT_EQ(next->backend_pid(), pid);
  EXPECT_EQ(next->query_value<std::string>("show statement_timeout"), "77s");
  EXPECT_EQ(thread, "tidegate-open");
}

TEST(AfterRelease, FalseOrAThrowClosesTheConnection) {
  PoolConfig config = one();
  std::atomic<int> calls{0};
  config.hooks.after_release = [&](Connection&) {
    const int call = ++calls;
    if (call == 2) throw std::runtime_error("worn out");
    return call > 2;
  };
  Pool pool(config);
  const int first = pid_of(pool);
  const int second = pid_of(pool);
  const int third = pid_of(pool);
  EXPECT_NE(second, first);
  EXPECT_NE(third, second);
  EXPECT_EQ(pid_of(pool), third);
  EXPECT_EQ(pool.stats().destroyed.hook, 2);
}

TEST(AfterRelease, ADirtyConnectionIsResetFirst) {
  PoolConfig config = one();
  std::atomic<int> clean{0};
  config.hooks.after_release = [&](Connection& c) {
    if (c.transaction_status() == TransactionStatus::idle) ++clean;
    return true;
  };
  Pool pool(config);
  {
    pool.acquire()->exec("begin");
  }
  EXPECT_TRUE(eventually([&] { return clean == 1; }));
  EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
  EXPECT_EQ(pool.stats().resets.clean, 1);
}

TEST(AfterRelease, WhatItLeavesDirtyIsClosed) {
  PoolConfig config = one();
  config.hooks.after_release = [](Connection& c) {
    c.exec("begin");
    return true;
  };
  Pool pool(config);
  pool.exec("select 1");
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.hook == 1; }));
}

// A thread that works by itself, and finds its own connection in the hook each time, opened as many
// as there was room for: 2 to 4 in 200 rounds. The hook here takes as long as it takes to start its
// thread.
TEST(AfterRelease, OfAThreadByItselfMakesNoSecondConnection) {
  PoolConfig config{.max_size = 4};
  config.hooks.after_release = [](Connection&) { return true; };
  expect_one_connection(config);
}

// The same where each lease is reset.
TEST(AfterRelease, NorDoesAReset) {
  expect_one_connection({.max_size = 4, .reset = ResetPolicy::discard_all});
}

// Whoever waits for a hook that takes its time gets another connection.
TEST(AfterRelease, ThatTakesItsTimeIsNotWaitedFor) {
  PoolConfig config{.max_size = 2};
  std::atomic<bool> block{true};
  std::atomic<bool> inside{false};
  config.hooks.after_release = [&](Connection&) {
    inside = true;
    eventually([&] { return !block; });
    return true;
  };
  Pool pool(config);
  const int first = pid_of(pool);
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  EXPECT_NE(pool.acquire()->backend_pid(), first);
  block = false;
}

// An opener that connects, or waits for a server that does not answer, is no reason to wait.
TEST(AfterRelease, DoesNotWaitForConnects) {
  PoolConfig config{.max_size = 2, .max_connecting = 1};
  std::atomic<bool> block{false};
  std::atomic<bool> blocked{false};
  std::atomic<int> released{0};
  config.hooks.before_connect = [&](ConnectParams&) {
    if (!block) return;
    blocked = true;
    eventually([&] { return !block; });
  };
  config.hooks.after_release = [&](Connection&) { return ++released > 0; };
  Pool pool(config);
  Lease held = pool.acquire();
  block = true;
  std::jthread waiter([&] { pool.exec("select 1"); });
  ASSERT_TRUE(eventually([&] { return blocked.load(); }));
  held.release();
  EXPECT_TRUE(eventually([&] { return released >= 1; }));
  waiter.join();  // served by what came back
  block = false;
}

// ---- before_close ----------------------------------------------------------------------------

TEST(BeforeClose, RunsOnAnOpenerForEveryConnectionThatWorks) {
  PoolConfig config{.max_size = 3};
  std::mutex mutex;
  std::multiset<int> closed;
  std::set<std::string> threads;
  config.hooks.before_close = [&](Connection& c) {
    const int pid = c.query_value<int>("select pg_backend_pid()");
    const std::lock_guard lock(mutex);
    closed.insert(pid);
    threads.insert(thread_name());
  };
  std::multiset<int> pids;
  {
    Pool pool(config);
    auto leases = lease_all(pool);
    for (Lease& lease : leases) pids.insert(lease->backend_pid());
    leases[0].discard();
    leases.clear();
    EXPECT_TRUE(eventually([&] { return pool.stats().retiring == 0; }));
    {
      const std::lock_guard lock(mutex);
      EXPECT_EQ(closed.size(), 1u);
    }
    pool.close();
  }
  EXPECT_EQ(closed, pids);
  EXPECT_EQ(threads, std::set<std::string>{"tidegate-open"});
}

TEST(BeforeClose, NotForHijackedOrphanedOrBrokenOnes) {
  PoolConfig config{.max_size = 3, .close_drain = 0ms};
  std::atomic<int> calls{0};
  config.hooks.before_close = [&](Connection&) { ++calls; };
  Lease orphan;
  {
    Pool pool(config);
    auto leases = lease_all(pool);
    const Connection mine = std::move(leases[0]).hijack();
    Observer().terminate(leases[1]->backend_pid());
    EXPECT_THROW(leases[1]->exec("select 1"), ConnectionLost);
    leases[1].release();
    orphan = std::move(leases[2]);
    leases.clear();
    EXPECT_TRUE(eventually([&] { return pool.stats().retiring == 0; }));
  }
  orphan.release();
  EXPECT_EQ(calls, 0);
}

TEST(BeforeClose, AThrowIsNoHindrance) {
  PoolConfig config = one();
  config.hooks.before_close = [](Connection&) { throw std::runtime_error("no goodbye"); };
  Pool pool(config);
  const int pid = pid_of(pool);
  pool.acquire().discard();
  EXPECT_NE(pid_of(pool), pid);
  EXPECT_EQ(pool.close().outcome, CloseReport::Outcome::drained);
}

// ---- a hook and its own pool -----------------------------------------------------------------

TEST(InAHook, AnAcquireThatWouldWaitIsRefusedAsADeadlock) {
  PoolConfig config = one();
  Pool* self = nullptr;
  std::string text;
  config.hooks.prepare = [&](Connection&) {
    text = text_of<WouldDeadlock>([&] { self->acquire(); });
    EXPECT_FALSE(self->try_acquire());  // does not wait, so it is only in vain
    return Verdict::use();
  };
  Pool pool(config);
  self = &pool;
  pool.exec("select 1");
  EXPECT_NE(text.find("would wait in a hook of this pool"), std::string::npos) << text;
  EXPECT_EQ(pool.stats().outcomes.would_deadlock, 1);
}

TEST(InAHook, AnAcquireOfWhatIsIdleIsServed) {
  PoolConfig config{.max_size = 2};
  Pool* self = nullptr;
  bool nested = false;
  int answer = 0;
  config.hooks.prepare = [&](Connection&) {
    if (self == nullptr || std::exchange(nested, true)) return Verdict::use();
    answer = self->query_value<int>("select 5");
    return Verdict::use();
  };
  Pool pool(config);
  lease_all(pool).clear();
  self = &pool;
  pool.exec("select 1");
  EXPECT_EQ(answer, 5);
}

TEST(InAHook, CloseIsRefusedAndHarmsNothing) {
  PoolConfig config = one();
  Pool* self = nullptr;
  std::atomic<int> refused{0};
  const auto try_to_close = [&] {
    try {
      self->close();
    } catch (const WouldDeadlock& error) {
      if (error.situation() == WouldDeadlock::Situation::close_on_pool_thread) ++refused;
    }
  };
  config.hooks.after_connect = [&](Connection&) { try_to_close(); };
  config.hooks.prepare = [&](Connection&) {
    try_to_close();
    return Verdict::use();
  };
  config.hooks.after_release = [&](Connection&) {
    try_to_close();
    return true;
  };
  Pool pool(config);
  self = &pool;
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_TRUE(eventually([&] { return refused == 3; }));
  EXPECT_FALSE(pool.closed());
}

// ---- acquire_all_idle ------------------------------------------------------------------------

TEST(AcquireAllIdle, TakesWhatIsIdleAndOpensNothing) {
  Pool pool(PoolConfig{.max_size = 4, .ping_after = 1ms});
  EXPECT_TRUE(pool.acquire_all_idle().empty());
  auto leases = lease_all(pool);
  leases.resize(1);
  await_idle_long_enough();
  EXPECT_EQ(pool.acquire_all_idle().size(), 3u);
  EXPECT_EQ(pool.stats().created, 4);
  EXPECT_EQ(pool.stats().pings, 0);
}

TEST(AcquireAllIdle, DiscardsWhatPrepareDoesNotWantAndWhatIsDead) {
  PoolConfig config{.max_size = 3, .ping_after = 0ms};
  int verdict = 0;
  config.hooks.prepare = [&](Connection&) {
    ++verdict;
    return verdict == 4 ? Verdict::keep_and_fail("not this one") : Verdict::use();
  };
  Pool pool(config);
  {
    auto leases = lease_all(pool);
    Observer().terminate(leases[0]->backend_pid());
  }
  await_idle_long_enough();
  EXPECT_EQ(pool.acquire_all_idle().size(), 1u);
  EXPECT_EQ(pool.stats().destroyed.hook, 1);
  EXPECT_EQ(pool.stats().destroyed.broken, 1);
}

TEST(AcquireAllIdle, OfAClosedPoolThrows) {
  Pool pool(one());
  pool.close();
  EXPECT_THROW(pool.acquire_all_idle(), PoolClosed);
}

// ---- bounds ----------------------------------------------------------------------------------
// Each hook below runs a statement that would take ten minutes and has no deadline of its own.
// Where a bound may be missing or the wrong one, the server ends the statement after 20 s, in its
// own words. Seen failing: prepare with the acquire_timeout, or without the stop; the last two with
// the connect_timeout.

constexpr const char* kTooLong = "select pg_sleep(600)";

PoolConfig ended_by_the_server() {
  PoolConfig config = one();
  config.conninfo = "options='-c statement_timeout=20s'";
  config.connect_timeout = 600s;
  return config;
}

// What became of that statement.
enum class Ended : std::uint8_t { not_yet, by_its_deadline, otherwise };
Ended run_too_long(Connection& connection) {
  try {
    connection.exec(kTooLong);
  } catch (const QueryTimeout&) {
    return Ended::by_its_deadline;
  } catch (const Error&) {
    return Ended::otherwise;
  }
  return Ended::otherwise;
}

TEST(BoundOfAHook, AfterConnectHasTheRestOfTheConnectTimeout) {
  PoolConfig config = one();
  config.connect_timeout = 200ms;
  config.hooks.after_connect = [](Connection& connection) { connection.exec(kTooLong); };
  Pool pool(config);
  EXPECT_EQ(pool.try_acquire(2s).error().code(), Errc::unavailable);
  EXPECT_GT(pool.stats().create_errors, 0u);
  EXPECT_EQ(pool.stats().connects_stuck, 0u) << "it ended, and was not given up";
}

// Seen failing with an opener that does not hear of the stop: it is left behind, in the hook.
TEST(BoundOfAHook, AfterConnectEndsAtClose) {
  PoolConfig config = one();
  config.connect_timeout = 600s;
  std::atomic<bool> begun{false};
  config.hooks.after_connect = [&](Connection& connection) {
    begun = true;
    connection.exec(kTooLong);
  };
  Pool pool(config);
  EXPECT_FALSE(pool.try_acquire());
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  const CloseReport report = pool.close();
  EXPECT_EQ(report.outcome, CloseReport::Outcome::drained);
  EXPECT_EQ(report.stuck_threads.size(), 0u) << to_string(report);
}

TEST(BoundOfAHook, PrepareHasTheDeadlineOfTheAcquire) {
  PoolConfig config = ended_by_the_server();
  bool too_long = false;
  config.hooks.prepare = [&](Connection& connection) {
    connection.exec(too_long ? kTooLong : "select 1");
    return Verdict::use();
  };
  Pool pool(config);
  pool.acquire();
  too_long = true;
  try {
    pool.acquire(100ms);
    FAIL() << "it takes ten minutes";
  } catch (const HookError& error) {
    EXPECT_THAT(nested_text(error), testing::HasSubstr("deadline passed"));
  }
}

TEST(BoundOfAHook, PrepareHasTheStopOfTheAcquire) {
  PoolConfig config = ended_by_the_server();
  std::stop_source stop;
  config.hooks.prepare = [&](Connection& connection) {
    stop.request_stop();
    connection.exec(kTooLong);
    return Verdict::use();
  };
  Pool pool(config);
  try {
    pool.acquire(stop.get_token());
    FAIL() << "it takes ten minutes";
  } catch (const HookError& error) {
    EXPECT_THAT(nested_text(error), testing::HasSubstr("stop was requested"));
  }
}

TEST(BoundOfAHook, AfterReleaseHasThePingTimeout) {
  PoolConfig config = ended_by_the_server();
  config.ping_timeout = 100ms;
  std::atomic<Ended> ended{Ended::not_yet};
  config.hooks.after_release = [&](Connection& connection) {
    ended = run_too_long(connection);
    return false;
  };
  Pool pool(config);
  pool.acquire();
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.hook == 1; }));
  EXPECT_EQ(ended.load(), Ended::by_its_deadline);
}

TEST(BoundOfAHook, BeforeCloseHasThePingTimeout) {
  PoolConfig config = ended_by_the_server();
  config.ping_timeout = 100ms;
  std::atomic<Ended> ended{Ended::not_yet};
  config.hooks.before_close = [&](Connection& connection) { ended = run_too_long(connection); };
  Pool pool(config);
  pool.acquire();
  pool.reset();
  EXPECT_TRUE(eventually([&] { return ended != Ended::not_yet && pool.stats().idle == 0; }));
  EXPECT_EQ(ended.load(), Ended::by_its_deadline);
}

}  // namespace
}  // namespace tidegate::test
