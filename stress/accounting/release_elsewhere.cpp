// Leases come back on threads that live for nothing else: to the pool they are all strangers.
// Seen failing: with a record that is kept of every thread (I11).
#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/memory.hpp"
#include "support/sanitizers.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using Held = LedgerPool<>::Held;

constexpr std::uint32_t kThreadsPerRound = 250;  // of each actor
constexpr std::uint64_t kWarmUp = 4000;          // threads, until nothing grows any more
constexpr std::uint64_t kMeasured = 4000;        // and so many at least after that
constexpr std::uint64_t kGrowthKib = 2048;       // what malloc's own bookkeeping may take

// An actor may find that it holds every lease itself, as far as the pool knows. It waits for its
// short-lived threads.
void lend_out(LedgerPool<>& pool, Actor& me) {
  std::vector<std::thread> threads;
  const auto join_all = [&] {
    const Actor::InCall call(me, "join");
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  };
  for (std::uint32_t done = 0; done < kThreadsPerRound;) {
    auto held = pool.acquire(me);
    threads.emplace_back([&pool, held = std::make_unique<Held>(std::move(*held))] {
      pool.release(std::move(*held));
    });
    ++done;
    if (threads.size() > me.random.below(8)) join_all();
  }
  join_all();
}

void play(Run& run) {
  const std::uint32_t size = std::min(run.threads(), 4U);
  std::optional<LedgerPool<>> pool;
  Actor self(size, Random::stream(run.seed(), size));
  Team team(size, run.seed(), [&](Actor& me) { lend_out(*pool, me); });
  // One pool for all passes: what it keeps per thread would add up. A sanitizer's memory says
  // nothing of ours.
  run.next_pass();
  Shape shape = Shape::random(run.random, run.pool());
  shape.sampled = false;
  pool.emplace(shape, run.seed(), size + 1);
  std::uint64_t threads = 0;
  std::uint64_t before = 0;
  do {
    team.round();
    threads += size * kThreadsPerRound;
    if (before == 0 && threads >= kWarmUp) before = resident_kib();
  } while (run.next_pass() || (!kSanitized && threads < kWarmUp + kMeasured));
  const std::uint64_t after = resident_kib();
  pool->audit_at_rest(self);
  pool->audit_and_close(self);
  if (kSanitized) return;
  require(after < before + kGrowthKib, "I11", "memory grew from ", before, " to ", after,
          " KiB over ", threads - kWarmUp, " threads");
}

const Registered registered({"accounting.release-elsewhere",
                             "leases are released on short-lived threads, in flat memory", play});

}  // namespace
}  // namespace tidegate::stress
