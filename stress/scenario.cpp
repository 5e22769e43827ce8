#include "scenario.hpp"

#include <algorithm>

#include "support/delays.hpp"

namespace tidegate::stress {
namespace {

std::vector<Scenario>& registry() {
  static std::vector<Scenario> scenarios;
  return scenarios;
}

// The same stream alone and among others.
std::uint64_t seed_of(std::uint64_t seed, std::string_view scenario) {
  for (const char c : scenario) seed = Random::stream(seed, c)();
  return seed;
}

}  // namespace

Registered::Registered(const Scenario& scenario) { registry().push_back(scenario); }

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> scenarios = registry();
  std::sort(scenarios.begin(), scenarios.end(),
            [](const Scenario& a, const Scenario& b) { return a.name < b.name; });
  return scenarios;
}

Run::Run(const Options& options, std::string_view scenario)
    : random(seed_of(options.seed, scenario)),
      options_(options),
      seed_(seed_of(options.seed, scenario)) {}

bool Run::next_pass() {
  if (passes_ > 0 && std::chrono::steady_clock::now() >= options_.until) return false;
  ++passes_;
  next_delays(seed(~std::uint64_t{0}));
  return true;
}

std::uint64_t Run::seed(std::uint64_t part) const noexcept {
  return Random::stream(seed_, passes_, part)();
}

}  // namespace tidegate::stress
