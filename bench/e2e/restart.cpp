// How soon is a pool back after its server was restarted under load, and how politely? (E6)
//
// Eight threads ask all the time; the server is stopped at once, as in a crash, and started again.
// Beside the pool, libpq by hand connects every millisecond: when it gets through, the server is
// back.
//
// server_ms      from the order to restart until libpq by hand gets an answer
// pool_ms        until one of the eight does
// in_recoveries  the second in the first: the median
// connects       attempts that failed meanwhile
// steps          of the backoff that the pool announced
// beyond_steps   the first less the second, the worst restart's: at most those that were under way
//                together when the server went
// early          attempts that began before the backoff that the pool had announced was over
#include <tidegate/tidegate.hpp>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "support/percentile.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kThreads = 8;
constexpr int kRestarts = 3;
constexpr auto kPatience = std::chrono::seconds(60);
// Every server process of one start gives the same answer, and another start another one.
constexpr const char* kWhichStart = "select pg_postmaster_start_time()::text";

// What the backoff promises is what it is judged by.
class Attempts final : public tidegate::Observer {
 public:
  void connect_started() override {
    if (Clock::now().time_since_epoch().count() < not_before_.load()) ++early;
  }
  void connect_ended(const tidegate::ConnectEnded& event) override {
    if (event.error != nullptr) ++failed;
  }
  void backing_off(std::uint32_t, std::chrono::nanoseconds next_in) override {
    const Clock::rep next = (Clock::now() + next_in - kSlack).time_since_epoch().count();
    Clock::rep known = not_before_.load();
    while (next > known && !not_before_.compare_exchange_weak(known, next)) {
    }
    if (next > known + Clock::duration(kSameStep).count()) ++steps;
  }
  std::atomic<int> failed{0};
  std::atomic<int> early{0};
  std::atomic<int> steps{0};

 private:
  // It is told of a moment that began before it was told.
  static constexpr auto kSlack = milliseconds(5);
  // Those that fail together all announce the end of one step; the next one's is at least half of
  // connect_backoff_min later.
  static constexpr auto kSameStep = milliseconds(25);
  std::atomic<Clock::rep> not_before_{0};
};

std::optional<std::string> which_start_by_hand() {
  const RawConnection connection(PQconnectdb("connect_timeout=2"));
  if (PQstatus(connection.get()) != CONNECTION_OK) return std::nullopt;
  const RawResult result(PQexec(connection.get(), kWhichStart));
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) return std::nullopt;
  return PQgetvalue(result.get(), 0, 0);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool restart_server() {
  const std::string as_owner =
      ::geteuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --init-groups " : "";
  return std::system((as_owner + variable("TIDEGATE_PG_BINDIR") +
                      "/pg_ctl restart -m immediate -s" + " -D " + variable("TIDEGATE_PG_DATADIR") +
                      " -l " + variable("TIDEGATE_PG_LOG") + " >/dev/null 2>&1")
                         .c_str()) == 0;
}

// Load on a pool, and when it first met another start of the server than it knew.
class Clients {
 public:
  explicit Clients(tidegate::Pool& pool) : known_(pool.query_value<std::string>(kWhichStart)) {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, &pool](const std::stop_token& stop) {
        while (!stop.stop_requested()) ask(pool);
      });
    }
  }
  const std::string& known() const noexcept { return known_; }
  // Waits for it; nothing when it does not come.
  std::optional<Clock::time_point> met_another() const {
    const auto give_up = Clock::now() + kPatience;
    while (met_.load() == 0) {
      if (Clock::now() > give_up) return std::nullopt;
      std::this_thread::sleep_until(Clock::now() + milliseconds(1));
    }
    return Clock::time_point(Clock::duration(met_.load()));
  }

 private:
  void ask(tidegate::Pool& pool) noexcept {
    try {
      if (pool.query_value<std::string>(kWhichStart) == known_) return;
    } catch (const tidegate::Error&) {
      return;  // expected; the next one waits in acquire
    }
    Clock::rep none = 0;
    met_.compare_exchange_strong(none, Clock::now().time_since_epoch().count());
  }

  const std::string known_;
  std::atomic<Clock::rep> met_{0};
  std::vector<std::jthread> threads_;
};

double since(Clock::time_point began, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - began).count();
}

void restart(benchmark::State& state) {
  int connects = 0;
  int steps = 0;
  int early = 0;
  int beyond_steps = 0;
  std::vector<double> server;
  std::vector<double> own;
  std::vector<double> ratios;
  for (auto _ : state) {
    const auto attempts = std::make_shared<Attempts>();
    tidegate::PoolConfig config = tidegate::PoolConfig::parse("pool_max_conns=8 pool_min_conns=8");
    config.observer = attempts;
    tidegate::Pool pool(config);
    pool.warm_up(std::chrono::seconds(10));
    Clients clients(pool);

    const auto began = Clock::now();
    bool restarted = false;
    std::jthread restarter([&] { restarted = restart_server(); });
    std::optional<Clock::time_point> back;
    while (!back && Clock::now() < began + kPatience) {
      std::this_thread::sleep_until(Clock::now() + milliseconds(1));
      const auto start = which_start_by_hand();
      if (start && *start != clients.known()) back = Clock::now();
    }
    const auto met = clients.met_another();
    restarter.join();
    if (!restarted || !back || !met) {
      return state.SkipWithError(!restarted ? "pg_ctl restart failed" : "no answer any more");
    }
    server.push_back(since(began, *back));
    own.push_back(since(began, *met));
    ratios.push_back(own.back() / server.back());
    state.SetIterationTime(own.back() / 1e3);
    connects += attempts->failed;
    steps += attempts->steps;
    early += attempts->early;
    beyond_steps = std::max(beyond_steps, attempts->failed - attempts->steps);
  }
  state.counters["server_ms"] = median(server);
  state.counters["pool_ms"] = median(own);
  state.counters["in_recoveries"] = median(ratios);
  state.counters["connects"] = connects;
  state.counters["steps"] = steps;
  state.counters["beyond_steps"] = beyond_steps;
  state.counters["early"] = early;
}

}  // namespace

void add_restart_rows() {
  if (variable("TIDEGATE_PG_DATADIR").empty()) return;  // not ours to restart
  benchmark::RegisterBenchmark("restart/pool", &restart)->Iterations(kRestarts)->UseManualTime();
}

}  // namespace bench
