// Control: a lease that never comes back. The ledger must end this run with 70.
#include <memory>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

void play(Run& run) {
  run.next_pass();
  LedgerPool<> pool(Shape{.max_size = run.pool()}, run.seed(), run.threads() + 1);
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(),
            [&](Actor& me) { pool.release(std::move(*pool.acquire(me))); });
  team.round();
  auto forgotten = std::make_unique<LedgerPool<>::Held>(std::move(*pool.acquire(self)));
  static_cast<void>(forgotten.release());
  pool.audit_at_rest(self);
}

const Registered registered({"control.leak", "forgets a lease: 70", play});

}  // namespace
}  // namespace tidegate::stress
