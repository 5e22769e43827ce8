// Holds of nothing: releases meet waiters on their way to sleep all the time. Seen failing: with
// waiters that park without a last look (hang).
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// In rounds: at the end of each nobody releases any more, so a wake-up that got lost stays lost
// (I3).
void play(Run& run) {
  std::optional<LedgerPool<>> pool;
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(), [&](Actor& me) {
    for (std::uint32_t i = me.random.below(64); i > 0; --i) {
      pool->release(std::move(*pool->acquire(me)));
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

const Registered registered({"accounting.tiny-holds", "many threads, few slots, holds of nothing",
                             play});

}  // namespace
}  // namespace tidegate::stress
