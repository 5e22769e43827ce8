// Coroutines: the verbs of <tidegate/asio.hpp> on loops of one thread and of two, beside threads
// that block, while the network breaks, the pool closes, and loops are destroyed with all they have
// under way. Every answer carries a number that its statement has drawn, a server process has one
// lessee, a row that was answered for is there once, and whatever was begun ends.
//
// Seen failing: close with an operation that nobody owns between its timer and its callback (I8), a
// fault of the library that this scenario found.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#include "pg/server.hpp"
#include "scenario.hpp"
#include "support/count.hpp"
#include "support/pause.hpp"
#include "support/proxy.hpp"
#include "support/sanitizers.hpp"
#include "support/team.hpp"
#include "support/verdict.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {
namespace {

namespace asio = boost::asio;
namespace pg = tidegate::asio;
using ::boost::asio::awaitable;
using namespace std::chrono_literals;

using Executor = asio::any_io_executor;

// What all coroutines and threads of a pass share.
class Fleet {
 public:
  // What may end a verb besides its success, and what the verb itself expects.
  struct May {
    bool lose = false;   // connections break meanwhile
    bool close = false;  // the pool is closed meanwhile
  };
  Fleet(Pool& the_pool, May may) : pool(the_pool), may_(may) {}

  Pool& pool;
  std::atomic<bool> over{false};  // relaxed, as all that is counted: it orders nothing
  Count lives{};                  // coroutines that have ended
  Count answered{};
  Count failed{};
  Count acquired{};

  std::int64_t draw() noexcept { return ++drawn_; }

  // The server process of a lease has no other lessee.
  void begin(int pid) {
    const std::lock_guard lock(mutex_);
    require(lessees_.insert(pid).second, "I2", "server process ", pid, " is leased twice");
    acquired.add();
  }
  void end(int pid) {
    const std::lock_guard lock(mutex_);
    lessees_.erase(pid);
  }
  void stored(std::int64_t number, bool surely) {
    const std::lock_guard lock(mutex_);
    (surely ? surely_ : perhaps_).push_back(number);
  }

  void check(const Error& error, const std::vector<Errc>& besides) {
    const Errc code = error.code();
    const bool expected =
        std::find(besides.begin(), besides.end(), code) != besides.end() ||
        (may_.lose &&
         (code == Errc::connection_lost || code == Errc::unavailable || code == Errc::timeout)) ||
        (may_.close &&
         (code == Errc::closed || code == Errc::canceled || code == Errc::connection_lost));
    require(expected, "I9", error.what());
    failed.add();
    if (code == Errc::closed) over.store(true, std::memory_order_relaxed);
  }

  // After everybody has come back.
  void audit() {
    Server& server = Server::instance();
    std::string list = "-1";
    for (const std::int64_t number : surely_) list += "," + std::to_string(number);
    const auto rows = server.number("select count(*) from coroutines_stored");
    const auto different = server.number("select count(distinct n) from coroutines_stored");
    const auto there = server.number("select count(*) from coroutines_stored where n = any('{" +
                                     list + "}'::int8[])");
    require(rows == different, "once", rows - different, " rows were stored twice");
    require(there == static_cast<std::int64_t>(surely_.size()), "once", surely_.size(),
            " rows were answered for, ", there, " are there");
    require(rows <= there + static_cast<std::int64_t>(perhaps_.size()), "once", rows - there,
            " rows are there that were not answered for, and ", perhaps_.size(), " may be");
  }

 private:
  const May may_;
  std::atomic<std::int64_t> drawn_{0};
  std::mutex mutex_{};
  std::set<int> lessees_{};              // mutex_
  std::vector<std::int64_t> surely_{};   // mutex_
  std::vector<std::int64_t> perhaps_{};  // mutex_
};

// A lease that the fleet knows of.
class Mine {
 public:
  Mine(Fleet& fleet, pg::Lease lease)
      : fleet_(&fleet), lease_(std::move(lease)), pid_(lease_.connection().backend_pid()) {
    fleet.begin(pid_);
    require(lease_.connection().transaction_status() == TransactionStatus::idle, "I10",
            "a lease begins in a transaction");
  }
  ~Mine() { fleet_->end(pid_); }
  Mine(const Mine&) = delete;
  Mine& operator=(const Mine&) = delete;
  pg::Lease& operator*() noexcept { return lease_; }
  pg::Lease* operator->() noexcept { return &lease_; }

 private:
  Fleet* fleet_;
  pg::Lease lease_;  // ends after the fleet has been told
  int pid_;
};

// One coroutine: does one thing after the other until the fleet's time is over.
class Life {
 public:
  Life(Fleet& fleet, Executor executor, Random random)
      : fleet_(fleet), timer_(std::move(executor)), random_(random) {}

  awaitable<void> live() {
    while (!fleet_.over.load(std::memory_order_relaxed)) {
      std::optional<std::chrono::milliseconds> rest;
      try {
        co_await act(random_.below(100));
        fleet_.answered.add();
      } catch (const Error& error) {
        fleet_.check(error, expected_);
        rest = 1ms;  // as somebody does who was refused
      }
      if (rest) co_await pause(*rest);
    }
  }

 private:
  awaitable<void> act(std::uint32_t dice) {
    expected_ = {};
    if (dice < 45) return ask();
    if (dice < 60) return ask_at_once();
    if (dice < 70) return store();
    if (dice < 77) return late();
    if (dice < 84) return stopped();
    if (dice < 90) return impatient();
    if (dice < 95) return left_open();
    return row_by_row();
  }

  awaitable<void> pause(std::chrono::microseconds time) {
    timer_.expires_after(time);
    co_await timer_.async_wait(asio::use_awaitable);
  }
  void require_own(std::int64_t number, std::int64_t answer) const {
    require(answer == number, "answer", "asked for ", number, ", got ", answer);
  }

  // Two statements with a lease, and time between them.
  awaitable<void> ask() {
    Mine mine(fleet_, co_await pg::acquire(fleet_.pool, 30s));
    const std::int64_t number = fleet_.draw();
    require_own(number, co_await mine->query_value<std::int64_t>("select $1::int8", number));
    if (random_.chance(1, 4)) co_await pause(std::chrono::microseconds(random_.below(500)));
    require_own(-number, co_await mine->query_value<std::int64_t>("select -$1::int8", number));
  }
  awaitable<void> ask_at_once() {
    const std::int64_t number = fleet_.draw();
    require_own(number,
                co_await pg::query_value<std::int64_t>(fleet_.pool, "select $1::int8", number));
  }
  awaitable<void> store() {
    const std::int64_t number = fleet_.draw();
    bool perhaps = false;
    try {
      co_await pg::transact(fleet_.pool, [number](pg::Transaction& t) -> awaitable<void> {
        co_await t.exec("insert into coroutines_stored values ($1)", number);
      });
      fleet_.stored(number, true);
      co_return;
    } catch (const QueryError& error) {
      perhaps = error.outcome_unknown();
      if (perhaps) fleet_.stored(number, false);
      throw;
    }
  }
  // A statement whose deadline comes in the middle of it.
  awaitable<void> late() {
    expected_ = {Errc::timeout};
    const std::chrono::microseconds by(1 + random_.below(4000));
    Mine mine(fleet_, co_await pg::acquire(fleet_.pool, 30s));
    const ExecOptions options{.by = by};
    co_await mine->exec(options, "select pg_sleep(0.002)");
  }
  // A statement that is stopped in the middle of it, or before.
  awaitable<void> stopped() {
    expected_ = {Errc::canceled};
    const auto source = std::make_shared<std::stop_source>();
    asio::steady_timer stopper(timer_.get_executor());
    stopper.expires_after(std::chrono::microseconds(random_.below(2000)));
    stopper.async_wait([source](const boost::system::error_code&) { source->request_stop(); });
    const ExecOptions options{.stop = source->get_token()};
    Mine mine(fleet_, co_await pg::acquire(fleet_.pool, 30s));
    co_await mine->exec(options, "select pg_sleep(0.002)");
  }
  // An acquire that gives up.
  awaitable<void> impatient() {
    expected_ = {Errc::timeout};
    const Deadline deadline(std::chrono::microseconds(random_.below(2000)));
    Mine mine(fleet_, co_await pg::acquire(fleet_.pool, deadline));
    const std::int64_t number = fleet_.draw();
    require_own(number, co_await mine->query_value<std::int64_t>("select $1::int8", number));
  }
  // A transaction that nobody ends: the pool rolls it back, and the row is never there.
  awaitable<void> left_open() {
    pg::Transaction transaction = co_await pg::begin(fleet_.pool);
    co_await transaction.exec("insert into coroutines_stored values (0)");
  }
  awaitable<void> row_by_row() {
    Mine mine(fleet_, co_await pg::acquire(fleet_.pool, 30s));
    const auto sum = co_await mine->call([](Connection& connection) {
      std::int64_t all = 0;
      connection.each("select generate_series(1, 300)",
                      [&](const Row& row) { all += row.get<int>(0); });
      return all;
    });
    require_own(300 * 301 / 2, sum);
  }

  Fleet& fleet_;
  asio::steady_timer timer_;
  Random random_;
  std::vector<Errc> expected_{};
};

// A loop, with its threads.
class Loop {
 public:
  explicit Loop(unsigned threads) : context_(static_cast<int>(threads)) {
    for (unsigned i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { context_.run(); });
    }
  }
  // All coroutines are destroyed where they stand, unless they have ended.
  ~Loop() {
    context_.stop();
    threads_.clear();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void spawn(Fleet& fleet, const Random& random) {
    // A coroutine's own: its handlers come one after the other, whichever thread runs them.
    const auto strand = asio::make_strand(context_);
    const auto life = std::make_shared<Life>(fleet, strand, random);
    asio::co_spawn(
        strand, [life] { return life->live(); },
        [life, &fleet](const std::exception_ptr& error) {
          if (error) std::rethrow_exception(error);
          fleet.lives.add();
        });
  }

 private:
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::vector<std::jthread> threads_{};
};

// What a pass does beside its coroutines.
struct Course {
  Fleet::May may{};
  bool breaks = false;    // the network
  bool closes = false;    // the pool, somewhere in between
  bool destroys = false;  // loops, with all that is under way
};

constexpr unsigned kCoroutines = kSanitized ? 16 : 64;  // on each loop

void sail(Run& run, const Course& course) {
  Server& server = Server::instance();
  Proxy proxy(server.folder(), server.port());
  while (run.next_pass()) {
    server.run("drop table if exists coroutines_stored");
    server.run("create table coroutines_stored (n int8)");
    PoolConfig config = PoolConfig::parse("host=" + proxy.unix_host() + " port=" + proxy.port());
    config.name = "coroutines";
    config.max_size = run.pool();
    config.connect_timeout = 500ms;
    config.connect_backoff_min = 5ms;
    config.connect_backoff_max = 20ms;
    config.ping_after = 1ms;
    config.ping_timeout = 100ms;
    Pool pool(config);
    Fleet fleet(pool, course.may);
    std::list<Loop> loops;
    loops.emplace_back(1U);
    loops.emplace_back(2U);
    std::uint64_t coroutines = 0;
    for (Loop& loop : loops) {
      for (unsigned i = 0; i < kCoroutines; ++i) {
        loop.spawn(fleet, Random::stream(run.seed(1), ++coroutines));
      }
    }
    // Threads wait in the same queue.
    Team team(2, run.seed(), [&](Actor& me) {
      while (!fleet.over.load(std::memory_order_relaxed)) {
        try {
          const Actor::InCall call(me, "query_value");
          const std::int64_t number = fleet.draw();
          require(pool.query_value<std::int64_t>("select $1::int8", number) == number, "answer",
                  "a thread has the answer of another");
        } catch (const Error& error) {
          fleet.check(error, {});
          pause(1ms);
        }
      }
    });
    team.round([&] {
      const Deadline end(run.natural(10s));
      while (!end.passed() && !fleet.over) {
        pause(std::chrono::milliseconds(10 + run.random.below(40)));
        if (!course.breaks) continue;
        switch (run.random.below(4)) {
          case 0: proxy.reset_all(); break;
          case 1: proxy.finish_all(); break;
          case 2: proxy.set({.cut_after = run.random.below(3000)}); break;
          default:
            proxy.set({.black_hole = true});
            pause(50ms);
            break;
        }
        pause(std::chrono::milliseconds(run.random.below(30)));
        proxy.heal();
      }
      proxy.heal();
      if (course.destroys) loops.pop_front();
      if (course.closes) {
        const CloseReport report = pool.close({.drain = 20s});
        require(report.outcome == CloseReport::Outcome::drained, "I7", to_string(report));
      }
      fleet.over = true;
    });
    const std::uint64_t left = course.destroys ? kCoroutines : coroutines;
    require(comes_true(Watchdog::instance().limit(), [&] { return fleet.lives >= left; }), "I8",
            "of ", left, " coroutines ", std::uint64_t{fleet.lives}, " have ended; ",
            to_string(pool.stats()));
    loops.clear();
    require(fleet.acquired > 0 && fleet.answered > fleet.failed, "answer", "most have failed");
    if (!course.closes) {
      require(comes_true(10s, [&] { return pool.stats().leased == 0; }), "I7",
              to_string(pool.stats()));
      require(pool.query_value<int>("select 1") == 1, "I3", "nobody is served");
    }
    const Stats stats = pool.stats();
    const std::uint64_t served = stats.outcomes.immediate + stats.outcomes.waited;
    Watchdog::instance().count({served, served, course.closes ? 1U : 0U});
    pool.close();
    fleet.audit();
    require(comes_true(10s, [&] { return server.backends("coroutines").empty(); }), "I11",
            "sessions are left");
  }
}

const Registered registered[] = {
    Registered({"coroutines.mix",
                "coroutines on two loops and threads share a pool, and stop, come late",
                [](Run& run) { sail(run, {}); }, Driver::pg, Breaks::nothing}),
    Registered({"coroutines.losses", "the same, while the network breaks",
                [](Run& run) { sail(run, {.may = {.lose = true}, .breaks = true}); }, Driver::pg,
                Breaks::network}),
    Registered({"coroutines.close", "the same, while the pool is closed",
                [](Run& run) { sail(run, {.may = {.close = true}, .closes = true}); }, Driver::pg,
                Breaks::nothing}),
    Registered({"coroutines.loops-end", "loops are destroyed with all that is under way",
                [](Run& run) { sail(run, {.destroys = true}); }, Driver::pg, Breaks::nothing}),
};

}  // namespace
}  // namespace tidegate::stress
