// How a wait may end: grants that race with deadlines, those who never wait, deadlines of all
// kinds, and the wait for oneself. What the ledger says of each outcome (I8, I9) is the test.
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// Rounds of what each actor does, on a new pool each pass.
template <class Act>
void play_rounds(Run& run, std::uint32_t max_size, Act&& act) {
  std::optional<LedgerPool<>> pool;
  Actor self(run.threads(), Random::stream(run.seed(), run.threads()));
  Team team(run.threads(), run.seed(), [&](Actor& me) { act(*pool, me); });
  while (run.next_pass()) {
    pool.emplace(Shape::random(run.random, max_size), run.seed(), run.threads() + 1);
    const Deadline end(200ms);
    do team.round();
    while (!end.passed());
    pool->audit_at_rest(self);
    pool->audit_and_close(self);
    pool.reset();
  }
}

// A grant and the end of a deadline, as close together as can be.
void timeouts_race_grants(Run& run) {
  play_rounds(run, run.pool(), [](LedgerPool<>& pool, Actor& me) {
    for (int i = 0; i < 16; ++i) {
      auto held = pool.acquire(me, me.random.up_to(2000us));
      if (!held) continue;
      spin(me.random, 2000);
      pool.release(std::move(*held));
    }
  });
}

// Most never wait, a few are parked among them and must not starve.
void try_storm(Run& run) {
  play_rounds(run, run.pool(), [](LedgerPool<>& pool, Actor& me) {
    const bool waits = me.index % 4 == 0;
    for (int i = 0; i < (waits ? 8 : 64); ++i) {
      auto held = pool.acquire(me, waits ? Deadline::never() : Deadline::now());
      if (!held) continue;
      hold(me.random);
      pool.release(std::move(*held));
    }
  });
}

// In the past, now, soon, and never.
void deadlines(Run& run) {
  play_rounds(run, run.pool(), [](LedgerPool<>& pool, Actor& me) {
    for (int i = 0; i < 16; ++i) {
      const Deadline kinds[] = {Deadline::now(),
                                Deadline(std::chrono::steady_clock::now() - 1h),
                                Deadline(0ns),
                                Deadline(me.random.up_to(500us)),
                                Deadline(std::chrono::hours::max()),
                                Deadline::never()};
      auto held = pool.acquire(me, me.random.pick(kinds));
      if (!held) continue;
      hold(me.random);
      pool.release(std::move(*held));
    }
  });
}

// Who holds the only slot and wants it again is told; who only fears it waits for others.
void nested_on_one(Run& run) {
  play_rounds(run, 1, [](LedgerPool<>& pool, Actor& me) {
    for (int i = 0; i < 8; ++i) {
      auto held = pool.acquire(me);
      if (me.random.chance(1, 2)) {
        const bool waits = me.random.chance(1, 2);
        Errc why{};
        auto again = pool.acquire(me, waits ? Deadline::never() : Deadline::now(), {}, &why);
        require(!again, "I2", "one slot was leased twice to one thread");
        require(!waits || why == Errc::would_deadlock, "I9", "a wait for oneself ended as ",
                to_string(why));
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
