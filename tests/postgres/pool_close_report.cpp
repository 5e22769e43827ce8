// What a close says: to who called it, and to who comes too late.
#include <pthread.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "close_support.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;
using testing::Not;

CloseReport close_with_a_lease_out(const CloseOptions& options) {
  Pool pool(PoolConfig{.max_size = 1});
  const Lease lease = pool.acquire();
  return std::async(std::launch::async, [&] { return pool.close(options); }).get();
}

// Seen failing with a duration of drain, of cancel or of force that is left out.
TEST(CloseReportOfAPool, HasATimeForEachPhaseThatWasAndNoneForTheOthers) {
  CloseReport report = Pool(PoolConfig{.max_size = 1}).close();
  EXPECT_GT(report.fence, 0ns);
  EXPECT_EQ(report.cancel, 0ns);
  EXPECT_EQ(report.force, 0ns);

  report = close_with_a_lease_out({.drain = 20ms, .cancel = 0ms, .force = 20ms});
  EXPECT_GE(report.drain, 20ms);
  EXPECT_EQ(report.cancel, 0ns);
  EXPECT_GE(report.force, 20ms);
  EXPECT_GE(report.total, report.fence + report.drain + report.force);

  report = close_with_a_lease_out({.drain = 0ms, .cancel = 20ms, .force = 0ms});
  EXPECT_GE(report.cancel, 20ms);
  EXPECT_EQ(report.force, 0ns);
  EXPECT_GE(report.total, report.fence + report.drain + report.cancel);
}

// Seen failing with a later caller whose place, or thread, is lost.
TEST(CloseReportOfAPool, NamesWhoElseClosedItWithPlaceAndThread) {
  Pool pool(PoolConfig{.max_size = 1});
  Lease lease = pool.acquire();
  auto first = std::async(std::launch::async, [&] { return pool.close({.drain = kLong}); });
  ASSERT_TRUE(await_phase(pool, "drain"));
  const unsigned line = __LINE__ + 4;
  std::jthread second([&] {
    ::pthread_setname_np(::pthread_self(), "the second");
    const CloseOptions at_once{.drain = 0ms, .cancel = 0ms, .force = 0ms};
    const CloseReport report = pool.close(at_once);
    ASSERT_EQ(report.later_callers.size(), 1u);
    EXPECT_EQ(report.later_callers[0].where.line(), line);
    EXPECT_EQ(report.later_callers[0].thread_id, ::gettid());
    EXPECT_EQ(report.later_callers[0].thread_name, "the second");
    EXPECT_GT(report.later_callers[0].when, report.closer.when);
    const std::string place = "pool_close_report.cpp:" + std::to_string(line);
    EXPECT_THAT(to_string(report), HasSubstr(place));
  });
  second.join();
  EXPECT_EQ(first.get().later_callers.size(), 1u);
}

// Seen failing with one holder shown, with the youngest first, and with a number that counts those
// that are shown.
TEST(PoolClosedText, ShowsTheThreeOldestHoldersAndHowManyMoreThereAre) {
  Pool pool(PoolConfig{.max_size = 5});
  std::vector<Lease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(pool.acquire());
  // The pool's clock is coarse: two leases may have begun at the same time.
  ASSERT_TRUE(eventually([&] {
    Lease next = pool.acquire();
    if (next.info().since <= leases[2].info().since) return false;
    leases.push_back(std::move(next));
    return true;
  }));
  leases.push_back(pool.acquire());
  auto closing = std::async(std::launch::async, [&] { return pool.close({.drain = kLong}); });
  ASSERT_TRUE(await_phase(pool, "drain"));
  const std::string text = pool.try_acquire().error().what();
  EXPECT_THAT(text, HasSubstr("5 of 5 leases outstanding: "));
  for (int i = 0; i < 5; ++i) {
    const auto pid = HasSubstr("pid " + std::to_string(leases[i]->backend_pid()));
    if (i < 3) {
      EXPECT_THAT(text, pid);
    } else {
      EXPECT_THAT(text, Not(pid));
    }
  }
  EXPECT_THAT(text, HasSubstr("; and 2 more\n"));
  leases.clear();
  EXPECT_EQ(closing.get().outcome, CloseReport::Outcome::drained);
}

}  // namespace
}  // namespace tidegate::test
