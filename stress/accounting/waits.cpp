// How a wait may end: grants that race with deadlines, those who never wait, deadlines of all
// kinds, and the wait for oneself. What the ledger says of each outcome (I8, I9) is the test.
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// Rounds of what each actor does, on a new pool each pass. Before them one in which nobody can be
// served: only their deadlines end those waits. Seen failing: with waits that take no notice of
// their deadline (I8).
template <class Act>
class Rounds {
 public:
  Rounds(Run& run, std::uint32_t max_size, Act act)
      : run_(run),
        max_size_(max_size),
        act_(std::move(act)),
        self_(run.threads(), Random::stream(run.seed(), run.threads())),
        team_(run.threads(), run.seed(),
              [this](Actor& me) { in_vain_ ? wait_in_vain(me) : act_(*pool_, me, turns_); }) {}

  void pass() {
    pool_.emplace(Shape::random(run_.random, max_size_), run_.seed(), run_.threads() + 1);
    nobody_is_served();
    const Deadline end(200ms);
    do {
      turns_ = 0;
      team_.round();
    } while (!end.passed());
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void nobody_is_served() {
    std::vector<LedgerPool<>::Held> all;
    while (all.size() < max_size_) all.push_back(std::move(*pool_->acquire(self_)));
    in_vain_ = true;
    told_ = 0;
    team_.round([&] {
      require(
          comes_true(Watchdog::instance().limit() / 2, [&] { return told_ == run_.threads(); }),
          "I8", [&] { return run_.threads() - told_; }, " waiters with a deadline still wait");
    });
    in_vain_ = false;
    for (auto& held : all) pool_->release(std::move(held), &self_);
  }
  void wait_in_vain(Actor& me) {
    Errc why{};
    require(!pool_->acquire(me, me.random.up_to(2000us), {}, &why) && why == Errc::timeout, "I9",
            "a wait in vain did not end as timeout");
    ++told_;
  }

  Run& run_;
  const std::uint32_t max_size_;
  const Act act_;
  std::optional<LedgerPool<>> pool_;
  bool in_vain_ = false;                 // written between two rounds
  std::atomic<std::uint32_t> told_{0};   // of those who waited in vain
  std::atomic<std::uint32_t> turns_{0};  // for `act` to count what it likes, in a round
  Actor self_;
  Team team_;
};

// `act`: of the pool, the actor, and a count that is 0 when the round begins.
template <class Act>
void play_rounds(Run& run, std::uint32_t max_size, Act act) {
  Rounds<Act> rounds(run, max_size, std::move(act));
  while (run.next_pass()) rounds.pass();
}

// A grant and the end of a deadline, as close together as can be. Seen failing: with a granted
// waiter that looks at its deadline first, and loses the slot (I2).
void timeouts_race_grants(Run& run) {
  play_rounds(run, run.pool(), [](LedgerPool<>& pool, Actor& me, auto&) {
    for (int i = 0; i < 16; ++i) {
      auto held = pool.acquire(me, me.random.up_to(2000us));
      if (!held) continue;
      spin(me.random, 2000);
      pool.release(std::move(*held));
    }
  });
}

// Most never wait, a few are parked among them and must not starve: the tries go on until each of
// those has had its turns. Seen failing: with tries in vain that keep their admission (hang at
// close), and with releases that pass by the last of those who wait (hang).
void try_storm(Run& run) {
  const std::uint32_t patient = (run.threads() + 3) / 4;
  play_rounds(run, run.pool(), [patient](LedgerPool<>& pool, Actor& me, auto& served) {
    const bool waits = me.index % 4 == 0;
    for (int i = 0; waits ? i < 8 : i < 64 || served < patient; ++i) {
      auto held = pool.acquire(me, waits ? Deadline::never() : Deadline::now());
      if (!held) continue;
      hold(me.random);
      pool.release(std::move(*held));
    }
    if (waits) ++served;
  });
}

// In the past, now, soon, and never, of which one is so far away that it cannot be told from it.
// Seen failing, as timeouts_race_grants, and with sums that overflow (I8).
void deadlines(Run& run) {
  play_rounds(run, run.pool(), [](LedgerPool<>& pool, Actor& me, auto&) {
    for (int i = 0; i < 16; ++i) {
      const Deadline kinds[] = {Deadline::now(),
                                Deadline(std::chrono::steady_clock::now() - 1h),
                                Deadline(0ns),
                                Deadline(me.random.up_to(500us)),
                                Deadline(std::chrono::hours::max()),
                                Deadline::never()};
      const std::uint32_t kind = me.random.below(6);
      auto held = pool.acquire(me, kinds[kind]);
      require(held || kind < 4, "I8", "a wait without end has ended without a lease");
      if (!held) continue;
      hold(me.random);
      pool.release(std::move(*held));
    }
  });
}

// Who holds the only slot and wants it again waits for itself until its deadline, among those who
// wait for it. Seen failing: with a wait that is taken for one for oneself, and refused (I9).
void nested_on_one(Run& run) {
  play_rounds(run, 1, [](LedgerPool<>& pool, Actor& me, auto&) {
    for (int i = 0; i < 8; ++i) {
      auto held = pool.acquire(me);
      if (me.random.chance(1, 2)) {
        const bool waits = me.random.chance(1, 2);
        Errc why{};
        auto again =
            pool.acquire(me, waits ? Deadline(me.random.up_to(500us)) : Deadline::now(), {}, &why);
        require(!again, "I2", "one slot was leased twice to one thread");
        require(why == Errc::timeout, "I9", "a wait for oneself ended as ", to_string(why));
      }
      pool.release(std::move(*held));
    }
  });
}

const Registered registered[] = {
    Registered({"accounting.timeouts-race-grants", "deadlines of 0 to 2 ms race with grants",
                timeouts_race_grants}),
    Registered({"accounting.try-storm", "acquires that never wait, among some that are parked",
                try_storm}),
    Registered({"accounting.deadlines", "deadlines in the past, zero, soon, and never", deadlines}),
    Registered(
        {"accounting.nested-on-one", "a thread wants the one slot that it has", nested_on_one}),
};

}  // namespace
}  // namespace tidegate::stress
