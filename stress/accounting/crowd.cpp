// A crowd waits for one slot: served in the order in which it came, in memory that does not grow.
// Seen failing: with a list that serves the newest waiter first (I8).
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <vector>

#include "scenario.hpp"
#include "support/crowd.hpp"
#include "support/ledger_pool.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kWaiters = kSanitized ? 500 : 25'000;  // each costs megabytes there
// What a thread that waits costs the heap: its own bookkeeping, and nothing of the pool's.
constexpr std::size_t kBytesPerWaiter = 2048;

std::size_t heap_in_use() { return ::mallinfo2().uordblks; }

void play(Run& run) {
  while (run.next_pass()) {
    Shape shape = Shape::random(run.random, 1);
    shape.barge_window = 0us;  // with one, order begins only where it ends
    shape.sampled = false;
    Actor self(kWaiters, run.random);
    LedgerPool<> pool(shape, run.seed(), 1);
    std::vector<std::uint32_t> served;  // guarded by the one lease
    served.reserve(kWaiters);
    auto held = pool.acquire(self);
    const std::size_t before = heap_in_use();
    {
      std::atomic<std::uint32_t> gone{0};
      Crowd crowd(run.seed(), [&](Actor& me) {
        auto mine = pool.acquire(me);
        served.push_back(me.index);
        pool.release(std::move(*mine));
        ++gone;
      });
      while (crowd.size() < kWaiters) {
        crowd.add();
        Crowd::get_on(self, "queueing up", crowd.size(),
                      [&] { return pool.pool().places().waiting; });
      }
      const std::size_t growth = heap_in_use() - before;
      require(kSanitized || growth < kWaiters * kBytesPerWaiter, "I11", kWaiters, " waiters take ",
              growth, " bytes of the heap");
      pool.release(std::move(*held), &self);
      Crowd::get_on(self, "being served", kWaiters, [&] { return gone.load(); });
    }
    require(served.size() == kWaiters && std::is_sorted(served.begin(), served.end()), "I8", "of ",
            kWaiters, " waiters ", served.size(), " were served, not all in turn");
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
    if (run.passes() == 1) std::printf("%u waiters on one slot, served in turn\n", kWaiters);
  }
}

const Registered registered({.name = "accounting.crowd",
                             .story = "25,000 waiters (500 sanitized) on one slot, in flat memory",
                             .play = play,
                             .crowd = kWaiters});

}  // namespace
}  // namespace tidegate::stress
