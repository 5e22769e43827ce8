// Walkers take idle slots aside, as maintenance does, while waiters come and go: what they put back
// must reach whoever waits (I3). Seen failing: with slots that are put back past the waiters
// (hang).
#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

class Walkers {
 public:
  explicit Walkers(Run& run)
      : run_(run),
        self_(run.threads(), Random::stream(run.seed(), run.threads())),
        team_(run.threads(), run.seed(), [this](Actor& me) { walks(me) ? walk(me) : use(me); }) {}

  void pass() {
    // The fewer there are, the more often all are aside when somebody comes.
    const std::uint32_t size = 1 + run_.random.below(run_.pool());
    pool_.emplace(Shape::random(run_.random, size), run_.seed(), run_.threads() + 1);
    const Deadline end(200ms);
    do {
      aside_ = run_.random.chance(1, 2);
      replaces_ = run_.random.chance(1, 2);
      users_ = run_.threads() - (run_.threads() + 7) / 8;
      team_.round();
    } while (!end.passed());
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  static bool walks(const Actor& me) { return me.index % 8 == 0; }

  void use(Actor& me) {
    for (std::uint32_t i = me.random.below(16); i > 0; --i) {
      auto held = pool_->acquire(me);
      hold(me.random);
      pool_->release(std::move(*held));
    }
    --users_;
  }

  // Until nobody else is left, so that the last of them can only be served by what a walker puts
  // back. In some rounds as maintenance has them aside, in others as leases: they go back by other
  // ways.
  void walk(Actor& me) {
    while (users_ > 0) {
      if (replaces(me)) pool_->reset(me);
      if (aside_) {
        pool_->check_idle(me, [&] {
          spin(me.random, 500);
          return !replaces(me);
        });
      } else {
        walk_by_leases(me);
      }
      std::this_thread::yield();
    }
  }
  bool replaces(Actor& me) const { return replaces_ && me.random.chance(1, 8); }
  void walk_by_leases(Actor& me) {
    auto taken = pool_->acquire_all_idle(me);
    spin(me.random, 500);
    for (auto& held : taken) {
      if (replaces(me)) {
        pool_->discard(std::move(held));
      } else {
        pool_->release(std::move(held));
      }
    }
  }

  Run& run_;
  bool aside_ = false;     // these two are written between two rounds
  bool replaces_ = false;  // what is replaced goes to a waiter by a way of its own
  std::atomic<std::uint32_t> users_{0};
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  Team team_;
};

const Registered registered({"accounting.walkers",
                             "idle slots are taken aside and put back while waiters come",
                             [](Run& run) {
                               Walkers scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
