// Lanes: statements of many threads on shared connections. Every answer carries a number that its
// statement has drawn: nobody gets another's, and none is swallowed. A row that was stored for a
// success is there once; for a failure it is not there, unless the error says that nobody knows.
//
// Seen failing: numbers and mix with a leader that takes the owners of a round in another order
// (answer), and with one that runs a statement again which had succeeded (once); losses with one
// that runs again what was lost (once); close with one that keeps its connection (I11).
#include <algorithm>
#include <atomic>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <tidegate/tidegate.hpp>

#include "pg/server.hpp"
#include "scenario.hpp"
#include "support/count.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr int kCallsARound = 50;
constexpr int kQuestionsARound = 2000;

// What one thread has done with the table, by the numbers of its rows.
struct Stored {
  std::vector<std::int64_t> surely{};
  std::vector<std::int64_t> perhaps{};
};

struct Fleet {
  Pool& pool;
  std::atomic<std::int64_t> drawn{0};
  Count answered{};
  Count failed{};
  bool may_lose = false;   // server processes are ended meanwhile
  bool may_close = false;  // the pool is closed meanwhile
  bool only_asks = false;  // as fast as it goes

  // Runs `call`; what may end it besides its own success is checked here.
  template <class F>
  std::optional<Errc> run(F&& call, std::initializer_list<Errc> besides, bool* unknown = nullptr) {
    try {
      call();
      answered.add();
      return std::nullopt;
    } catch (const Error& error) {
      const auto* query = dynamic_cast<const QueryError*>(&error);
      const Errc code = error.code();
      if (unknown != nullptr) *unknown = query != nullptr && query->outcome_unknown();
      const bool expected = std::find(besides.begin(), besides.end(), code) != besides.end() ||
                            (may_lose && code == Errc::connection_lost) ||
                            (may_close && (code == Errc::closed || code == Errc::canceled ||
                                           code == Errc::connection_lost));
      require(expected, "I9", error.what());
      failed.add();
      return code;
    }
  }

  void ask(std::int64_t number) {
    run(
        [&] {
          const auto [first, second] = pool.query_row<std::int64_t, std::string>(
              "select $1::int8, 'for ' || $1::int8", number);
          require(first == number && second == "for " + std::to_string(number), "answer",
                  "asked for ", number, ", got ", first, " and '", second, "'");
        },
        {});
  }
  void fail(std::int64_t number) {
    const auto code = run([&] { pool.exec("select $1::int8 / 0", number); }, {Errc::query});
    require(code.has_value(), "answer", "an error went to another");
  }
  void store(Stored& mine, std::int64_t number) {
    bool unknown = false;
    const auto code =
        run([&] { pool.exec("insert into lanes_stored values ($1)", number); }, {}, &unknown);
    if (!code) mine.surely.push_back(number);
    if (code && unknown) mine.perhaps.push_back(number);
  }
  // A row that is stored when the statement is already late.
  void store_late(Actor& me, Stored& mine, std::int64_t number) {
    bool unknown = false;
    const std::chrono::microseconds by(1 + me.random.below(4000));
    const auto code = run(
        [&] {
          pool.exec({.by = by},
                    "insert into lanes_stored select $1 where pg_sleep(0.002) is not null", number);
        },
        {Errc::timeout}, &unknown);
    if (!code) mine.surely.push_back(number);
    if (code && unknown) mine.perhaps.push_back(number);
  }
  void stop(Actor& me) {
    std::stop_source source;
    std::jthread stopper([&, after = std::chrono::microseconds(me.random.below(2000))] {
      pause(after);
      source.request_stop();
    });
    run([&] { pool.exec({.stop = source.get_token()}, "select pg_sleep(0.002)"); },
        {Errc::canceled});
  }
  void lease(std::int64_t number) {
    run(
        [&] {
          Lease mine = pool.acquire(30s);
          require(mine->query_value<std::int64_t>("select $1::int8", number) == number, "answer",
                  "a lease has the answer of another");
        },
        {});
  }

  void act(Actor& me, Stored& mine) {
    const std::int64_t number = ++drawn;
    if (only_asks) return ask(number);
    const std::uint32_t dice = me.random.below(100);
    if (dice < 70) return ask(number);
    if (dice < 76) return fail(number);
    if (dice < 88) return store(mine, number);
    if (dice < 94) return store_late(me, mine, number);
    if (dice < 96) return stop(me);
    lease(number);
  }
};

// After everybody has come back.
void audit(const Fleet& fleet, const std::vector<Stored>& stored) {
  Server& server = Server::instance();
  std::vector<std::int64_t> surely;
  std::vector<std::int64_t> perhaps;
  for (const Stored& one : stored) {
    surely.insert(surely.end(), one.surely.begin(), one.surely.end());
    perhaps.insert(perhaps.end(), one.perhaps.begin(), one.perhaps.end());
  }
  const auto rows = server.number("select count(*) from lanes_stored");
  const auto different = server.number("select count(distinct n) from lanes_stored");
  require(rows == different, "once", rows - different, " rows were stored twice");
  std::string list = "-1";
  for (const std::int64_t number : surely) list += "," + std::to_string(number);
  const auto there =
      server.number("select count(*) from lanes_stored where n = any('{" + list + "}'::int8[])");
  require(there == static_cast<std::int64_t>(surely.size()), "once", surely.size(),
          " rows were answered for, ", there, " are there");
  require(rows <= there + static_cast<std::int64_t>(perhaps.size()), "once", rows - there,
          " rows are there that were not answered for, and ", perhaps.size(), " may be");
  const Stats stats = fleet.pool.stats();
  require(stats.lanes.callers == 0 && stats.lanes.open == 0, "I11", to_string(stats));
  require(fleet.may_close || stats.lanes.statements > 0, "answer", "nothing has travelled");
}

void sail(Run& run, bool loses, bool closes) {
  Server& server = Server::instance();
  while (run.next_pass()) {
    server.run("drop table if exists lanes_stored");
    server.run("create table lanes_stored (n int8)");
    PoolConfig config;
    config.name = "lanes";
    config.max_size = std::max(run.pool() / 2, 1U);
    config.lanes = run.random.below(2) + 1;
    config.connect_backoff_min = 5ms;
    config.connect_backoff_max = 20ms;
    Pool pool(config);
    Fleet fleet{.pool = pool};
    fleet.may_lose = loses;
    fleet.may_close = closes;
    std::vector<Stored> stored(run.threads());
    std::atomic<std::uint32_t> busy{run.threads()};
    Team team(run.threads(), run.seed(), [&](Actor& me) {
      for (int i = 0; i < kCallsARound; ++i) fleet.act(me, stored[me.index]);
      --busy;
    });
    team.round([&] {
      while (loses && busy > 0) {
        pause(20ms);
        const auto pids = server.backends("lanes");
        if (!pids.empty())
          server.terminate(pids[run.random.below(static_cast<std::uint32_t>(pids.size()))]);
      }
      if (!closes) return;
      pause(std::chrono::milliseconds(run.random.below(100)));
      pool.close({.drain = std::chrono::milliseconds(run.random.below(5)), .cancel = 5s});
    });
    require(closes || fleet.answered > fleet.failed, "answer", "most have failed");
    if (!closes) {
      require(comes_true(10s, [&] { return pool.stats().leased == 0; }), "I11",
              to_string(pool.stats()));
    }
    audit(fleet, stored);
  }
}

// Nothing but numbers, on as many connections as there are lanes.
void ask_on(Run& run) {
  while (run.next_pass()) {
    PoolConfig config;
    config.name = "lanes";
    config.max_size = run.random.below(3) + 1;
    config.lanes = run.random.below(3) + 1;
    Pool pool(config);
    Fleet fleet{.pool = pool};
    fleet.only_asks = true;
    Stored none;
    Team team(run.threads(), run.seed(), [&](Actor& me) {
      for (int i = 0; i < kQuestionsARound; ++i) fleet.act(me, none);
    });
    team.round();
    require(fleet.failed == 0, "answer", std::uint64_t{fleet.failed}, " have failed");
    const Stats stats = pool.stats();
    require(stats.lanes.callers == 0 && stats.lanes.statements > 0, "I11", to_string(stats));
  }
}

const Registered registered[] = {
    Registered({"lanes.numbers", "statements share connections, as fast as it goes", &ask_on,
                Driver::pg, Breaks::nothing}),
    Registered({"lanes.mix", "statements share connections, and fail, stop and come late",
                [](Run& run) { sail(run, false, false); }, Driver::pg, Breaks::nothing}),
    Registered({"lanes.losses", "the same, while server processes are ended",
                [](Run& run) { sail(run, true, false); }, Driver::pg, Breaks::server}),
    Registered({"lanes.close", "the same, while the pool is closed",
                [](Run& run) { sail(run, false, true); }, Driver::pg, Breaks::nothing}),
};

}  // namespace
}  // namespace tidegate::stress
