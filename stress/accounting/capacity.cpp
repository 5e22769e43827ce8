// One slot, whose resource is gone, or cannot be made, just when somebody comes to wait for it.
// Seen failing: with a making that fails, one that is given up, and a slot that is retired, each of
// which asks for no other making (hang).
#include <algorithm>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

class Capacity {
 public:
  explicit Capacity(Run& run)
      : run_(run),
        size_(std::min(run.threads(), 4U)),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  // Either one pool in which things keep coming and going, or one that is new, and never retires a
  // thing: then nothing but the makings themselves can wake somebody up.
  void pass() {
    Shape shape = Shape::random(run_.random, 1);
    shape.weather = {.slow = 30,
                     .slowest = 200us,
                     .unavailable = run_.random.below(60),
                     .throwing = 10,
                     .rejected = run_.random.below(10)};
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    is_new_ = run_.random.chance(7, 8);
    // In rounds: at the end of each nobody brings capacity back any more, so who was not told that
    // there is some waits for ever (I3).
    const Deadline end = is_new_ ? Deadline::now() : Deadline(100ms);
    do {
      team_.round([this] { disturb(); });
    } while (!end.passed());
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    spin(me.random, 500);
    if (is_new_ && me.random.chance(1, 2)) {
      if (auto held = pool_->acquire(me, Deadline::now())) pool_->release(std::move(*held));
      spin(me.random, 20'000);
    }
    Errc why{};
    auto held = pool_->acquire(me, Deadline::never(), {}, &why);
    while (!held) {
      require(why == Errc::rejected, "I9", "an acquire without end ended as ", to_string(why));
      std::this_thread::yield();
      held = pool_->acquire(me, Deadline::never(), {}, &why);
    }
    hold(me.random);
    switch (is_new_ ? 2 : me.random.below(4)) {
      case 0: return pool_->discard(std::move(*held));
      case 1: return pool_->hijack(std::move(*held));
      default: return pool_->release(std::move(*held));
    }
  }

  // Another one takes the slot for a making of its own, and gives up on it; or has things replaced.
  void disturb() {
    for (std::uint32_t i = self_.random.below(4); i > 0; --i) {
      spin(self_.random, 2000);
      switch (self_.random.below(4)) {
        case 0:
          if (!is_new_) pool_->reset(self_);
          break;
        case 1: pool_->create_resource(self_, Deadline::now()); break;
        default: pool_->create_resource(self_, self_.random.up_to(1000us));
      }
    }
  }

  Run& run_;
  const std::uint32_t size_;
  bool is_new_ = false;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  Team team_;
};

const Registered registered({"accounting.capacity",
                             "the one slot is retired, or its making fails, as a waiter comes",
                             [](Run& run) {
                               Capacity scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
