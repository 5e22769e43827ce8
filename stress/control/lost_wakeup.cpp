// Control: a parker that does not wake. The watchdog must end this run with 75.
#include <tidegate/core/slot_pool_bodies.hpp>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

class DeafParker : public core::FutexParker {
 public:
  void wake() noexcept {}
};
struct DeafSync : core::StdSync {
  using Parker = DeafParker;
};

void play(Run& run) {
  run.next_pass();
  LedgerPool<DeafSync> pool(Shape{.max_size = 1, .barge_window = std::chrono::microseconds(0)},
                            run.seed(), run.threads() + 1);
  Team team(run.threads(), run.seed(), [&](Actor& me) {
    for (int i = 0; i < 10'000; ++i) pool.release(std::move(*pool.acquire(me)));
  });
  team.round();
}

const Registered registered({"control.lost-wakeup", "grants without waking: 75", play});

}  // namespace
}  // namespace tidegate::stress
