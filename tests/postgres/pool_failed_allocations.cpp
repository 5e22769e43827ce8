// What becomes of a pool when memory runs out, in the library or in libpq: each allocation of its
// construction, a connect, a query and its close fails once, and once all from there on. Each call
// ends with its result, std::bad_alloc or an Error; nothing is leaked, no slot is lost, close()
// returns.
#include <cstddef>
#include <new>
#include <optional>
#include <system_error>

#include <support/call_counter.hpp>
#include <support/failed_allocations.hpp>
#include <support/rendezvous.hpp>

#include "pool_support.hpp"

namespace tidegate::test {
namespace {

#if !defined(TIDEGATE_TEST_SANITIZED)

using Then = FailedAllocation::Then;

PoolConfig of_size(std::uint32_t max_size) {
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

// Every connection can be had and works, the books agree (I1, I7), and it closes.
void check_whole(Pool& pool) {
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

// A configuration that needs no server. The conninfo is parsed by libpq several times. Found: the
// books of the canceller were noexcept, and hold a std::deque, which allocates when it is made.
TEST(FailedAllocations, OfTheConstructorAreThrown) {
  sweep([](FailedAllocation&) { may_fail([] { const Pool pool(of_size(2)); }); });
}

// Planted: Openers::want() that catches std::system_error alone.
TEST(FailedAllocations, OfAConnectAreMadeUpForWhileSomebodyWaits) {
  sweep([](FailedAllocation& failure) {
    failure.end();
    Pool pool(of_size(1));
    failure.begin();
    may_fail([&] { pool.acquire(Deadline(patience())); });
    failure.end();
    check_whole(pool);
  });
}

// A statement that is prepared needs a deadline here: libpq 15 loses the end of a pipeline when
// there is no memory for its marker (pqParseInput3(), 'Z'), and then waits for ever.
TEST(FailedAllocations, OfAQueryAreItsErrorOrItsDeadlineIs) {
  std::optional<Pool> pool(of_size(1));
  sweep([&pool](FailedAllocation& failure) {
    failure.end();
    {
      Lease lease = pool->acquire();
      lease->bound(Deadline(200ms), {});
      failure.begin();
      may_fail([&] { lease->exec("select $1::int4, $2::text", 42, "forty-two"); });
      may_fail([&] { lease->exec("select broken"); });
      may_fail([&] { lease->query_value<std::string>("select $1::text", std::string(2000, 'x')); });
      may_fail([&] {
        Transaction transaction = lease->begin();
        lease->exec("select 1");
        transaction.commit();
      });
      failure.end();
      lease->bound({}, {});
    }
    failure.end();
    EXPECT_EQ(pool->query_value<int>("select 7"), 7);
    const Stats stats = pool->stats();
    EXPECT_EQ(stats.leased, 0u);
  });
}

// Planted: Closing::run() that stays `running_` when it throws: the pool's destructor waits for
// ever.
TEST(FailedAllocations, OfACloseAreThrownAndTheNextOneEndsIt) {
  sweep([](FailedAllocation& failure) {
    failure.end();
    Pool pool(of_size(1));
    pool.query_value<int>("select 7");
    failure.begin();
    may_fail([&] { pool.close(); });
    failure.end();
    EXPECT_NE(pool.close().outcome, CloseReport::Outcome::orphaned);
    EXPECT_EQ(pool.stats().idle, 0u);
  });
}

// With a lease out: it keeps working, and its end ends its connection.
TEST(FailedAllocations, OfADestructorAreNobodysConcern) {
  sweep(
      [](FailedAllocation& failure) {
        failure.end();
        std::optional<Pool> pool(
            PoolConfig{.max_size = 1, .close_drain = 0ms, .close_cancel = 0ms, .close_force = 0ms});
        Lease lease = pool->acquire();
        failure.begin();
        pool.reset();
        failure.end();
        EXPECT_EQ(lease->query_value<int>("select 7"), 7);
      },
      Then::all_fail);
}

#endif

}  // namespace
}  // namespace tidegate::test
