// Everything at once: all verbs, all outcomes, in all weather. Seen failing, both: with the slot of
// a hijacked thing not given back to the empty ones (hang).
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/stops.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;
using Held = LedgerPool<>::Held;

class Mix {
 public:
  Mix(Run& run, std::uint32_t actors)
      : run_(run),
        actors_(actors),
        stops_(actors),
        self_(actors, Random::stream(run.seed(), actors)),
        team_(actors, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    shape.weather = run_.random.chance(1, 2) ? kStormy : kFair;
    if (run_.random.chance(1, 4)) shape.max_waiters = 1 + run_.random.below(actors_);
    pool_.emplace(shape, run_.seed(), actors_ + 1);
    until_ = std::chrono::steady_clock::now() + 300ms;
    team_.round();
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    while (std::chrono::steady_clock::now() < until_) act(me);
  }

  void act(Actor& me) {
    switch (me.random.below(64)) {
      case 0: return pool_->reset(me);
      case 1:
        for (Held& held : pool_->acquire_all_idle(me)) pool_->release(std::move(held));
        return;
      case 2:
        return void(pool_->create_resource(me, me.random.up_to(3000us), stops_.renew(me.index)));
      case 3: return nested(me);
      case 4: return stops_.request(me.random.below(actors_));
      case 5: return void(pool_->pool().stats());
      default: break;
    }
    std::optional<Held> held = take(me);
    if (!held) return;
    hold(me.random);
    pool_->use(me, *held);
    give_back(me, std::move(*held));
  }

  std::optional<Held> take(Actor& me) {
    switch (me.random.below(8)) {
      case 0: return pool_->acquire(me, Deadline::now());
      case 1:
      case 2: return pool_->acquire(me, me.random.up_to(2000us));
      case 3: return pool_->acquire(me, Deadline::never(), stops_.renew(me.index));
      case 4: return pool_->acquire(me, me.random.up_to(2000us), stops_.renew(me.index));
      default: return pool_->acquire(me);
    }
  }

  void give_back(Actor& me, Held held) {
    switch (me.random.below(64)) {
      case 0: return pool_->discard(std::move(held));
      case 1: return pool_->hijack(std::move(held));
      default: return pool_->release(std::move(held));
    }
  }

  // Holds one and wants another; not for ever, since others may do the same.
  void nested(Actor& me) {
    std::optional<Held> first = take(me);
    if (!first) return;
    std::optional<Held> second = pool_->acquire(me, me.random.up_to(1000us));
    if (second) give_back(me, std::move(*second));
    give_back(me, std::move(*first));
  }

  Run& run_;
  const std::uint32_t actors_;
  Stops stops_;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  std::chrono::steady_clock::time_point until_;
  Team team_;
};

void play(Run& run, std::uint32_t actors) {
  Mix mix(run, actors);
  while (run.next_pass()) mix.pass();
}

// First of all what one actor can do alone: where that fails, nobody needs to look for a race. The
// pool has threads of its own all the same.
const Registered registered[] = {
    Registered({"accounting.alone", "the mix by one actor; runs before the others",
                [](Run& run) { play(run, 1); }}),
    Registered({"accounting.mix", "all verbs and outcomes, in fair and stormy weather",
                [](Run& run) { play(run, run.threads()); }}),
};

}  // namespace
}  // namespace tidegate::stress
