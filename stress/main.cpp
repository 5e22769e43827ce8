// tidegate-stress, tidegate-stress-pg: run scenarios on a pool, with the ledger watching.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <pool/config/nearest.hpp>

#include "scenario.hpp"
#include "support/artefacts.hpp"
#include "support/crowd.hpp"
#include "support/delays.hpp"
#include "support/sanitizers.hpp"
#include "support/verdict.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {
namespace {

// From here on what takes 60 s by its nature takes 60 s.
constexpr std::uint32_t kFullLength = 300;
// A throw-away server takes 200 clients, and some scenarios look at it on the side.
constexpr std::uint32_t kLargestPgPool = 64;

struct Arguments {
  std::uint32_t seconds = 60;
  std::uint64_t seed = 0;
  std::uint32_t threads = 16;
  std::uint32_t pool = 4;
  std::uint32_t repeat = 1;
  std::uint32_t stall = kSanitized ? 30 : 10;
  std::string scenario = "all";
  std::string driver = "all";
  std::string faults = "all";
  std::string results;
  std::string invoked_as = "tidegate-stress";
  bool list = false;
  bool check = false;
};

std::string_view name_of(Driver driver) { return driver == Driver::pg ? "pg" : "fake"; }
std::string_view name_of(Breaks breaks) {
  switch (breaks) {
    case Breaks::nothing: return "none";
    case Breaks::network: return "net";
    case Breaks::server: return "server";
  }
  return "";
}

bool is_allowed(const Scenario& s, const Arguments& a) {
  return (a.driver == "all" || a.driver == name_of(s.driver)) &&
         (a.faults == "all" || s.breaks == Breaks::nothing || a.faults == name_of(s.breaks));
}

void print_list(const Arguments& a) {
  for (const Scenario& s : all_scenarios()) {
    if (!is_allowed(s, a)) continue;
    std::printf("%-30s %-5s%-7s %s%s\n", std::string(s.name).c_str(),
                std::string(name_of(s.driver)).c_str(), std::string(name_of(s.breaks)).c_str(),
                std::string(s.story).c_str(),
                s.is_control() ? " (must fail; only when named)" : "");
  }
}

// By name, by group, or all but the controls; of those that --driver and --faults leave.
std::vector<Scenario> chosen(const Arguments& a) {
  std::vector<Scenario> scenarios;
  for (const Scenario& s : all_scenarios()) {
    const bool is_meant = a.scenario == s.name ||
                          (!s.is_control() && (a.scenario == "all" || a.scenario == s.group()));
    if (is_meant && is_allowed(s, a)) scenarios.push_back(s);
  }
  return scenarios;
}

// Why nothing was chosen, and what may have been meant.
std::string no_scenario(const Arguments& a) {
  std::vector<std::string_view> names;
  bool has_pg = false;
  for (const Scenario& s : all_scenarios()) {
    has_pg |= s.driver == Driver::pg;
    for (const std::string_view name : {s.name, s.group()}) {
      if (name == a.scenario) {
        return "'" + a.scenario + "' is left out by --driver " + a.driver + " and --faults " +
               a.faults;
      }
      names.push_back(name);
    }
  }
  const detail::Nearest nearest = detail::nearest(a.scenario, names);
  std::string text = "no scenario or group is named '" + a.scenario + "'";
  if (detail::is_typo(a.scenario, nearest.distance)) {
    text += "; did you mean '" + std::string(nearest.word) + "'?";
  }
  text += " --list prints them";
  if (!has_pg) text += "; with --driver pg there are more";
  return text;
}

// What is wrong with them, before anything is started.
std::optional<std::string> fault_in(const Arguments& a, const std::vector<Scenario>& scenarios) {
  if (scenarios.empty()) return no_scenario(a);
  for (const Scenario& s : scenarios) {
    if (s.driver != Driver::pg) continue;
    if (a.pool > kLargestPgPool) {
      return std::string(s.name) + " cannot have a pool of " + std::to_string(a.pool) +
             ": a throw-away server takes 200 clients; --pool is at most " +
             std::to_string(kLargestPgPool) + " with --driver pg";
    }
    if (a.threads < 2) {
      return std::string(s.name) +
             " needs at least 2 threads: what one thread holds, nobody else "
             "can be told of; --threads is 1";
    }
    if (!a.check && std::getenv("TIDEGATE_PG_DATADIR") == nullptr) {
      return std::string(s.name) +
             " needs a PostgreSQL server that it may break: run this under "
             "scripts/with-postgres, or use scripts/stress, which does";
    }
  }
  return std::nullopt;
}

// The largest team: a scenario has up to four threads for each of --threads, and some of its own.
constexpr std::uint32_t kTeamPerThread = 4;
constexpr std::uint32_t kMoreThreads = 32;

// Can the system give so many threads at once? Asked by taking them.
std::optional<std::string> fault_in_threads(const Arguments& a,
                                            const std::vector<Scenario>& scenarios) {
  for (const Scenario& s : scenarios) {
    const std::uint32_t had = threads_to_be_had(s.crowd, kCrowdStack);
    if (had < s.crowd) {
      return std::string(s.name) + " needs " + std::to_string(s.crowd) + " threads at once, and " +
             std::to_string(had) + " can be had here (ulimit -u and -v, cgroup, pid_max)";
    }
  }
  const std::uint32_t team = kTeamPerThread * a.threads + kMoreThreads;
  const std::uint32_t had = threads_to_be_had(team, 0);
  if (had == team) return std::nullopt;
  return "--threads " + std::to_string(a.threads) + " needs up to " + std::to_string(team) +
         " threads at once, and " + std::to_string(had) +
         " can be had here (ulimit -u and -v, cgroup, pid_max)";
}

std::string replay_command(const Arguments& a) {
  return a.invoked_as + " --seconds " + std::to_string(a.seconds) + " --seed " +
         std::to_string(a.seed) + " --threads " + std::to_string(a.threads) + " --pool " +
         std::to_string(a.pool) + " --driver " + a.driver + " --faults " + a.faults +
         " --scenario " + a.scenario + " --repeat " + std::to_string(a.repeat) + " --stall " +
         std::to_string(a.stall);
}

// What repeats one scenario of one round: its streams are the same alone and among others.
std::string replay_alone(Arguments a, const Scenario& scenario, std::uint64_t seed,
                         std::chrono::nanoseconds share) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(share);
  // What is long by its nature must be as long as it was.
  const std::uint32_t least = a.seconds >= kFullLength ? kFullLength : 1;
  a.seconds = std::max(static_cast<std::uint32_t>(seconds.count()), least);
  a.seed = seed;
  a.scenario = scenario.name;
  a.driver = name_of(scenario.driver);
  a.repeat = 1;
  return replay_command(a);
}

void print_tally(const Watchdog::Tally& tally, std::chrono::duration<double> took) {
  std::printf("%llu acquires, %llu leases, %llu closes in use; %.1f s\n",
              static_cast<unsigned long long>(tally.acquires),
              static_cast<unsigned long long>(tally.leases),
              static_cast<unsigned long long>(tally.closes), took.count());
  std::fflush(stdout);
}

void play(const Scenario& scenario, std::uint64_t seed, const Arguments& a,
          std::chrono::nanoseconds share) {
  const auto began = std::chrono::steady_clock::now();
  const std::string name(scenario.name);
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
  begin_in_report(scenario.name);
  Run run({.seed = seed,
           .threads = a.threads,
           .pool = a.pool,
           .until = began + share,
           .at_full_length = a.seconds >= kFullLength},
          scenario.name);
  const Watchdog::Tally before = Watchdog::instance().tally();
  or_fail([&] { scenario.play(run); });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const Watchdog::Tally tally = Watchdog::instance().tally() - before;
  std::printf("%s: %llu passes, ", name.c_str(), static_cast<unsigned long long>(run.passes()));
  print_tally(tally, took);
  passed_in_report(run.passes(), tally, took);
}

int run(const Arguments& a, const std::vector<Scenario>& scenarios) {
  std::printf("%s; seed %llu, %u threads, pool of %u\n", build_description(),
              static_cast<unsigned long long>(a.seed), a.threads, a.pool);
  std::fflush(stdout);
  set_artefacts(a.results, a.seed, replay_command(a), build_description());
  set_replay(a.seed, replay_command(a));
  Watchdog::instance().start(std::chrono::seconds(a.stall));
  const auto share = std::chrono::nanoseconds(std::chrono::seconds(a.seconds)) /
                     (scenarios.size() * std::size_t{a.repeat});
  const auto began = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < a.repeat; ++i) {
    for (const Scenario& scenario : scenarios) {
      const std::uint64_t seed = a.seed + i;
      if (scenarios.size() * a.repeat > 1) {
        set_replay_alone(seed, replay_alone(a, scenario, seed, share));
      }
      install_delays(seed);
      play(scenario, seed, a, share);
    }
  }
  std::printf("in all: ");
  print_tally(Watchdog::instance().tally(), std::chrono::steady_clock::now() - began);
  Watchdog::instance().stop();
  print_pass();
  return 0;
}

int main_with(int argc, char** argv) {
  Arguments a;
  std::random_device device;
  a.seed = device();

  CLI::App app(
      "Stress of the pool, over fake resources and over connections to a server under faults, "
      "with\n"
      "a ledger.\n"
      "Exit status: 0 passed, 2 wrong usage, 66 data race (ThreadSanitizer), 70 broken\n"
      "invariant, 75 hang.",
      "tidegate-stress");
  app.add_option("--seconds", a.seconds,
                 "in total, split evenly over the scenarios; each makes at least one pass")
      ->capture_default_str()
      ->check(CLI::Range(0U, 1'000'000U));
  app.add_option("--seed", a.seed, "of all choices; random unless given");
  app.add_option("--threads", a.threads)->capture_default_str()->check(CLI::Range(1U, 1024U));
  app.add_option("--pool", a.pool, "size of the pool")
      ->capture_default_str()
      ->check(CLI::Range(1U, 65535U));
  app.add_option("--scenario", a.scenario, "a name, a group, or all")->capture_default_str();
  app.add_option("--driver", a.driver, "what is in the pool: fake, pg, or all of what is built in")
      ->capture_default_str()
      ->check(CLI::IsMember({"fake", "pg", "all"}));
  app.add_option("--faults", a.faults, "only scenarios that break at most: none, net, server, all")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "net", "server", "all"}));
  app.add_option("--repeat", a.repeat, "so often, each time with the next seed")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1'000'000U));
  app.add_option("--stall", a.stall, "seconds after which a call is a hang")
      ->capture_default_str()
      ->check(CLI::Range(1U, 3600U));
  app.add_flag("--list", a.list, "print the scenarios and end");
  // For scripts/stress: how it wants to be named, where artefacts go, whether all is well so far.
  app.add_option("--invoked-as", a.invoked_as)->group("");
  app.add_option("--results", a.results)->group("");
  app.add_flag("--check", a.check)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }

  if (a.list) {
    print_list(a);
    return 0;
  }
  const std::vector<Scenario> scenarios = chosen(a);
  auto fault = fault_in(a, scenarios);
  if (!fault) fault = fault_in_threads(a, scenarios);
  if (fault) {
    std::fprintf(stderr, "%s\n", fault->c_str());
    return kExitUsage;
  }
  return a.check ? 0 : run(a, scenarios);
}

}  // namespace
}  // namespace tidegate::stress

int main(int argc, char** argv) {
  try {
    return tidegate::stress::main_with(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tidegate-stress: %s\n", e.what());
    return 1;
  }
}
