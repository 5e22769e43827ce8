// Several threads close one pool, with different patience, while it is in use. Seen failing: with
// closers that sweep at the same time (I5).
#include <algorithm>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

class ManyClosers {
 public:
  explicit ManyClosers(Run& run)
      : run_(run),
        size_(std::max(std::min(run.threads(), 8U), 2U)),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    if (run_.random.chance(1, 2)) shape.weather = {.slow = 50, .slowest = 500us, .deaf = 30};
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    closers_ = 2 + run_.random.below(size_ - 1);
    for (std::uint32_t i = run_.random.below(run_.pool() + 1); i > 0; --i) {
      pool_->create_resource(self_, Deadline::never());
    }
    team_.round([this] {
      spin(self_.random, 3000);
      if (self_.random.chance(1, 4)) pool_->reset(self_);
    });
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    spin(me.random, 2000);
    if (me.index < closers_) {
      const bool patient = me.random.chance(1, 2);
      pool_->close(me, patient ? Deadline::never() : Deadline(me.random.up_to(200us)));
      return;
    }
    for (;;) {
      Errc why{};
      auto held = pool_->acquire(me, Deadline::never(), {}, &why);
      if (!held) {
        if (why == Errc::closed) return;
        continue;
      }
      hold(me.random);
      pool_->release(std::move(*held));
    }
  }

  Run& run_;
  const std::uint32_t size_;
  std::uint32_t closers_ = 0;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  Team team_;
};

const Registered registered({"close.many-closers", "several threads close one pool in use",
                             [](Run& run) {
                               ManyClosers scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
