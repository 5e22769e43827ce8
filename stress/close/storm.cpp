// A storm of acquires, before, during and after close(): everybody is told, and told Closed. Seen
// failing: with acquires that go to wait after all have been told (hang).
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

void storm(LedgerPool<>& pool, Actor& me) {
  for (int refused = 0; refused < 20;) {
    Errc why{};
    auto held = me.random.chance(1, 8) ? pool.acquire(me, me.random.up_to(500us), {}, &why)
                                       : pool.acquire(me, Deadline::never(), {}, &why);
    if (held) {
      hold(me.random);
      pool.release(std::move(*held));
    } else if (why == Errc::closed) {
      ++refused;
    } else {
      // Once closed it stays closed (I9).
      require(refused == 0, "I9", "after Closed an acquire ended as ", to_string(why));
    }
    require(!held || refused == 0, "I4", "after Closed an acquire got a lease");
  }
}

void play(Run& run) {
  std::optional<LedgerPool<>> pool;
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(), [&](Actor& me) { storm(*pool, me); });
  while (run.next_pass()) {
    Shape shape = Shape::random(run.random, run.pool());
    shape.weather = run.random.chance(1, 4) ? kStormy : kFair;
    shape.sampled = run.random.chance(1, 4);
    pool.emplace(shape, run.seed(), run.threads() + 1);
    team.round([&] {
      std::this_thread::sleep_for(self.random.up_to(5000us));
      pool->close(self, Deadline::never());
    });
    pool->audit_and_close(self);
    pool.reset();
  }
}

const Registered registered({"close.storm", "acquires by many threads before, during, after close",
                             play});

}  // namespace
}  // namespace tidegate::stress
