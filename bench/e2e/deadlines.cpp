// What do deadlines that pass cost the others, directly and through a pooler? (E6)
//
// Eight threads on eight connections. Every fourth statement takes 200 ms and has a deadline of 10
// ms, so that it is canceled; one in sixteen takes as long as its deadline, so that the request may
// come too late; the rest is short. `direct` is the server over TCP, `pooler` whatever the
// connection string in TIDEGATE_BENCH_POOLER leads to, and the others are poolers with as many
// server connections, left out where they are not installed (scripts/setup --poolers).
//
// items_per_second  statements, canceled ones included
// canceled          of those, per second
// strays            statements without a deadline that ended with 57014
// replaced          connections beyond the eight
#include <tidegate/tidegate.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "../../tests/support/companion.hpp"
#include "e2e/ask.hpp"
#include "e2e/rows.hpp"
#include "e2e/tcp.hpp"
#include "support/load.hpp"
#include "support/options.hpp"

namespace bench {
namespace {

using std::chrono::milliseconds;

constexpr int kThreads = 8;
constexpr milliseconds kDeadline{10};

template <class Conninfo>
void add(const char* way, Conninfo conninfo) {
  benchmark::RegisterBenchmark(
      (std::string("deadlines/") + way).c_str(),
      [conninfo](benchmark::State& state) {
        tidegate::Pool pool("pool_max_conns=" + std::to_string(kThreads) +
                            " pool_statement_cache=0 pool_cancel_rate=10000 " + conninfo());
        {
          std::vector<tidegate::Lease> leases;
          for (int i = 0; i < kThreads; ++i) leases.push_back(pool.acquire());
        }
        std::atomic<std::uint64_t> canceled{0};
        std::atomic<std::uint64_t> strays{0};
        std::atomic<std::uint64_t> turn{0};
        const auto request = [&](int) {
          const std::uint64_t mine = turn.fetch_add(1, std::memory_order_relaxed);
          const bool late = mine % 4 == 0;
          const bool races = mine % 16 == 1;
          tidegate::Lease lease = pool.acquire();
          try {
            if (late || races) {
              lease->exec({.by = kDeadline},
                          late ? "select pg_sleep(0.2)" : "select pg_sleep(0.0098)");
            } else {
              lease->exec("select pg_sleep(0.0005)");
            }
          } catch (const tidegate::QueryTimeout&) {
            ++canceled;
          } catch (const tidegate::QueryError& error) {
            if (error.sqlstate() != "57014") throw;
            ++strays;
          }
        };
        for (auto _ : state) {
          const Load load = closed_loop(kThreads, options.fixed_time * 4, request);
          report(state, load);
          state.counters["canceled"] = static_cast<double>(canceled) /
                                       static_cast<double>(load.took.count()) * load.per_second;
        }
        state.counters["strays"] = static_cast<double>(strays);
        state.counters["replaced"] = static_cast<double>(pool.stats().created) - kThreads;
      })
      ->Iterations(1)
      ->UseRealTime();
}

bool is_installed(const std::string& program) {
  return ::access(("/usr/sbin/" + program).c_str(), X_OK) == 0 ||
         ::access(("/usr/bin/" + program).c_str(), X_OK) == 0;
}

// `command`: a script of tests/support, and its words.
void add_pooler(const std::string& program, const std::string& way,
                std::vector<std::string> command) {
  if (!is_installed(program)) return;
  command.front() = (tidegate::test::repository() / "tests/support" / command.front()).string();
  add(way.c_str(), [command] {
    static std::map<std::string, tidegate::test::Companion> running;
    const auto [pooler, _] = running.try_emplace(command.at(command.size() - 2), command);
    return "host=127.0.0.1 user=postgres dbname=postgres port=" + pooler->second.said(0);
  });
}

}  // namespace

void add_deadline_rows() {
  add("direct", tcp_conninfo);
  const std::string connections = std::to_string(kThreads);
  add_pooler("pgbouncer", "pgbouncer", {"pgbouncer.py", connections});
  for (const char* kind : {"odyssey-transaction", "pgagroal-session", "pgagroal-performance",
                           "pgpool-streaming_replication"}) {
    const std::string name = kind;
    add_pooler(name.substr(0, name.find('-')), name.substr(0, name.find('_')),
               {"other_pooler.py", name, connections});
  }
  if (const char* const pooler = std::getenv("TIDEGATE_BENCH_POOLER")) {
    add("pooler", [pooler] { return std::string(pooler); });
  }
}

}  // namespace bench
