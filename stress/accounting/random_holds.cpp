// Far more threads than slots, and holds of every length. Seen failing: with `waiting` cleared at
// every grant, not at the last (hang).
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kThreadsPerThread = 4;  // 64 on 4 slots, unless the run says otherwise

void play(Run& run) {
  const std::uint32_t size = kThreadsPerThread * run.threads();
  std::optional<LedgerPool<>> pool;
  Actor self(size, Random::stream(run.seed(), size));
  Team team(size, run.seed(), [&](Actor& me) {
    for (std::uint32_t i = me.random.below(16); i > 0; --i) {
      auto held = pool->acquire(me);
      pool->use(me, *held);
      if (me.random.chance(1, 4)) {
        pause(me.random.up_to(500us));
      } else {
        hold(me.random);
      }
      pool->release(std::move(*held));
    }
  });
  while (run.next_pass()) {
    pool.emplace(Shape::random(run.random, run.pool()), run.seed(), size + 1);
    const Deadline end(200ms);
    do team.round();
    while (!end.passed());
    pool->audit_at_rest(self);
    pool->audit_and_close(self);
    pool.reset();
  }
}

const Registered registered({"accounting.random-holds",
                             "64 threads on 4 slots, holds of every length", play});

}  // namespace
}  // namespace tidegate::stress
