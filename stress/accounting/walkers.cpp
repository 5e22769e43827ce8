// Walkers take idle slots aside, as maintenance does, while waiters come and go: what they put back
// must reach whoever waits (I3). Seen failing: with slots that are put back past the waiters (hang).
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// As leases, or aside as maintenance has them: these go back by another way.
void walk(LedgerPool<>& pool, Actor& me) {
  for (std::uint32_t i = me.random.below(8); i > 0; --i) {
    if (me.random.chance(1, 8)) pool.reset(me);
    if (me.random.chance(1, 2)) {
      pool.check_idle(me, [&] {
        spin(me.random, 500);
        return !me.random.chance(1, 8);
      });
      continue;
    }
    auto taken = pool.acquire_all_idle(me);
    spin(me.random, 500);
    for (auto& held : taken) {
      if (me.random.chance(1, 8)) {
        pool.discard(std::move(held));
      } else {
        pool.release(std::move(held));
      }
    }
  }
}

// In rounds: at the end of each nobody walks any more, so who was missed waits for ever.
void play(Run& run) {
  std::optional<LedgerPool<>> pool;
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(), [&](Actor& me) {
    if (me.index % 8 == 0) return walk(*pool, me);
    for (std::uint32_t i = me.random.below(16); i > 0; --i) {
      auto held = pool->acquire(me);
      hold(me.random);
      pool->release(std::move(*held));
    }
  });
  while (run.next_pass()) {
    pool.emplace(Shape::random(run.random, run.pool()), run.seed(), run.threads() + 1);
    const Deadline end(200ms);
    do team.round();
    while (!end.passed());
    pool->audit_at_rest(self);
    pool->audit_and_close(self);
    pool.reset();
  }
}

const Registered registered({"accounting.walkers",
                             "idle slots are taken aside and put back while waiters come", play});

}  // namespace
}  // namespace tidegate::stress
