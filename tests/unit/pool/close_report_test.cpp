// CloseReport as a person reads it, and as a program does.
#include <tidegate/pool/close.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using Outcome = CloseReport::Outcome;

CloseReport stuck_report() {
  CloseReport report;
  report.outcome = Outcome::orphaned;
  report.closer.reason = "SIGTERM";
  report.closer.thread_name = "main";
  report.closer.thread_id = 7;
  report.later_callers.push_back({.reason = "\"again\""});
  report.announced = CloseRecord{.thread_id = 8, .reason = "\"deploy\""};
  report.closer.when = report.announced->when + 1500ms;
  report.fence = 80us;
  report.drain = 2s;
  report.cancel = 500ms;
  report.force = 250ms;
  report.total = 2750ms;
  report.leases_at_close = 3;
  report.leases_orphaned = 1;
  report.leases_of_closer = 1;
  report.idle_closed = 1;
  report.waiters_rejected = 12;
  report.connects_aborted = 2;
  report.cancels_sent = 1;
  report.still_attached = {"http-server (src/main.cpp:12)", "jobs (src/jobs.cpp:3)"};
  LeaseInfo busy{.thread_name = "worker-1", .held = 3s, .backend_pid = 4711};
  busy.transaction = TransactionStatus::idle;
  busy.busy = true;
  busy.statement = "select pg_sleep(3600)";
  report.remaining.push_back({.lease = busy, .canceled = true, .ended_in = "cancel"});
  LeaseInfo idle{.thread_name = "worker-2", .held = 4s, .backend_pid = 4712};
  idle.transaction = TransactionStatus::in_transaction;
  report.remaining.push_back({.lease = idle, .forced = true});
  report.stuck_threads.push_back(
      {.role = "opener", .in = "hook after_connect", .stuck = 3s, .thread_id = 99});
  return report;
}

TEST(CloseReportText, TellsEveryPhaseAndEveryLeaseThatDrainDidNotSee) {
  const std::string text = to_string(stuck_report());
  EXPECT_THAT(text, HasSubstr("reason \"SIGTERM\": orphaned in 2.75 s"));
  EXPECT_THAT(text,
              HasSubstr("\n  announced by unknown place, reason \"\"deploy\"\", 1.5 s before"));
  EXPECT_THAT(text, HasSubstr("also closed by"));
  EXPECT_THAT(text, HasSubstr("still attached: http-server (src/main.cpp:12), jobs"));
  EXPECT_THAT(text, HasSubstr("12 waiting acquires told, 2 connects aborted, 1 idle connection"));
  EXPECT_THAT(text, HasSubstr("3 leases out, 2 did not come back"));
  EXPECT_THAT(text,
              HasSubstr("\n  1 of them was acquired or last used by the closing thread itself"));
  EXPECT_THAT(text, HasSubstr("cancel 500 ms: 1 request sent, 0 failed, 0 not sent, 0 stuck"));
  EXPECT_THAT(text, HasSubstr("ended in cancel: "));
  EXPECT_THAT(text, HasSubstr("pid 4711"));
  EXPECT_THAT(text, HasSubstr("still out, although its socket is shut down: no call is on it"));
  EXPECT_THAT(text, HasSubstr("in transaction"));
  EXPECT_THAT(text, HasSubstr("left behind: opener thread 99, in hook after_connect for 3 s"));
}

// Seen failing: a statement counted as canceled as soon as somebody wanted it to be.
TEST(CloseReportText, SaysCanceledOfWhatTheServerHasCanceledOnly) {
  CloseReport report;
  CloseReport::Remaining one{.lease = {.busy = true}, .canceled = true};
  for (const char* request : {"answered", "sent, not answered", "not sent"}) {
    one.cancel_request = request;
    report.remaining.push_back(one);
    one.canceled = false;
  }
  const std::string text = to_string(report);
  EXPECT_EQ(text.find(", canceled"), text.rfind(", canceled"));
  EXPECT_THAT(text, HasSubstr(", its cancel request was sent, not answered"));
  EXPECT_THAT(text, HasSubstr(", its cancel request was not sent"));
  EXPECT_THAT(to_json(report), HasSubstr(R"j("canceled":false,"cancel_request":"not sent",)j"));
  one.cancel_request = "answered";
  report.remaining = {one};
  EXPECT_THAT(to_string(report), HasSubstr("was answered, but the statement not canceled"));
}

TEST(CloseReportText, IsShortWhenAllWentWell) {
  const std::string text = to_string(CloseReport{});
  EXPECT_THAT(text, HasSubstr(": drained in"));
  for (const char* word : {"cancel", "force", "still", "left behind", "also", "announced"}) {
    EXPECT_THAT(text, Not(HasSubstr(word)));
  }
}

TEST(CloseReportText, SaysWhenForceMayNotHaveReachedASocket) {
  CloseReport report;
  report.remaining.push_back({.lease = {.backend_pid = 1}, .forced = true});
  EXPECT_THAT(to_string(report), HasSubstr("before native_handle() was used"));
}

TEST(CloseReportJson, IsOneObjectWithSecondsAndEscapedTexts) {
  CloseReport report = stuck_report();
  report.remaining.clear();
  EXPECT_EQ(
      to_json(report),
      R"j({"outcome":"orphaned",)j"
      R"j("closer":{"where":"unknown place","thread":"main","thread_id":7,"reason":"SIGTERM"},)j"
      R"j("later_callers":[{"where":"unknown place","thread":"","thread_id":0,)j"
      R"j("reason":"\"again\""}],"announced":{"where":"unknown place","thread":"",)j"
      R"j("thread_id":8,"reason":"\"deploy\"","before":1.5},"fence":0.00008,"drain":2,"cancel":0.5,)j"
      R"j("force":0.25,"total":2.75,"leases_at_close":3,"leases_orphaned":1,)j"
      R"j("leases_of_closer":1,)j"
      R"j("idle_closed":1,"waiters_rejected":12,"connects_aborted":2,"cancels_sent":1,)j"
      R"j("cancels_failed":0,"cancels_unsent":0,"cancels_stuck":0,)j"
      R"j("still_attached":["http-server (src/main.cpp:12)","jobs (src/jobs.cpp:3)"],)j"
      R"j("remaining":[],"stuck_threads":[{"role":"opener","in":"hook after_connect",)j"
      R"j("stuck":3,"thread_id":99}]})j");
}

TEST(CloseReportJson, SaysOfACloseThatWasNotAnnouncedThatItWasNot) {
  EXPECT_THAT(to_json(CloseReport{}), HasSubstr(R"j("later_callers":[],"announced":null,)j"));
}

TEST(CloseReportJson, HasARowForEachLeaseThatRemained) {
  const std::string json = to_json(stuck_report());
  EXPECT_THAT(
      json,
      HasSubstr(
          R"j("backend_pid":4711,"transaction":"idle","busy":true,)j"
          R"j("statement":"select pg_sleep(3600)","under_way":0,"canceled":true,"cancel_request":"",)j"
          R"j("forced":false,"ended_in":"cancel"})j"));
  EXPECT_THAT(json, HasSubstr(R"j("forced":true,"ended_in":null})j"));
}

}  // namespace
}  // namespace tidegate
