// tidegate-stress: runs scenarios on a pool of fake resources, with the ledger watching.
#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "scenario.hpp"
#include "support/delays.hpp"
#include "support/ledger.hpp"
#include "support/sanitizers.hpp"
#include "support/verdict.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {
namespace {

struct Arguments {
  std::uint32_t seconds = 60;
  std::uint64_t seed = 0;
  std::uint32_t threads = 16;
  std::uint32_t pool = 4;
  std::uint32_t repeat = 1;
  std::uint32_t stall = kSanitized ? 30 : 10;
  std::string scenario = "all";
  std::string invoked_as = "tidegate-stress";
  bool list = false;
};

void print_list() {
  for (const Scenario& s : all_scenarios()) {
    std::printf("%-28s %s%s\n", std::string(s.name).c_str(), std::string(s.story).c_str(),
                s.is_control() ? " (must fail; only when named)" : "");
  }
}

// By name, by group, or all but the controls.
std::vector<Scenario> chosen(const std::string& name) {
  std::vector<Scenario> scenarios;
  for (const Scenario& s : all_scenarios()) {
    if (name == s.name || (!s.is_control() && (name == "all" || name == s.group()))) {
      scenarios.push_back(s);
    }
  }
  return scenarios;
}

std::string replay_command(const Arguments& a) {
  return a.invoked_as + " --seconds " + std::to_string(a.seconds) + " --seed " +
         std::to_string(a.seed) + " --threads " + std::to_string(a.threads) + " --pool " +
         std::to_string(a.pool) + " --scenario " + a.scenario + " --repeat " +
         std::to_string(a.repeat);
}

void play(const Scenario& scenario, std::uint64_t seed, const Arguments& a,
          std::chrono::nanoseconds share) {
  const auto began = std::chrono::steady_clock::now();
  const std::string name(scenario.name);
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
  Run run({.seed = seed, .threads = a.threads, .pool = a.pool, .until = began + share},
          scenario.name);
  const std::uint64_t attempts = Ledger::attempts_so_far();
  scenario.play(run);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%s: %llu passes, %llu acquires in %.1f s\n", name.c_str(),
              static_cast<unsigned long long>(run.passes()),
              static_cast<unsigned long long>(Ledger::attempts_so_far() - attempts), took.count());
  std::fflush(stdout);
}

int run(const Arguments& a, const std::vector<Scenario>& scenarios) {
  std::printf("%s; seed %llu, %u threads, pool of %u\n", build_description(),
              static_cast<unsigned long long>(a.seed), a.threads, a.pool);
  std::fflush(stdout);
  set_replay(a.seed, replay_command(a));
  install_delays(a.seed);
  Watchdog::instance().start(std::chrono::seconds(a.stall));
  const auto share = std::chrono::nanoseconds(std::chrono::seconds(a.seconds)) /
                     (scenarios.size() * std::size_t{a.repeat});
  for (std::uint32_t i = 0; i < a.repeat; ++i) {
    for (const Scenario& scenario : scenarios) play(scenario, a.seed + i, a, share);
  }
  Watchdog::instance().stop();
  print_pass();
  return 0;
}

int main_with(int argc, char** argv) {
  Arguments a;
  std::random_device device;
  a.seed = device();

  CLI::App app(
      "Stress of the lock-free core over fake resources, with a ledger.\n"
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
  app.add_option("--repeat", a.repeat, "so often, each time with the next seed")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1'000'000U));
  app.add_option("--stall", a.stall, "seconds after which a call is a hang")
      ->capture_default_str()
      ->check(CLI::Range(1U, 3600U));
  app.add_flag("--list", a.list, "print the scenarios and end");
  app.add_option("--invoked-as", a.invoked_as)->group("");  // how scripts/stress wants to be named
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }

  if (a.list) {
    print_list();
    return 0;
  }
  const std::vector<Scenario> scenarios = chosen(a.scenario);
  if (scenarios.empty()) {
    std::fprintf(stderr, "no scenario is named '%s'; --list prints them\n", a.scenario.c_str());
    return kExitUsage;
  }
  return run(a, scenarios);
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
