// Control: a scenario that throws while its actors are busy until it says so. The run must end with
// 70 and say what was thrown.
#include <atomic>
#include <stdexcept>

#include "scenario.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

void play(Run& run) {
  run.next_pass();
  std::atomic<bool> over{false};
  Team team(run.threads(), run.seed(), [&](Actor&) {
    while (!over) pause(std::chrono::milliseconds(1));
  });
  team.round([&] {
    if (!over) throw std::runtime_error("thrown while everybody was busy");
    over = true;
  });
}

const Registered registered({"control.exception", "throws while others are busy: 70", play});

}  // namespace
}  // namespace tidegate::stress
