// close() while things are in the making, by openers and on threads of the user's own.
// Seen failing: with a making that is published after the close (I5).
#include <algorithm>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

class DuringSlowCreate {
 public:
  explicit DuringSlowCreate(Run& run)
      : run_(run),
        size_(std::min(run.threads(), 8U)),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    shape.weather = {.slow = 90, .slowest = 1500us, .deaf = 30, .unavailable = 10};
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    team_.round([this] {
      std::this_thread::sleep_for(self_.random.up_to(2000us));
      const bool patient = self_.random.chance(1, 2);
      pool_->close(self_, patient ? Deadline::never() : Deadline(self_.random.up_to(300us)));
    });
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    // One of them makes things itself, which close() can neither abort nor wait for.
    const bool makes = me.index == 0 && me.random.chance(1, 4);
    for (;;) {
      Errc why{};
      if (makes) pool_->create_resource(me, me.random.up_to(2000us));
      auto held = pool_->acquire(me, makes ? Deadline::now() : Deadline::never(), {}, &why);
      if (held) {
        hold(me.random);
        // Discarded, so that there is something to make all the time.
        pool_->discard(std::move(*held));
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

const Registered registered({"close.during-slow-create", "close while things are in the making",
                             [](Run& run) {
                               DuringSlowCreate scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
