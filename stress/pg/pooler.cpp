// Through PgBouncer in transaction mode, which is restarted, and whose server sessions end.
#include <string>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "pg/server.hpp"
#include "scenario.hpp"
#include "support/companion.hpp"
#include "support/pause.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// Each statement gets its own answer, and all of a transaction the same server process.
void transaction(Actor& me, Connection& c) {
  const int number = static_cast<int>(me.random.below(1'000'000));
  const auto echo = [&] {
    require(c.query_value<int>("select $1::int + 1", number) == number + 1, "I10",
            "a statement got the answer of another");
  };
  switch (me.random.below(3)) {
    case 0: echo(); break;
    case 1: {
      Transaction t = c.begin();
      const int pid = t.query_value<int>("select pg_backend_pid()");
      t.exec("select set_config('work_mem', '77MB', true)");
      require(pid == t.query_value<int>("select pg_backend_pid()"), "I10",
              "a transaction had two server processes");
      t.commit();
      break;
    }
    default: {
      Batch batch;
      for (int i = 0; i < 3; ++i) batch.add("select $1::int", number + i);
      const auto results = c.run(batch);
      require(!results.failed(), "I9", "a batch failed");
      break;
    }
  }
}

// Half as many server connections as the pool has. Who is in a transaction as its server process or
// PgBouncer ends has lost the connection; nobody else notices, and no acquire fails. Seen failing:
// with a lost connection that is told as an error of the statement (I9).
void through_pgbouncer(Run& run) {
  Server& server = Server::instance();
  while (run.next_pass()) {
    MainActor self(run);
    test::Companion bouncer({(test::repository() / "tests/support/pgbouncer.py").string(),
                             std::to_string((run.pool() + 1) / 2)});
    PoolConfig config = PgPool::quick("bounced", run.pool());
    config.conninfo = "host=127.0.0.1 port=" + bouncer.said(0);
    config.statement_cache = 0;  // before 1.21 PgBouncer knows no prepared statements
    PgPool pool(std::move(config), {.statement = {Errc::connection_lost}});
    const auto act = [&](Actor& me) {
      auto held = pool.acquire(me, Deadline(8s));
      if (!held) return;
      pool.run(me, *held, "a transaction", Deadline::never(),
               [&](Connection& c) { transaction(me, c); });
      pool.release(me, std::move(*held));
    };
    under_load(run, act, [&] {
      const auto serves = [&](const char* after) {
        const std::uint64_t answered = pool.answered();
        require(comes_true(8s, [&] { return pool.answered() > answered + 50; }), "I3", after,
                " nobody is served");
      };
      serves("at first");
      for (int i = 0; i < 5; ++i) {
        server.terminate_all("bounced", false);
        pause(self.random.up_to(20ms));
      }
      serves("after server sessions have ended");
      bouncer.tell("restart");
      serves("after a restart");
    });
    pool.audit_and_close(self, false);  // PgBouncer keeps its server sessions
  }
}

const Registered registered({"server.through-pgbouncer",
                             "PgBouncer in between is restarted, its server sessions end",
                             through_pgbouncer, Driver::pg, Breaks::server});

}  // namespace
}  // namespace tidegate::stress
