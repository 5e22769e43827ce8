// Scenarios: what a stress program can be asked to do, by name.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "support/actor.hpp"
#include "support/random.hpp"

namespace tidegate::stress {

// One run of one scenario.
class Run {
 public:
  struct Options {
    std::uint64_t seed = 0;
    std::uint32_t threads = 16;
    std::uint32_t pool = 4;
    std::chrono::steady_clock::time_point until{};
    bool at_full_length = false;
  };
  Run(const Options& options, std::string_view scenario);

  // True for the first pass, and then until the time is over. Chooses new delays each time.
  bool next_pass();
  std::uint64_t passes() const noexcept { return passes_; }
  // Of this pass; another one for each `part`.
  std::uint64_t seed(std::uint64_t part = 0) const noexcept;

  std::uint32_t threads() const noexcept { return options_.threads; }
  std::uint32_t pool() const noexcept { return options_.pool; }
  // How long something takes here that takes `full` by its nature ("the server is down for 60 s"):
  // a tenth of it in short runs.
  std::chrono::milliseconds natural(std::chrono::milliseconds full) const noexcept {
    return options_.at_full_length ? full : full / 10;
  }
  // Choices of the scenario itself.
  Random random;

 private:
  const Options options_;
  const std::uint64_t seed_;
  std::uint64_t passes_ = 0;
};

// What is in the pool: things that are made up, or connections to a PostgreSQL server.
enum class Driver : std::uint8_t { fake, pg };
// What a scenario breaks: nothing, the network (by the fault proxy), or processes of the server.
enum class Breaks : std::uint8_t { nothing, network, server };

struct Scenario {
  std::string_view name;   // group.name
  std::string_view story;  // one line
  void (*play)(Run&);
  Driver driver = Driver::fake;
  Breaks breaks = Breaks::nothing;
  std::uint32_t crowd = 0;  // so many threads at once, on small stacks (support/crowd.hpp)

  std::string_view group() const noexcept { return name.substr(0, name.find('.')); }
  // Controls fail on purpose: they run only when named.
  bool is_control() const noexcept { return group() == "control"; }
};

// All there are, by name.
std::vector<Scenario> all_scenarios();

// At namespace scope in the scenario's file.
struct Registered {
  explicit Registered(const Scenario& scenario);
};

}  // namespace tidegate::stress
