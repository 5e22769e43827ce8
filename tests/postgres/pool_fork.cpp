// fork(): the child sees Forked from every call, and does nothing to what it has inherited.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pool_support.hpp"
#include "pq/pool_access.hpp"
#include "pq_support.hpp"
#include "support/rendezvous.hpp"

namespace tidegate::test {
namespace {

// For how long a pool that closes itself in a child would wait there, in vain, for leases and
// threads of the parent: longer than a child may take.
constexpr auto kDrainInVain = 10min;

// A child that hangs is a failure, not a hanging test.
void end_if_it_hangs() { ::alarm(static_cast<unsigned>(patience().count())); }

// Runs `body` in a child, which says by its text what is wrong and then leaves without exit().
// Returns that, or how the child ended instead.
template <class F>
std::string in_child(F&& body) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    end_if_it_hangs();
    std::string text;
    try {
      text = std::forward<F>(body)();
    } catch (const std::exception& error) {
      text = std::string("thrown in the child: ") + error.what();
    }
    const bool said = ::write(ends[1], text.data(), text.size()) >= 0;
    ::_exit(said ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t size = 0; (size = ::read(ends[0], part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    text += " (the child's status is " + std::to_string(status) + ")";
  }
  return text;
}

// Collects what did not throw Forked.
class Verbs {
 public:
  template <class F>
  void expect_forked(const char* name, F&& verb) {
    try {
      std::forward<F>(verb)();
      wrong_ += std::string(name) + " did not throw; ";
    } catch (const Forked&) {
    } catch (const std::exception& error) {
      wrong_ += std::string(name) + " threw: " + error.what() + "; ";
    }
  }
  void expect(const char* what, bool so) {
    if (!so) wrong_ += std::string(what) + "; ";
  }
  const std::string& wrong() const { return wrong_; }

 private:
  std::string wrong_;
};

// The session as the server saw it last: a byte that came would show here.
std::string seen_by_server(int backend_pid) {
  return pq_test::connect_to_server().query_value<std::string>(
      "select concat_ws(' ', state, query, query_start, state_change) from pg_stat_activity where "
      "pid = $1",
      backend_pid);
}

TEST(Fork, EveryVerbOfAnInheritedPoolThrowsForked) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 2});
  pool.exec("select 1");
  const std::string wrong = in_child([&] {
    Verbs verbs;
    std::stop_source stopped;
    stopped.request_stop();
    verbs.expect_forked("acquire", [&] { pool.acquire(); });
    verbs.expect_forked("acquire(stop)", [&] { pool.acquire(stopped.get_token()); });
    verbs.expect_forked("acquire(deadline)", [&] { pool.acquire(1s); });
    verbs.expect_forked("try_acquire", [&] { pool.try_acquire().value(); });
    verbs.expect("try_acquire's code",
                 pool.try_acquire(1s, stopped.get_token()).error().code() == Errc::forked);
    verbs.expect_forked("acquire_all_idle", [&] { pool.acquire_all_idle(); });
    verbs.expect_forked("exec", [&] { pool.exec("select 1"); });
    verbs.expect_forked("begin", [&] { pool.begin(); });
    verbs.expect_forked("transact", [&] { pool.transact([](Transaction&) {}); });
    verbs.expect_forked("ping", [&] { pool.ping(); });
    verbs.expect_forked("warm_up", [&] { pool.warm_up(1s); });
    verbs.expect_forked("reset", [&] { pool.reset(); });
    verbs.expect_forked("close", [&] { pool.close(); });
    verbs.expect_forked("attach", [&] { static_cast<void>(pool.attach("child")); });
    verbs.expect_forked("stats", [&] { pool.stats(); });
    verbs.expect_forked("leases", [&] { pool.leases(); });
    verbs.expect("config", pool.config().max_size == 2);
    verbs.expect("closed", pool.closed());
    try {
      pool.acquire();
    } catch (const Forked& error) {
      const std::string text = error.what();
      verbs.expect(error.what(), text.find("pool \"orders\" was inherited by fork()") == 0 &&
                                     text.find("make the pool after fork()") != text.npos &&
                                     error.where().file() == "postgres/pool_fork.cpp");
    }
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  EXPECT_FALSE(pool.closed());
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
  EXPECT_EQ(pool.stats().created, 1u);
}

// A thread that leads a lane, and one that waits on it, are the parent's.
TEST(Fork, AChildLeavesTheLanesAlone) {
  Pool pool(PoolConfig{.max_size = 1, .lanes = 1, .lane_limit = 60'000ms});
  Lease held = pool.acquire();
  std::vector<std::jthread> calls;
  for (int i = 0; i < 2; ++i) {
    calls.emplace_back([&pool, i] { EXPECT_EQ(pool.query_value<int>("select $1::int4", i), i); });
  }
  EXPECT_TRUE(eventually([&] { return pool.stats().lanes.callers == 2; }));
  const std::string wrong = in_child([&] {
    Verbs verbs;
    verbs.expect_forked("exec", [&] { pool.exec("select 1"); });
    verbs.expect_forked("query_value", [&] { pool.query_value<int>({.by = 1s}, "select 1"); });
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  held.release();
  calls.clear();
  EXPECT_EQ(pool.stats().lanes.statements, 2u);
  EXPECT_EQ(pool.stats().created, 1u);
}

TEST(Fork, EveryUseOfAnInheritedLeaseOrConnectionThrowsForkedAndTheServerSeesNothing) {
  Pool pool(PoolConfig{.max_size = 2});
  Lease lease = pool.acquire();
  lease->exec("begin");
  Connection hijacked = pool.acquire().hijack();
  hijacked.exec("select 'hijacked'");
  const int pid = lease->backend_pid();
  const int hijacked_pid = hijacked.backend_pid();
  const std::string before = seen_by_server(pid) + seen_by_server(hijacked_pid);

  const std::string wrong = in_child([&] {
    Verbs verbs;
    verbs.expect_forked("*lease", [&] { *lease; });
    verbs.expect_forked("lease->exec", [&] { lease->exec("select 1"); });
    verbs.expect_forked("lease.info", [&] { lease.info(); });
    verbs.expect_forked("hijack", [&] { std::move(lease).hijack(); });
    verbs.expect_forked("exec", [&] { hijacked.exec("select 1"); });
    verbs.expect_forked("exec_script", [&] { hijacked.exec_script("select 1"); });
    verbs.expect_forked("query_value", [&] { hijacked.query_value<int>("select 1"); });
    verbs.expect_forked("each", [&] { hijacked.each("select 1", [](const Row&) {}); });
    verbs.expect_forked("begin", [&] { hijacked.begin(); });
    verbs.expect_forked("prepare", [&] { hijacked.prepare("select 1"); });
    verbs.expect_forked("notifications", [&] { hijacked.notifications(Deadline::now()); });
    verbs.expect_forked("run", [&] { static_cast<void>(hijacked.run(Batch())); });
    verbs.expect_forked("copy_out", [&] { hijacked.copy_out("select 1", [](const Row&) {}); });
    verbs.expect_forked("set_notice_handler", [&] { hijacked.set_notice_handler({}); });
    verbs.expect("is_open", !hijacked.is_open());
    verbs.expect("ping", !hijacked.ping(1s));
    verbs.expect("cancel", !hijacked.cancel());
    verbs.expect("native_handle", hijacked.native_handle() == nullptr);
    verbs.expect("broken_reason",
                 pq::PoolAccess(hijacked).broken_reason() == "it was inherited by fork()");
    // And they end there, in every way there is.
    lease.adopt();
    Lease moved = std::move(lease);
    moved.release();
    hijacked.close();
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(seen_by_server(pid) + seen_by_server(hijacked_pid), before);
  EXPECT_EQ(lease->transaction_status(), TransactionStatus::in_transaction);
  lease->exec("rollback");
  EXPECT_EQ(lease->backend_pid(), pid);
  EXPECT_EQ(hijacked.query_value<int>("select 2"), 2);
}

// Seen failing with a registry that asks its pools, which are closed there: open() makes another
// one, get() says that it is closed; and with a global registry that is the parent's in a child,
// too.
TEST(Fork, EveryVerbOfAnInheritedRegistryThrowsForkedAndTheGlobalOneIsNew) {
  PoolRegistry registry;
  const auto pool = registry.open("orders", {.max_size = 1});
  pool->exec("select 1");
  const PoolRegistry* const global = &PoolRegistry::global();
  const std::string wrong = in_child([&] {
    Verbs verbs;
    verbs.expect_forked("open", [&] { registry.open("orders", {.max_size = 1}); });
    verbs.expect_forked("get", [&] { registry.get("orders"); });
    verbs.expect_forked("close_all", [&] { registry.close_all(); });
    verbs.expect("a global one", &PoolRegistry::global() != global);
    verbs.expect("the same", &PoolRegistry::global() == &PoolRegistry::global());
    verbs.expect("nothing in it", PoolRegistry::global().close_all().empty());
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(registry.get("orders"), pool);
  EXPECT_EQ(&PoolRegistry::global(), global);
  EXPECT_EQ(pool->query_value<int>("select 1"), 1);
}

// Seen failing with a pool whose end does not ask whether it is the child's own: it waits there for
// leases and threads of the parent.
TEST(Fork, WhatAChildDestroysStaysWithTheParent) {
  auto pool = std::make_unique<Pool>(PoolConfig{.max_size = 3, .close_drain = kDrainInVain});
  auto leases = std::make_unique<std::vector<Lease>>(lease_all(*pool));
  (*leases)[1]->exec("create temp table kept (n int)");
  auto transaction = std::make_unique<Transaction>((*leases)[1]->begin());
  transaction->exec("insert into kept values (1)");
  leases->pop_back();  // one is idle
  UserToken token = pool->attach("parent");

  const std::string wrong = in_child([&] {
    Verbs verbs;
    verbs.expect_forked("commit", [&] { transaction->commit(); });
    transaction.reset();
    (*leases)[0].discard();
    leases.reset();
    token.detach();
    pool.reset();
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  transaction->commit();
  EXPECT_EQ((*leases)[1]->query_value<int>("select n from kept"), 1);
  EXPECT_EQ((*leases)[0]->query_value<int>("select 1"), 1);
  EXPECT_EQ(pool->query_value<int>("select 1"), 1);
  leases.reset();
  EXPECT_EQ(pool->stats().created, 3u);
  EXPECT_EQ(pool->close().outcome, CloseReport::Outcome::drained);
}

// Objects of static lifetime are destroyed by exit(). Seen failing as the one above.
TEST(Fork, AChildMayExitWhileThreadsOfTheParentsPoolAreNotThere) {
  static std::optional<Pool> pool;
  static Lease lease;
  pool.emplace(PoolConfig{.max_size = 2, .close_drain = kDrainInVain});
  lease = pool->acquire();
  pool->exec("select 1");
  const int pid = lease->backend_pid();
  const pid_t child = ::fork();
  if (child == 0) {
    end_if_it_hangs();
    std::exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(lease->query_value<int>("select pg_backend_pid()"), pid);
  lease.release();
  EXPECT_EQ(pool->query_value<int>("select 1"), 1);
  pool.reset();
}

// ThreadSanitizer allows no new threads in the child of a process with threads.
#if !defined(__SANITIZE_THREAD__)
// True when the process's canceller has sent a request for it.
bool cancels_a_statement(Pool& pool) {
  Lease lease = pool.acquire();
  const int pid = lease->backend_pid();
  std::stop_source stop;
  const std::jthread canceling([&] {
    pq_test::wait_until_asleep(pid);
    stop.request_stop();
  });
  try {
    lease->exec(ExecOptions{.stop = stop.get_token()}, "select pg_sleep(600)");
    return false;
  } catch (const QueryCanceled&) {
    return pool.stats().cancels.sent > 0;
  }
}

TEST(Fork, AChildMayHaveAPoolOfItsOwn) {
  Pool pool(PoolConfig{.max_size = 1});
  EXPECT_TRUE(cancels_a_statement(pool));  // from here on the canceller has a thread
  Lease lease = pool.acquire();
  const std::string wrong = in_child([&] {
    Verbs verbs;
    Pool own(PoolConfig{.max_size = 2});
    verbs.expect("a query", own.query_value<int>("select 1") == 1);
    verbs.expect("a cancel", cancels_a_statement(own));
    // The inherited lease is none of this process's, though its thread is known by now.
    verbs.expect_forked("lease->exec", [&] { lease->exec("select 1"); });
    verbs.expect("drained", own.close().outcome == CloseReport::Outcome::drained);
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(lease->query_value<int>("select 1"), 1);
}
#endif

std::set<ino_t> open_sockets() {
  std::set<ino_t> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    struct stat found{};
    if (::stat(entry.path().c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
      sockets.insert(found.st_ino);
    }
  }
  return sockets;
}

// So that the server sees the end of the parent, and a child that goes on with libpq's own calls,
// or terminates by accident, tells nobody.
TEST(Fork, AChildHasNoDescriptorOfTheParentsConnections) {
  Pool pool(PoolConfig{.max_size = 2});
  const std::set<ino_t> before = open_sockets();
  Lease lease = pool.acquire();
  std::set<ino_t> ours = open_sockets();
  for (const ino_t other : before) ours.erase(other);
  ASSERT_EQ(ours.size(), 1u);  // though two descriptors
  const std::string wrong = in_child([&] {
    Verbs verbs;
    for (const ino_t socket : open_sockets()) verbs.expect("a socket", !ours.contains(socket));
    return verbs.wrong();
  });
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(lease->query_value<int>("select 1"), 1);
}

// The bell that a stop_token rings is an eventfd, which fork() shares.
TEST(Fork, AStopThatAChildRequestsConcernsNoStatementOfTheParent) {
  Pool pool(PoolConfig{.max_size = 1});
  Connection gate = pq_test::connect_to_server();
  gate.exec("select pg_advisory_lock(4711)");
  std::stop_source stop;
  std::atomic<int> pid{0};
  std::jthread waiter([&] {
    Lease lease = pool.acquire();
    pid = lease->backend_pid();
    EXPECT_NO_THROW(
        lease->exec(ExecOptions{.stop = stop.get_token()}, "select pg_advisory_lock(4711)"));
  });
  const auto waits = [&] {
    return gate.query_value<bool>(
        "select exists (select from pg_locks where locktype = 'advisory' and not granted and pid = "
        "$1)",
        pid.load());
  };
  ASSERT_TRUE(eventually(waits));
  EXPECT_EQ(in_child([&] { return stop.request_stop() ? "" : "no stop"; }), "");
  // A bell that the child has rung would have the statement canceled meanwhile.
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(waits()) << "after " << i << " round trips";
  gate.exec("select pg_advisory_unlock(4711)");
}

// Whatever the other threads were at when it forked.
TEST(Fork, AChildOfABusyProcessIsToldAndEnds) {
  Pool pool(PoolConfig{.max_size = 4, .reset = ResetPolicy::discard_all});
  std::atomic<bool> over{false};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&, i] {
      while (!over) {
        Lease lease = pool.acquire();
        lease->exec("select 1");
        if (i == 0) lease.discard();  // connections come and go
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return pool.stats().created >= 4; }));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(in_child([&] {
                Verbs verbs;
                verbs.expect_forked("acquire", [&] { pool.acquire(); });
                return verbs.wrong();
              }),
              "");
  }
  over = true;
  workers.clear();
  EXPECT_EQ(pool.query_value<int>("select 1"), 1);
}

}  // namespace
}  // namespace tidegate::test
