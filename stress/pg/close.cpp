// close() on connections: what phases do to statements, stopped processes and a server that is
// gone.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <tidegate/base/test_point.hpp>
#include <tidegate/pq/errors.hpp>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "pg/server.hpp"
#include "scenario.hpp"
#include "support/count.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;
using Outcome = CloseReport::Outcome;

void expect(const CloseReport& report, Outcome outcome) {
  require(report.outcome == outcome, "I9", "close ended otherwise than as ", to_string(outcome),
          ": ", to_string(report));
}

// Everybody holds a lease in a statement that does not end by itself, while `close` runs.
void with_sleepers(const Run& run, PgPool& pool, const std::function<void()>& close) {
  const std::uint32_t size = std::min(run.threads(), run.pool());
  Count asleep{};
  Team team(size, run.seed(4), [&](Actor& me) {
    auto held = pool.acquire(me, Deadline(8s));
    require(held.has_value(), "I9", "no lease for a sleeper");
    asleep.add();
    require(pool.exec(me, *held, "select pg_sleep(3600)").has_value(), "I9",
            "a statement without end has ended well");
    pool.release(me, std::move(*held));
  });
  team.round([&] {
    require(comes_true(8s,
                       [&] {
                         const auto leases = pool.pool().leases();
                         return asleep == size &&
                                std::all_of(leases.begin(), leases.end(),
                                            [](const LeaseInfo& lease) { return lease.busy; });
                       }),
            "the sleepers", "do not sleep");
    close();
  });
}

// Seen failing: with a cancel phase that sends nothing (I9).
void sleep_canceled(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("sleep-canceled", run.pool()), {.statement = {Errc::canceled}});
    with_sleepers(run, pool, [&] {
      const CloseReport report = pool.close(self, {.drain = 10ms, .cancel = 8s});
      expect(report, Outcome::drained_after_cancel);
      require(report.cancels_sent >= report.remaining.size() && report.cancels_failed == 0, "I9",
              to_string(report));
    });
    pool.destroy(self);
  }
}

// A process that is stopped hears no cancel: its socket is shut down, and close ends in time. The
// pool says which process it is: the one of the pass before may still be about to end, and a name
// does not tell the two apart.
// Seen failing: with a force phase that shuts nothing down (I9: orphaned).
void frozen_backend_forced(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("forced", run.pool()),
                {.statement = {Errc::canceled, Errc::connection_lost}});
    std::optional<Frozen> frozen;
    with_sleepers(run, pool, [&] {
      frozen.emplace(pool.pool().leases().front().backend_pid);
      const CloseReport report = pool.close(self, {.drain = 10ms, .cancel = 200ms, .force = 8s});
      expect(report, Outcome::drained_after_force);
    });
    pool.destroy(self);
    require(pool.statements_failed(Errc::connection_lost) >= 1, "I9", "nobody was cut off");
  }
}

// Eight threads close with phases of different length: one report, as short as the shortest. Seen
// failing: with a cancel phase that sends nothing, and with later closes that shorten nothing (I9).
void deadlines(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("deadlines", run.pool()), {.statement = {Errc::canceled}});
    std::vector<CloseReport> reports(8);
    with_sleepers(run, pool, [&] {
      Team closers(8, run.seed(5), [&](Actor& me) {
        pause(me.random.up_to(5000us));
        reports[me.index] =
            pool.close(me, {.drain = std::chrono::milliseconds(20 + 1000 * me.index),
                            .cancel = 8s,
                            .reason = std::to_string(me.index)});
      });
      closers.round();
    });
    for (const CloseReport& report : reports) {
      expect(report, Outcome::drained_after_cancel);
      require(report.closer.reason == reports[0].closer.reason, "I9", "two first closers");
      require(report.drain < 1s, "I9", "a later close has prolonged a phase: ", to_string(report));
    }
    pool.destroy(self);
  }
}

std::atomic<Pool*> signalled{nullptr};
thread_local bool has_requested = false;  // this thread, in the handler

// Nobody but the pool itself closes it, for the handler's reason.
void require_closed_by_signal(PgPool& pool, Actor& self) {
  require(comes_true(8s, [] { return Server::instance().backends("from-handler").empty(); }), "I11",
          "a close was requested, and nobody ends the sessions");
  signalled = nullptr;
  const CloseReport report = pool.close(self);
  require(report.closer.reason == "SIGUSR1", "I9",
          "somebody else has closed it: ", to_string(report));
  pool.audit_and_close(self);
}

// Under traffic, on a thread that uses the pool, wherever it is at that moment. Everybody is told,
// nothing is lost.
void signal_in_traffic(const Run& run, MainActor& self) {
  PgPool pool(PgPool::quick("from-handler", run.pool()), {});
  const std::unique_ptr<std::atomic<std::int32_t>[]> threads(
      new std::atomic<std::int32_t>[run.threads()]());
  const auto act = [&](Actor& me) {
    threads[me.index] = me.thread_id();
    const bool requested = has_requested;
    const auto failed = pool.use(me, Deadline(8s));
    require(!requested || failed == Errc::closed, "I4", "who has requested the close was served");
    if (failed == Errc::closed) pause(1ms);
  };
  signalled = &pool.pool();
  under_load(run, act, [&] {
    require(comes_true(8s, [&] { return pool.answered() > 50; }), "I3", "nobody is served");
    pool.expect_close();
    std::int32_t thread = 0;
    while (thread == 0) thread = threads[self.random.below(run.threads())];
    ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1);
    require(comes_true(8s, [&] { return pool.acquires_failed(Errc::closed) > 20; }), "I4",
            "nobody is told");
  });
  require_closed_by_signal(pool, self);
}

// When all is idle: no lease that ends, no waiter and no ping helps to end what there is. Where
// request_close() has returned no acquire succeeds any more.
void signal_at_rest(const Run& run, MainActor& self) {
  PoolConfig config = PgPool::quick("from-handler", run.pool());
  config.ping_after = 0ms;
  PgPool pool(std::move(config), {});
  pool.fill(self);
  signalled = &pool.pool();
  pool.expect_close();
  ::raise(SIGUSR1);
  require(pool.use(self, Deadline::now()) == Errc::closed, "I4",
          "who has requested the close was served");
  require_closed_by_signal(pool, self);
}

// While maintenance is in the middle of a turn: nothing but the request itself carries to the
// closer who has made it.
void signal_while_awake(const Run& run, MainActor& self) {
  static std::atomic<bool> go_on;
  go_on = false;
  const auto hook = detail::test_point_hook.exchange([](const char* name) noexcept {
    if (std::string_view(name) != "maintenance.pass") return;
    // relaxed: it must not order what it is to show
    while (!go_on.load(std::memory_order_relaxed)) std::this_thread::yield();
  });
  PgPool pool(PgPool::quick("from-handler", run.pool()), {});
  pool.fill(self);
  signalled = &pool.pool();
  pool.expect_close();
  ::raise(SIGUSR1);
  go_on.store(true, std::memory_order_relaxed);
  require_closed_by_signal(pool, self);
  detail::test_point_hook = hook;
}

// request_close() out of a signal handler. Seen failing: with a request that asks nobody to close
// (I11), with one that leaves the fence to the closer (I4), and with one that maintenance learns of
// without acquiring what was written (a data race under TSan).
void from_handler(Run& run) {
  struct sigaction action{};
  action.sa_handler = [](int) {
    Pool* const pool = signalled.load();
    if (pool == nullptr) return;
    pool->request_close("SIGUSR1");
    has_requested = true;
  };
  struct sigaction before{};
  ::sigaction(SIGUSR1, &action, &before);
  while (run.next_pass()) {
    MainActor self(run);
    signal_in_traffic(run, self);
    signal_at_rest(run, self);
    signal_while_awake(run, self);
  }
  ::sigaction(SIGUSR1, &before, nullptr);
}

// There is nobody to say goodbye to, and waiters for a connect: close does not wait for either.
// Seen failing: with a close that wakes nobody (I9: not drained).
void server_down(Run& run) {
  Server& server = Server::instance();
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("close-while-down", run.pool()),
                {.acquire = {Errc::unavailable}, .statement = {Errc::connection_lost}});
    pool.fill(self);
    server.stop(Server::How::immediate);
    const auto act = [&](Actor& me) {
      if (pool.use(me, Deadline(8s)) == Errc::closed) pause(1ms);
    };
    under_load(run, act, [&] {
      require(comes_true(8s, [&] { return pool.pool().stats().waiting > 0; }), "I9",
              "nobody waits for a server that is down");
      const auto began = std::chrono::steady_clock::now();
      expect(pool.close(self), Outcome::drained);
      require(std::chrono::steady_clock::now() - began < 5s, "I8", "close took as long as drain");
    });
    server.start();
    pool.destroy(self);
  }
}

// The pool is gone, and its leases work on; each ends its session when it ends. Seen failing: with
// late leases whose sessions end with the last of them only (I11).
void leases_outlive(Run& run) {
  Server& server = Server::instance();
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("outlived", run.pool()), {});
    std::vector<PgPool::Held> all;
    for (std::uint32_t i = 0; i < run.pool(); ++i) {
      all.push_back(std::move(*pool.acquire(self, Deadline(8s))));
    }
    {
      std::jthread closer([&] {
        Actor me(run.threads() + 1, Random::stream(run.seed(), 6));
        expect(pool.close(me, {.drain = 1ms, .cancel = 1ms, .force = 0ms}), Outcome::orphaned);
        pool.destroy(me);
      });
    }
    for (PgPool::Held& held : all) {
      pool.ask(self, held);
      if (self.random.chance(1, 2)) pool.exec(self, held, "begin");
      const int pid = held.pid;
      pool.release(self, std::move(held));
      const auto is_gone = [&] {
        const std::vector<int> pids = server.backends("outlived");
        return std::find(pids.begin(), pids.end(), pid) == pids.end();
      };
      require(comes_true(8s, is_gone), "I11", "the session of a lease that is over lives on");
    }
  }
}

// Who is in a call of the pool, or is called by the pool, cannot wait for itself: refused, and
// nothing changes. Seen failing: with a close in a call that is not refused, and with one in a hook
// (I9).
void refused(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    Count refusals{};
    std::atomic<Pool*> own{nullptr};
    const auto try_close = [&] {
      try {
        if (Pool* pool = own) pool->close();
      } catch (const WouldDeadlock&) {
        refusals.add();
      }
    };
    PoolConfig config = PgPool::quick("refused", run.pool());
    config.hooks.prepare = [&](Connection&) {
      try_close();
      return Verdict::use();
    };
    config.hooks.after_release = [&](Connection&) {
      try_close();
      return true;
    };
    PgPool pool(std::move(config), {});
    own = &pool.pool();
    const auto act = [&](Actor& me) {
      pool.with(me, Deadline(8s), [&](Connection& connection) {
        try_close();
        connection.exec("select 1");
      });
    };
    under_load(run, act, [] { pause(100ms); });
    own = nullptr;
    require(refusals > 0 && !pool.pool().closed(), "I9", "a close was not refused");
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

Registered closing(std::string_view name, std::string_view story, void (*play)(Run&),
                   Breaks breaks = Breaks::nothing) {
  return Registered({name, story, play, Driver::pg, breaks});
}
const Registered registered[] = {
    closing("close.sleep-canceled", "statements without end are canceled", sleep_canceled),
    closing("close.frozen-backend-forced", "a server process is stopped: its socket is shut down",
            frozen_backend_forced, Breaks::server),
    closing("close.deadlines", "eight closers with phases of different length", deadlines),
    closing("close.from-handler", "request_close() from a signal handler, under traffic",
            from_handler),
    closing("close.server-down", "close while the server is down", server_down, Breaks::server),
    closing("close.leases-outlive", "leases work on when the pool is gone", leases_outlive),
    closing("close.refused", "close in a call of the pool, and from hooks", refused),
};

}  // namespace
}  // namespace tidegate::stress
