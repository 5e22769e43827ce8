// The pool goes while leases are out. They come back later, on other threads. Seen failing: with
// late leases whose resource nobody destroys (I5).
#include <algorithm>
#include <optional>
#include <vector>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;
using Held = LedgerPool<>::Held;

class LeasesOut {
 public:
  explicit LeasesOut(Run& run)
      : run_(run),
        size_(std::min(run.threads(), 6U)),
        stash_(size_),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    if (run_.random.chance(1, 4)) shape.weather = kStormy;
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    closing_ = run_.random.chance(1, 2);
    taking_ = true;
    team_.round([this] {
      if (!closing_) return;
      spin(self_.random, 3000);
      pool_->close(self_, self_.random.up_to(50us));
    });
    // From here nobody acquires, as C++ asks for before a destructor; the leases need no pool.
    taking_ = false;
    team_.round([this] {
      spin(self_.random, 3000);
      pool_->destroy(self_);
    });
    pool_->ledger().nothing_left();
    pool_.reset();
  }

 private:
  void play(Actor& me) { taking_ ? take(me) : bring_back(me); }

  void take(Actor& me) {
    spin(me.random, 1000);
    for (std::uint32_t i = me.random.below(4); i > 0; --i) {
      // For ever only if the close comes and ends it.
      const bool for_ever = closing_ && me.random.chance(1, 2);
      auto held = pool_->acquire(me, for_ever ? Deadline::never() : me.random.up_to(1000us));
      if (held) stash_[me.index].push_back(std::move(*held));
    }
  }

  void bring_back(Actor& me) {
    auto& held = stash_[(me.index + 1) % size_];
    for (Held& one : held) {
      spin(me.random, 2000);
      pool_->use(me, one);
      switch (me.random.below(8)) {
        case 0: pool_->discard(std::move(one)); break;
        case 1: pool_->hijack(std::move(one)); break;
        default: pool_->release(std::move(one));
      }
    }
    held.clear();
  }

  Run& run_;
  const std::uint32_t size_;
  std::vector<std::vector<Held>> stash_;  // each its actor's, then its neighbour's
  bool closing_ = false;
  bool taking_ = false;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  Team team_;
};

const Registered registered({"close.leases-out",
                             "the pool goes before its leases, on other threads", [](Run& run) {
                               LeasesOut scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
