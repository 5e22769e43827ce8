// A server that says no: starting up, full, or to the password. What the proxy answers in its place
// is word for word what a server would (57P03, 53300, 28P01).
#include <fstream>
#include <iterator>
#include <string>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "pg/server.hpp"
#include "scenario.hpp"
#include "support/pause.hpp"
#include "support/proxy.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// Connects that fail keep to the steps of the backoff, none of which is shorter than half of the
// least (I13). `connects`: since `began`.
void require_steps(const PgPool& pool, std::uint64_t connects,
                   std::chrono::steady_clock::time_point began) {
  const PoolConfig& config = pool.pool().config();
  const auto steps = (std::chrono::steady_clock::now() - began) / (config.connect_backoff_min / 2) +
                     config.max_size;
  require(connects <= static_cast<std::uint64_t>(steps), "I13", connects,
          " connects in the time of ", steps, " steps");
}

// "Not now": whoever waits goes on waiting, and is served when it is over. Seen failing: with 57P03
// and 53300 taken for rejections (I9), and without backoff (I13).
void not_now(Run& run, const char* sqlstate, const char* text) {
  Proxy proxy(Server::instance().folder(), Server::instance().port());
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("not-now", run.pool(), proxy), {}, &proxy);
    proxy.answer(error_response(sqlstate, text));
    const std::uint64_t before = proxy.accepted();
    const auto began = std::chrono::steady_clock::now();
    under_load(run, pool, {}, [&] {
      pause(300ms);
      require_steps(pool, proxy.accepted() - before, began);
      require(pool.pool().stats().create_errors > 0 && pool.answered() == 0, "I9",
              "nobody was refused: ", to_string(pool.pool().stats()));
      proxy.heal();
      require(comes_true(8s, [&] { return pool.answered() > 10; }), "I3",
              "the server is ready, and nobody is served");
    });
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

// The server has place for half of the pool: that half serves all. Seen failing: with 53300 taken
// for a rejection and told to those whom the open half could serve (I9).
void too_many_for_role(Run& run) {
  Server& server = Server::instance();
  const std::uint32_t place = std::max(1u, run.pool() / 2);
  server.run("drop role if exists tight");
  server.run("create role tight login connection limit " + std::to_string(place));
  while (run.next_pass()) {
    MainActor self(run);
    PoolConfig config = PgPool::quick("too-many", run.pool());
    config.conninfo = "user=tight";
    PgPool pool(std::move(config), {});
    under_load(run, pool, {}, [&] {
      require(comes_true(8s, [&] { return pool.answered() > 500; }), "I3",
              "there is place for some, and they do not serve: ", pool.figures());
    });
    require(pool.pool().stats().created >= place, "I3", to_string(pool.pool().stats()));
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
  server.run("drop role tight");
}

// A wrong password, and nothing open: everybody is told at once, while nobody had to wait. Seen
// failing: with 28P01 taken for a server that is not there (I9: unavailable).
void wrong_password(Run& run) {
  Proxy proxy(Server::instance().folder(), Server::instance().port());
  while (run.next_pass()) {
    MainActor self(run);
    PgPool pool(PgPool::quick("wrong-password", run.pool(), proxy), {.acquire = {Errc::rejected}},
                &proxy);
    proxy.answer(error_response("28P01", "password authentication failed for user \"careful\""));
    const std::uint64_t before = proxy.accepted();
    const auto began = std::chrono::steady_clock::now();
    under_load(run, pool, {}, [] { pause(300ms); });
    require(pool.acquires_failed(Errc::rejected) > run.threads(), "I9",
            "those that are refused wait: ", to_string(pool.pool().stats()));
    require_steps(pool, proxy.accepted() - before, began);
    proxy.heal();
    pool.pool().reset();  // forgets the verdict
    require(!pool.use(self, Deadline(8s)), "I9", "still refused");
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

// The password changes while sessions are leased: they are good as ever, growth is suspended, and
// before_connect brings the new one. Nobody is told anything. Seen failing: with a rejected connect
// that is told to waiters though sessions are open (I9).
void password_rotated(Run& run) {
  Server& server = Server::instance();
  server.run("drop role if exists careful");
  server.run("create role careful login password 'p0'");
  const std::string rules_file = server.text("show hba_file");
  std::ifstream in(rules_file);
  const std::string rules(std::istreambuf_iterator<char>(in), {});
  const auto write_rules = [&](const std::string& text) {
    std::ofstream(rules_file) << text;
    server.run("select pg_reload_conf()");
  };
  write_rules("host all careful all scram-sha-256\n" + rules);
  while (run.next_pass()) {
    MainActor self(run);
    std::atomic<int> known{0};  // what the application has heard of
    server.run("alter role careful password 'p0'");
    PoolConfig config = PgPool::quick("rotated", run.pool());
    config.conninfo = "host=127.0.0.1 user=careful";
    config.hooks.before_connect = [&](ConnectParams& params) {
      params.set("password", "p" + std::to_string(known));
    };
    PgPool pool(std::move(config), {});
    pool.fill(self, (run.pool() + 1) / 2);  // the others have to come
    auto kept = pool.acquire(self, Deadline(8s));
    server.run("alter role careful password 'p1'");
    // Not all of the pool can be had now; what is there serves.
    under_load(run, pool, {}, [&] {
      pause(200ms);
      pool.ask(self, *kept);
      pool.release(self, std::move(*kept));
      pause(50ms);
      known = 1;
      const std::uint64_t answered = pool.answered();
      require(comes_true(8s,
                         [&] {
                           return pool.answered() > answered + 10 &&
                                  pool.pool().stats().created >= run.pool();
                         }),
              "I3", "the new password is known, and the pool does not grow: ", pool.figures());
    });
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
  write_rules(rules);
  server.run("drop role careful");
}

// A write in a read-only transaction is refused as on a standby (25006); it proves nothing, and the
// sessions stay. Seen failing: with 25006 as the end of its session (I5).
void read_only_transaction(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    PoolConfig config = PgPool::quick("read-only", run.pool());
    config.conninfo = "target_session_attrs=read-write";
    PgPool pool(std::move(config), {.statement = {Errc::query}});
    const auto act = [&](Actor& me) {
      auto held = pool.acquire(me, Deadline(8s));
      pool.exec(me, *held, "begin read only");
      pool.exec(me, *held, "create table never (i int)");
      pool.exec(me, *held, "rollback");
      pool.ask(me, *held);
      pool.release(me, std::move(*held));
    };
    under_load(run, act, [] { pause(200ms); });
    require(pool.statements_failed(Errc::query) > 0, "I9", "nothing was refused");
    require(pool.pool().stats().role_changes == 0 && pool.pool().stats().created <= run.pool(),
            "I5", "sessions were replaced: ", to_string(pool.pool().stats()));
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

Registered refusal(std::string_view name, std::string_view story, void (*play)(Run&),
                   Breaks breaks) {
  return Registered({name, story, play, Driver::pg, breaks});
}
const Registered registered[] = {
    refusal(
        "server.starting-up", "57P03: the server is starting up",
        [](Run& run) { not_now(run, "57P03", "the database system is starting up"); },
        Breaks::network),
    refusal(
        "server.full", "53300: the server has no place",
        [](Run& run) { not_now(run, "53300", "sorry, too many clients already"); },
        Breaks::network),
    refusal("server.half-full", "53300: the server has place for half of the pool",
            too_many_for_role, Breaks::nothing),
    refusal("server.wrong-password", "28P01: everybody is told at once", wrong_password,
            Breaks::network),
    refusal("server.password-rotated", "the password changes while sessions are in use",
            password_rotated, Breaks::nothing),
    refusal("server.read-only-transaction", "25006 on a primary costs no session",
            read_only_transaction, Breaks::nothing),
};

}  // namespace
}  // namespace tidegate::stress
