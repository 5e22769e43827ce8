// Control: a crash, by some seeds. A plain build must end this run with 70, the seed of the round,
// and a command that crashes again.
#include <signal.h>

#include "scenario.hpp"

namespace tidegate::stress {
namespace {

void play(Run& run) {
  run.next_pass();
  if (run.random.chance(1, 4)) ::raise(SIGSEGV);
}

const Registered registered({"control.crash", "a SIGSEGV by one seed of four: 70 in a plain build",
                             play});

}  // namespace
}  // namespace tidegate::stress
