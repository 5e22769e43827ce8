// What a pool's health is, as a table of evidence and verdicts.
#include <tidegate/pool/health.hpp>

#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace tidegate::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using State = Health::State;

struct Row {
  Health evidence;
  State state;
  std::string reason;
};

Health judged(Health health) {
  detail::judge(health);
  return health;
}

TEST(Health, IsWhatTheEvidenceSays) {
  const std::chrono::nanoseconds patience = 30s;
  const std::vector<Row> rows{
      {{.counts = {.max = 8}}, State::ok, "0 of 8 connections are used"},
      {{.counts = {.max = 8, .leased = 3, .idle = 5}}, State::ok, "3 of 8 connections are used"},
      // Nobody waits yet, but the next one will.
      {{.counts = {.max = 2, .leased = 2}}, State::busy, "all 2 connections are used"},
      {{.counts = {.max = 2, .leased = 1, .checking = 1}},
       State::busy,
       "1 of 2 connections is used"},
      {{.counts = {.max = 8, .leased = 8, .waiting = 41, .oldest_wait = 249ms}, .last_lease = 3ms},
       State::busy,
       "all 8 connections are used, 41 acquires wait, the oldest for 249 ms"},
      // A report that runs for an hour is no fault where the other leases come and go. Seen failing
      // with a verdict by the oldest lease.
      {{.counts = {.max = 8, .leased = 8, .waiting = 1, .oldest_wait = 2ms},
        .last_lease = 3ms,
        .oldest_lease = LeaseInfo{.held = 1h}},
       State::busy,
       "all 8 connections are used, 1 acquire waits for 2 ms"},
      // Opening the first connection is no fault.
      {{.counts = {.max = 8, .connecting = 1, .waiting = 1, .oldest_wait = 2ms}},
       State::busy,
       "0 of 8 connections are used, 1 acquire waits for 2 ms"},
      {{.counts = {.max = 1, .leased = 1, .waiting = 2, .oldest_wait = 29s}, .last_lease = 31s},
       State::stuck,
       "the only connection is used, 2 acquires wait, the oldest for 29 s, and no lease has begun "
       "or "
       "ended for 31 s"},
      // A long transaction that nobody waits for is no fault.
      {{.counts = {.max = 1, .leased = 1}, .last_lease = 1h},
       State::busy,
       "the only connection is used"},
      {{.counts = {.max = 8},
        .connects_failed = 14,
        .failing_for = 3200ms,
        .connect_error = "refused"},
       State::down,
       "connects fail for 3.2 s (14 in a row): refused"},
      {{.counts = {.max = 8, .waiting = 3},
        .connects_failed = 1,
        .connect_error = "no",
        .sqlstate = "28P01"},
       State::down,
       "connects fail for 0 s (1 in a row): no (28P01)"},
      // What is open still works, as far as one knows.
      {{.counts = {.max = 8, .leased = 1, .idle = 1},
        .connects_failed = 2,
        .connect_error = "refused"},
       State::ok,
       "1 of 8 connections is used; connects fail for 0 s (2 in a row): refused"},
      {{.counts = {.max = 8, .idle = 8}, .announced = true, .closed_by = "deploy"},
       State::closing,
       "the shutdown is announced by deploy"},
      {{.counts = {.max = 8, .leased = 2},
        .announced = true,
        .fenced = true,
        .closed_by = "main.cpp:7"},
       State::closing,
       "the close is under way by main.cpp:7; 2 leases out"},
      {{.counts = {.max = 8}, .connects_failed = 3, .fenced = true, .ended = true},
       State::closed,
       "closed"},
  };
  for (Row row : rows) {
    row.evidence.patience = patience;
    const Health health = judged(row.evidence);
    EXPECT_EQ(to_string(health), std::string(to_string(row.state)) + ": " + row.reason);
    EXPECT_EQ(health.state, row.state);
    EXPECT_EQ(health.serves(), row.state == State::ok || row.state == State::busy);
  }
}

TEST(Health, OfAStuckPoolNamesTheOldestLease) {
  const Health health =
      judged({.counts = {.max = 1, .leased = 1, .waiting = 1},
              .last_lease = 1min,
              .patience = 30s,
              .oldest_lease = LeaseInfo{.thread_name = "worker-3", .held = 1min}});
  EXPECT_THAT(health.reason, HasSubstr("the oldest: "));
  EXPECT_THAT(health.reason, HasSubstr("by thread \"worker-3\""));
}

TEST(Health, AsJsonHasTheEvidence) {
  const Health health =
      judged({.counts = {.max = 8, .leased = 8, .waiting = 1, .oldest_wait = 250ms},
              .last_lease = 1500ms,
              .patience = 30s});
  EXPECT_EQ(to_json(health),
            R"({"state":"busy","reason":"all 8 connections are used, 1 acquire waits for 250 ms",)"
            R"("serves":true,"max":8,"idle":0,"leased":8,"connecting":0,"checking":0,"waiting":1,)"
            R"("oldest_wait_seconds":0.25,"last_lease_seconds":1.5,"connects_failed":0,)"
            R"("failing_for_seconds":0,"connect_error":"","sqlstate":"","oldest_lease":null})");
}

}  // namespace
}  // namespace tidegate::test
