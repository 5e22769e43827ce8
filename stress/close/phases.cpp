// close() by what is out: nothing, leases that come back, one that does not, and nobody but
// waiters.
#include <algorithm>
#include <atomic>
#include <optional>

#include "scenario.hpp"
#include "support/crowd.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// A bound that nothing here comes near to unless it hangs.
constexpr auto kPatience = 5s;
constexpr std::uint32_t kWaiters = kSanitized ? 100 : 1000;  // of waiters_only

Shape shape_of(Run& run) {
  Shape shape = Shape::random(run.random, run.pool());
  shape.sampled = false;
  return shape;
}

// Seen failing: with a sweep that looks into the docks only (I5).
void no_leases(Run& run) {
  Actor self(0, Random::stream(run.seed(), 0));
  while (run.next_pass()) {
    LedgerPool<> pool(shape_of(run), run.seed(), 1);
    for (std::uint32_t i = run.random.below(run.pool() + 1); i > 0; --i) {
      pool.create_resource(self, Deadline::never());
    }
    require(pool.close(self, Deadline(kPatience)), "I7", "nothing is out, and close gives up");
    pool.audit_and_close(self);
  }
}

// Everybody has a lease when the close comes, and gives it back when it likes. Seen failing: with a
// last lease that wakes nobody (hang).
void leases_return(Run& run) {
  const std::uint32_t size = std::min(run.threads(), run.pool());
  std::optional<LedgerPool<>> pool;
  std::atomic<std::uint32_t> holding{0};
  Actor self(size, Random::stream(run.seed(), size));
  Team team(size, run.seed(), [&](Actor& me) {
    auto held = pool->acquire(me);
    ++holding;
    pause(me.random.up_to(5000us));
    pool->release(std::move(*held));
  });
  while (run.next_pass()) {
    pool.emplace(shape_of(run), run.seed(), size + 1);
    holding = 0;
    team.round([&] {
      while (holding < size) std::this_thread::yield();
      require(pool->close(self, Deadline::never()), "I7", "all come back, and close gives up");
    });
    pool->audit_and_close(self);
    pool.reset();
  }
}

// Seen failing: with a drain that takes no notice of its deadline (hang).
void lease_never_returns(Run& run) {
  Actor self(0, Random::stream(run.seed(), 0));
  while (run.next_pass()) {
    LedgerPool<> pool(shape_of(run), run.seed(), 1);
    auto held = pool.acquire(self);
    const auto began = std::chrono::steady_clock::now();
    const bool drained = pool.close(self, Deadline(run.random.up_to(3000us)));
    require(!drained, "I7", "drained, and a lease is out");
    require(std::chrono::steady_clock::now() - began < kPatience, "I8", "close took for ever");
    pool.destroy(self);
    pool.use(self, *held);
    pool.release(std::move(*held), &self);
    pool.ledger().nothing_left();
  }
}

// Nothing is released: only the close itself can tell them. Seen failing: with a close that wakes
// nobody (hang).
void waiters_only(Run& run) {
  while (run.next_pass()) {
    Shape shape = shape_of(run);
    shape.max_size = 1;
    Actor self(kWaiters, Random::stream(run.seed(), kWaiters));
    LedgerPool<> pool(shape, run.seed(), 1);
    std::atomic<std::uint32_t> told{0};
    auto held = pool.acquire(self);
    {
      Crowd crowd(run.seed(), [&](Actor& me) {
        Errc why{};
        auto mine = pool.acquire(me, Deadline::never(), {}, &why);
        require(!mine && why == Errc::closed, "I9", "a waiter ended as ", to_string(why));
        ++told;
      });
      while (crowd.size() < kWaiters) crowd.add();
      Crowd::get_on(self, "queueing up", kWaiters, [&] { return pool.pool().places().waiting; });
      pool.close(self, Deadline(1ms));
      Crowd::get_on(self, "waiting for all to be told", kWaiters, [&] { return told.load(); });
    }
    pool.release(std::move(*held), &self);
    pool.audit_and_close(self);
  }
}

const Registered registered[] = {
    Registered({"close.no-leases", "close with nothing out", no_leases}),
    Registered({"close.leases-return", "leases come back over time", leases_return}),
    Registered({"close.lease-never-returns", "close gives up in time on one that stays out",
                lease_never_returns}),
    Registered({.name = "close.waiters-only",
                .story = "1,000 waiters (100 sanitized) and no release at all",
                .play = waiters_only,
                .crowd = kWaiters}),
};

}  // namespace
}  // namespace tidegate::stress
