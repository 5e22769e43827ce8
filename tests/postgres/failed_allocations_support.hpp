// What the sweeps of failing allocations over a whole pool share: what a call may end with, and
// what must be left of the pool afterwards.
#pragma once

#include <atomic>
#include <new>
#include <system_error>

#include <support/call_counter.hpp>
#include <support/failed_allocations.hpp>
#include <support/rendezvous.hpp>

#include "pool_support.hpp"

namespace tidegate::test {

#if !defined(TIDEGATE_TEST_SANITIZED)

inline PoolConfig of_size(std::uint32_t max_size) {
  return {.max_size = max_size, .connect_backoff_min = 1ms, .connect_backoff_max = 2ms};
}

// f() ends with what it has to say, or with one of the errors that memory may be the cause of.
template <class F>
void may_fail(F&& f) {
  try {
    f();
  } catch (const std::bad_alloc&) {
  } catch (const std::system_error&) {  // no memory for a thread
  } catch (const Error&) {
  }
}

// Counts, and needs no memory for it.
struct Listener : tidegate::Observer {
  void acquire_started(Location) override { ++started; }
  void acquire_ended(const AcquireEnded& event) override {
    ++ended;
    if (!event.error) ++served;
    if (event.waited) ++waited_for;
  }
  void connect_started() override { ++connects; }
  void connect_ended(const ConnectEnded&) override { --connects; }
  void closed(const CloseReport& report) override {
    ++closes;
    outcome = report.outcome;
  }
  std::atomic<std::uint64_t> started{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> served{0};
  std::atomic<std::uint64_t> waited_for{0};
  std::atomic<int> connects{0};  // under way
  std::atomic<int> closes{0};
  std::atomic<CloseReport::Outcome> outcome{};
};

// Each acquire that began has ended once, and those with a lease are the ones that were counted.
inline void check_told(const Listener& told, const Stats& stats) {
  EXPECT_EQ(told.started, told.ended);
  EXPECT_EQ(told.served, stats.outcomes.immediate + stats.outcomes.waited);
}

// Every connection can be had and works, the books agree (I1, I7), and it closes.
inline void check_whole(Pool& pool) {
  {
    const auto leases = lease_all(pool);
    for (const Lease& lease : leases) EXPECT_EQ(lease->query_value<int>("select 7"), 7);
  }
  const Stats stats = pool.stats();
  EXPECT_EQ(stats.leased, 0u);
  EXPECT_EQ(stats.waiting, 0u);
  EXPECT_EQ(stats.outcomes.immediate + stats.outcomes.waited,
            stats.released + stats.discarded + stats.hijacked);
  EXPECT_EQ(pool.close().outcome, CloseReport::Outcome::drained);
}

#endif

}  // namespace tidegate::test
