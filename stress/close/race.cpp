// close() meets acquires and releases: a new pool each time, as often as time allows. Seen failing:
// with acquires that do not look at their gate once more (I4).
#include <algorithm>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

class CloseRace {
 public:
  explicit CloseRace(Run& run)
      : run_(run),
        size_(std::min(run.threads(), 4U)),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    for (std::uint32_t i = run_.random.below(run_.pool() + 1); i > 0; --i) {
      pool_->create_resource(self_, Deadline::never());
    }
    team_.round([this] {
      spin(self_.random, 3000);
      // The phases of a close that gives up at once race with the last releases, too.
      static constexpr std::chrono::microseconds kDrains[] = {0us, 50us};
      const bool patient = self_.random.chance(2, 3);
      pool_->close(self_, patient ? Deadline::never() : Deadline(self_.random.pick(kDrains)));
    });
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    spin(me.random, 1000);
    for (;;) {
      Errc why{};
      auto held = me.random.chance(1, 4) ? pool_->acquire(me, me.random.up_to(100us), {}, &why)
                                         : pool_->acquire(me, Deadline::never(), {}, &why);
      if (held) {
        spin(me.random, 200);
        if (me.random.chance(1, 16)) {
          pool_->discard(std::move(*held));
        } else {
          pool_->release(std::move(*held));
        }
      } else if (why == Errc::closed) {
        return;
      }
    }
  }

  Run& run_;
  const std::uint32_t size_;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  Team team_;
};

const Registered registered({"close.race",
                             "close meets acquires and releases, on a new pool each time",
                             [](Run& run) {
                               CloseRace scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
