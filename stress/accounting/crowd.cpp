// A crowd waits for one slot: served in the order in which it came, in memory that does not grow.
// Seen failing: with a list that serves the newest waiter first (I8).
#include <malloc.h>

#include <algorithm>
#include <vector>

#include "scenario.hpp"
#include "support/crowd.hpp"
#include "support/ledger_pool.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kWhole = 25'000;
constexpr std::uint32_t kMostSanitized = 500;  // each costs megabytes there
// What a thread that waits costs the heap: its own bookkeeping, and nothing of the pool's.
constexpr std::size_t kBytesPerWaiter = 2048;

std::size_t heap_in_use() { return ::mallinfo2().uordblks; }

void play(Run& run) {
  std::uint32_t wanted = static_cast<std::uint32_t>(run.natural(1ms * kWhole).count());
  if (kSanitized) wanted = std::min(wanted, kMostSanitized);
  while (run.next_pass()) {
    Shape shape = Shape::random(run.random, 1);
    shape.barge_window = 0us;  // with one, order begins only where it ends
    shape.sampled = false;
    Actor self(wanted, run.random);
    LedgerPool<> pool(shape, run.seed(), 1);
    std::vector<std::uint32_t> served;  // guarded by the one lease
    served.reserve(wanted);
    auto held = pool.acquire(self);
    const std::size_t before = heap_in_use();
    {
      Crowd crowd(run.seed(), [&](Actor& me) {
        auto mine = pool.acquire(me);
        served.push_back(me.index);
        pool.release(std::move(*mine));
      });
      const Actor::InCall in_call(self, "queueing up");
      while (crowd.size() < wanted && crowd.add()) {
        while (pool.pool().counts().waiting < crowd.size()) std::this_thread::yield();
      }
      wanted = crowd.size();
      const std::size_t growth = heap_in_use() - before;
      require(kSanitized || growth < wanted * kBytesPerWaiter, "I11", wanted, " waiters take ",
              growth, " bytes of the heap");
      pool.release(std::move(*held), &self);
    }
    require(served.size() == wanted && std::is_sorted(served.begin(), served.end()), "I8", "of ",
            wanted, " waiters ", served.size(), " were served, not all in turn");
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

const Registered registered({"accounting.crowd",
                             "25,000 waiters (a tenth in short runs) on one slot, in flat memory",
                             play});

}  // namespace
}  // namespace tidegate::stress
