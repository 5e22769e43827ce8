// Control: a planted data race. ThreadSanitizer must end this run with 66.
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

// Each lessee touches the thing once more when its lease is over. Elsewhere that passes.
void play(Run& run) {
  std::optional<LedgerPool<>> pool;
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(), [&](Actor& me) {
    for (int i = 0; i < 100; ++i) {
      auto held = pool->acquire(me);
      Thing::Body& body = held->thing().body();
      pool->release(std::move(*held));
      ++body.uses;
    }
  });
  run.next_pass();
  pool.emplace(Shape{.max_size = run.pool()}, run.seed(), run.threads() + 1);
  team.round();
  pool->audit_and_close(self);
}

const Registered registered({"control.race", "touches a thing after its release: 66 under TSan",
                             play});

}  // namespace
}  // namespace tidegate::stress
