#include <tidegate/pool/errors.hpp>

#include <type_traits>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

static_assert(std::is_nothrow_copy_constructible_v<PoolClosed>);
static_assert(std::is_nothrow_copy_constructible_v<AcquireTimeout>);
static_assert(std::is_nothrow_copy_constructible_v<ConnectError>);
static_assert(std::is_nothrow_copy_constructible_v<HookError>);
static_assert(std::is_nothrow_copy_constructible_v<ConfigError>);

constexpr steady_clock::time_point kNow{1'000s};

Location here(Location where = Location::current()) { return where; }

// "pool/errors_test.cpp:12", and with the function before it.
std::string place(Location where) {
  return std::string(where.file()) + ":" + std::to_string(where.line());
}
std::string line_of_acquire(Location where) { return "\n  this acquire: " + place(where); }

AcquireReport busy_report() {
  return {.pool = "orders",
          .counts = {.max = 8, .leased = 8, .waiting = 41, .oldest_wait = 249ms},
          .allowed = 250ms,
          .allowed_by_config = true,
          .waited = 250'300us};
}

LeaseHolder holder(Location where) {
  return {.where = where,
          .thread = "worker-3",
          .thread_id = 4712,
          .held = 12'400ms,
          .backend_pid = 4711,
          .session = "in transaction"};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(AcquireTimeoutText, NamesTheCountsTheCauseTheLongestHolderAndWhatToDo) {
  const Location held_at = here();
  AcquireReport report = busy_report();
  report.longest = holder(held_at);
  const AcquireTimeout error(report, AcquireTimeout::Cause::exhausted);
  EXPECT_EQ(
      error.what(),
      "pool \"orders\": no connection within 250 ms (waited 250.3 ms)\n"
      "  used=8/8 idle=0 connecting=0 waiting=41 (oldest 249 ms)\n"
      "  cause: exhausted: all 8 are leased; longest 12.4 s by thread \"worker-3\" at " +
          place(held_at) +
          "\n"
          "  hint: a long transaction or a missing release there; else raise pool_max_conns (8)"
          " or pool_acquire_timeout (250ms)");
}

TEST(AcquireTimeoutText, EndsWithThePlaceOfTheAcquire) {
  const Location where = here();
  const AcquireTimeout error(busy_report(), AcquireTimeout::Cause::exhausted, where);
  EXPECT_TRUE(std::string(error.what()).ends_with(line_of_acquire(where))) << error.what();
  EXPECT_EQ(error.where().line(), where.line());
}

TEST(AcquireTimeoutText, WithoutAKnownHolderItSaysWhatToLookFor) {
  const std::string text = AcquireTimeout(busy_report(), AcquireTimeout::Cause::exhausted).what();
  EXPECT_NE(text.find("cause: exhausted: all 8 are leased\n"), text.npos) << text;
  EXPECT_NE(text.find("hint: a long transaction or a missing release somewhere; else"), text.npos);
}

// It may be a wait for itself; it may be that they were handed on.
TEST(AcquireTimeoutText, OfAThreadThatSeemsToHaveAllLeasesItselfSaysSo) {
  AcquireReport report = busy_report();
  report.own = {holder(here()), holder(here())};
  const std::string text = AcquireTimeout(report, AcquireTimeout::Cause::exhausted).what();
  EXPECT_NE(text.find("\n  cause: exhausted: all 8 are leased\n"
                      "  likely: all leases were acquired or last used by this very thread: " +
                      describe_holders(report.own) +
                      "\n  hint: pass the connection down instead of acquiring again; if another "
                      "thread has it by now, a long transaction or a missing release somewhere"),
            text.npos)
      << text;
  const std::string canceled = AcquireCanceled(report).what();
  EXPECT_NE(canceled.find("\n  likely: all leases were"), canceled.npos) << canceled;
}

TEST(AcquireTimeoutText, ADeadlineOfTheCallerIsNotBlamedOnTheConfiguration) {
  AcquireReport report = busy_report();
  report.allowed_by_config = false;
  const std::string text = AcquireTimeout(report, AcquireTimeout::Cause::exhausted).what();
  EXPECT_NE(text.find("else raise pool_max_conns (8) or the deadline of this acquire"), text.npos)
      << text;
  EXPECT_EQ(text.find("pool_acquire_timeout"), text.npos);
}

TEST(AcquireTimeoutText, ATryThatMayNotWaitSaysSo) {
  AcquireReport report = busy_report();
  report.allowed = 0ns;
  report.waited = 0ns;
  const AcquireTimeout error(report, AcquireTimeout::Cause::exhausted);
  EXPECT_EQ(first_line(error.what()), "pool \"orders\": no connection without waiting");
  EXPECT_NE(std::string(error.what()).find("or let this acquire wait"), std::string::npos);
  EXPECT_EQ(error.waited(), 0ns);
}

TEST(AcquireTimeoutText, SlowConnectsReadAsSlowConnects) {
  AcquireReport report = busy_report();
  report.counts = {.max = 8, .leased = 5, .connecting = 3, .waiting = 1, .oldest_wait = 1s};
  report.last_connect = "FATAL: sorry, too many clients already (53300), 2 s ago";
  EXPECT_STREQ(
      AcquireTimeout(report, AcquireTimeout::Cause::connecting_slow).what(),
      "pool \"orders\": no connection within 250 ms (waited 250.3 ms)\n"
      "  used=5/8 idle=0 connecting=3 waiting=1 (oldest 1 s)\n"
      "  cause: connecting_slow: 3 connects under way or waiting to try again, none done in time\n"
      "  last connect: FATAL: sorry, too many clients already (53300), 2 s ago\n"
      "  hint: the last connect says why; keep connections open with pool_min_conns, or raise"
      " pool_acquire_timeout (250ms)");
}

TEST(AcquireTimeoutText, ChecksReadAsChecks) {
  AcquireReport report = busy_report();
  report.counts = {.max = 8, .leased = 7, .checking = 1};
  EXPECT_STREQ(
      AcquireTimeout(report, AcquireTimeout::Cause::checking).what(),
      "pool \"orders\": no connection within 250 ms (waited 250.3 ms)\n"
      "  used=7/8 idle=0 connecting=0 checking=1 waiting=0\n"
      "  cause: checking: 1 connection being checked or cleaned, none done in time\n"
      "  hint: the server is slow to answer a ping or a ROLLBACK, or leases come back dirty; else"
      " raise pool_acquire_timeout (250ms)");
}

TEST(AcquireTimeout, KeepsTheNumbersForPrograms) {
  const AcquireTimeout error(busy_report(), AcquireTimeout::Cause::checking);
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_EQ(error.counts().waiting, 41u);
  EXPECT_EQ(error.cause(), AcquireTimeout::Cause::checking);
  EXPECT_EQ(error.waited(), 250'300us);
  EXPECT_EQ(to_string(AcquireTimeout::Cause::connecting_slow), "connecting_slow");
}

TEST(PoolClosedText, SaysWhoClosedItAndWhoStillHoldsIt) {
  const Location closer = here();
  const Location repo = here();
  const Location acquire = here();
  const auto holders = std::make_shared<const std::string>(describe_holders(
      {{.where = repo, .held = 3100ms, .backend_pid = 4711, .session = "in transaction"}}, 1));
  const PoolClosed error({.pool = "orders",
                          .closer = {.where = closer,
                                     .thread_id = 1,
                                     .thread_name = "main",
                                     .when = kNow - 1204ms,
                                     .reason = "SIGTERM",
                                     .phase = "drain"},
                          .at = kNow,
                          .outstanding = 2,
                          .max_size = 16,
                          .holders = holders},
                         acquire);
  EXPECT_EQ(error.what(), "pool \"orders\" is closed: closed by " + closer.to_string() +
                              " on thread \"main\" 1.204 s ago, reason \"SIGTERM\",\n"
                              "phase drain, 2 of 16 leases outstanding: " +
                              repo.to_string() +
                              " for 3.1 s, pid 4711, in transaction; and 1 more\n"
                              "this acquire: " +
                              place(acquire));
  EXPECT_EQ(error.code(), Errc::closed);
  EXPECT_EQ(error.closer().reason, "SIGTERM");
  EXPECT_EQ(error.closer().thread_name, "main");
}

TEST(PoolClosedText, LeavesOutWhatIsNotKnown) {
  const PoolClosed error({.pool = "orders",
                          .closer = {.thread_id = 77, .when = kNow - 5ms, .phase = "done"},
                          .at = kNow,
                          .max_size = 16});
  EXPECT_STREQ(error.what(),
               "pool \"orders\" is closed: closed on thread 77 5 ms ago,\n"
               "phase done, no lease outstanding");
}

TEST(DescribeHolders, JoinsThemAndCountsTheRest) {
  const Location where = here();
  const std::string one = where.to_string() + " for 12.4 s, pid 4711, in transaction";
  EXPECT_EQ(describe_holders({holder(where)}), one);
  EXPECT_EQ(describe_holders({holder(where), holder(where)}, 5), one + "; " + one + "; and 5 more");
  EXPECT_EQ(describe_holders({{.held = 1s}}), "unknown place for 1 s");
  EXPECT_EQ(describe_holders({}), "");
}

TEST(AcquireCanceledText, SaysThatTheCallerStoppedIt) {
  const Location where = here();
  const AcquireCanceled error(busy_report(), where);
  EXPECT_EQ(error.what(),
            "pool \"orders\": acquire canceled by its stop token after 250.3 ms\n"
            "  used=8/8 idle=0 connecting=0 waiting=41 (oldest 249 ms)" +
                line_of_acquire(where));
  EXPECT_EQ(error.code(), Errc::canceled);
  EXPECT_EQ(error.waited(), 250'300us);
  EXPECT_EQ(error.counts().leased, 8u);
}

TEST(OverloadedText, SaysHowManyWaitAndWhatTheLimitIs) {
  const Overloaded error(busy_report(), 40);
  EXPECT_STREQ(error.what(),
               "pool \"orders\": overloaded: 41 acquires wait already, pool_max_waiters is 40\n"
               "  used=8/8 idle=0 connecting=0 waiting=41 (oldest 249 ms)\n"
               "  cause: all 8 are leased");
  EXPECT_EQ(error.code(), Errc::overloaded);
  EXPECT_EQ(error.max_waiters(), 40u);
  EXPECT_EQ(error.counts().waiting, 41u);
}

ConnectReport refused_report() {
  return {.pool = "orders",
          .text = "connection refused\n",
          .attempts = 14,
          .since = kNow - 3200ms,
          .last = kNow - 100ms,
          .at = kNow,
          .next_in = 400ms,
          .addresses = {{"db1 (192.0.2.7:5432)", "connection refused"},
                        {"db2 (192.0.2.8:5432)", "timeout"}},
          .allowed = 250ms,
          .waited = 250'300us};
}

TEST(ConnectErrorText, AnUnreachableServerIsNamedWithAttemptsDeadlineAndEveryAddress) {
  const Location where = here();
  const ConnectError error(Errc::unavailable, refused_report(), where);
  EXPECT_EQ(error.what(),
            "pool \"orders\": server unreachable: connection refused, 14 attempts in 3.2 s, next "
            "in 400 ms; "
            "no connection within 250 ms (waited 250.3 ms)\n"
            "  db1 (192.0.2.7:5432): connection refused\n"
            "  db2 (192.0.2.8:5432): timeout" +
                line_of_acquire(where));
  EXPECT_EQ(error.code(), Errc::unavailable);
  EXPECT_EQ(error.attempts(), 14u);
  EXPECT_EQ(error.since(), kNow - 3200ms);
  EXPECT_EQ(error.addresses().size(), 2u);
  EXPECT_EQ(error.sqlstate(), "");
}

TEST(ConnectErrorText, ARejectionIsTheServersOwnTextWithItsCodeAndAge) {
  const ConnectError error(Errc::rejected,
                           {.pool = "orders",
                            .text = "FATAL:  password authentication failed for user \"app\"\n"
                                    "DETAIL:  no such role\n",
                            .sqlstate = "28P01",
                            .attempts = 1,
                            .since = kNow - 200ms,
                            .last = kNow - 200ms,
                            .at = kNow});
  EXPECT_STREQ(
      error.what(),
      "pool \"orders\": server rejects the connection: FATAL:  password authentication failed for "
      "user \"app\" (28P01), 1 attempt in 200 ms, last 200 ms ago\n"
      "    DETAIL:  no such role");
  EXPECT_EQ(error.code(), Errc::rejected);
  EXPECT_EQ(error.sqlstate(), "28P01");
  EXPECT_EQ(first_line(error.server_text()),
            "FATAL:  password authentication failed for user \"app\"");
}

TEST(ConnectErrorText, DoesNotRepeatACodeThatTheTextHas) {
  ConnectReport report = refused_report();
  report.text = "FATAL:  57P03: the database system is starting up";
  report.sqlstate = "57P03";
  const std::string text = ConnectError(Errc::unavailable, report).what();
  EXPECT_EQ(text.find("(57P03)"), text.npos) << text;
}

// Seen failing with "server unreachable" for both: who reads that looks at the network.
TEST(ConnectErrorText, DoesNotBlameTheServerForWhatFailedHere) {
  ConnectReport report = refused_report();
  report.addresses.clear();
  report.failed_in = ConnectReport::Where::hook;
  report.text = "hook after_connect failed: no tenant";
  EXPECT_EQ(first_line(ConnectError(Errc::unavailable, report).what()),
            "pool \"orders\": hook after_connect failed: no tenant, 14 attempts in 3.2 s, next in "
            "400 ms; no connection within 250 ms (waited 250.3 ms)");
  report.failed_in = ConnectReport::Where::process;
  report.text = "out of memory";
  EXPECT_EQ(first_line(ConnectError(Errc::unavailable, report).what()),
            "pool \"orders\": cannot connect: out of memory, 14 attempts in 3.2 s, next in 400 ms; "
            "no connection within 250 ms (waited 250.3 ms)");
}

TEST(ConnectErrorText, NeverEndsWithoutAReason) {
  const std::string text =
      ConnectError(Errc::unavailable, {.pool = "orders", .attempts = 1}).what();
  EXPECT_EQ(text,
            "pool \"orders\": server unreachable: no reason given, 1 attempt in 0 s; no "
            "connection (waited 0 s)");
}

TEST(HookErrorText, NestsWhatTheHookThrew) {
  const Location where = here();
  const HookError error("orders", "prepare",
                        std::make_exception_ptr(std::out_of_range("no tenant")), where);
  EXPECT_EQ(error.what(),
            "pool \"orders\": hook prepare failed: no tenant" + line_of_acquire(where));
  EXPECT_EQ(error.code(), Errc::hook);
  EXPECT_EQ(error.hook(), "prepare");
  EXPECT_THROW(std::rethrow_if_nested(error), std::out_of_range);
}

TEST(HookErrorText, OfATextNestsNothing) {
  const HookError error("orders", "prepare", "wrong search_path");
  EXPECT_STREQ(error.what(), "pool \"orders\": hook prepare failed: wrong search_path");
  EXPECT_EQ(error.nested_ptr(), nullptr);
}

TEST(HookErrorText, TakesWhatIsNoStdException) {
  const HookError error("orders", "after_connect", std::make_exception_ptr(42));
  EXPECT_STREQ(
      error.what(),
      "pool \"orders\": hook after_connect failed: an exception that is no std::exception");
  EXPECT_THROW(error.rethrow_nested(), int);
  const HookError none("orders", "after_connect", std::exception_ptr{});
  EXPECT_STREQ(none.what(), "pool \"orders\": hook after_connect failed");
}

TEST(HookError, SurvivesBeingAnErrorValue) {
  const auto value = ErrorValue::of(
      HookError("orders", "prepare", std::make_exception_ptr(std::out_of_range("no tenant"))));
  try {
    value.raise();
  } catch (const HookError& error) {
    EXPECT_THROW(error.rethrow_nested(), std::out_of_range);
  }
}

TEST(WouldDeadlockText, OfAnAcquireNamesTheCallsOfThisThread) {
  const Location where = here();
  const WouldDeadlock error("orders", WouldDeadlock::Situation::acquire,
                            {holder(where), holder(where)}, where);
  EXPECT_EQ(
      error.what(),
      "pool \"orders\": acquire would wait for ever: this thread is in 2 calls of the pool (with, "
      "transact, copy) that have all leases: " +
          describe_holders({holder(where), holder(where)}) +
          "\n  hint: use the connection that the call has given instead of acquiring again"
          "\n  this call: " +
          place(where));
  EXPECT_EQ(error.code(), Errc::would_deadlock);
  const WouldDeadlock one("orders", WouldDeadlock::Situation::acquire, {holder(where)});
  EXPECT_EQ(first_line(one.what()),
            "pool \"orders\": acquire would wait for ever: this thread is in a call of the pool "
            "(with, transact, copy) that has the only lease: " +
                describe_holders({holder(where)}));
}

TEST(WouldDeadlockText, OfANestedAcquireNamesTheLeaseAndTheWaysOut) {
  const Location where = here();
  const WouldDeadlock error("orders", WouldDeadlock::Situation::nested_acquire, {holder(where)},
                            where);
  EXPECT_EQ(
      error.what(),
      "pool \"orders\": acquire is refused: this thread was the last to acquire or use 1 lease "
      "that is out, and threads that hold one and wait for another may wait for each other: " +
          describe_holders({holder(where)}) +
          "\n  hint: pass the connection down instead of acquiring again; if it was handed on, "
          "adopt() it there; or set pool_nested_acquire to warn or off"
          "\n  this call: " +
          place(where));
}

TEST(WouldDeadlockText, OfACloseNamesTheCallAndTheWayOut) {
  const Location where = here();
  const WouldDeadlock error("orders", WouldDeadlock::Situation::close_with_lease, {holder(where)});
  EXPECT_EQ(error.what(),
            "pool \"orders\": close would wait for ever: this thread is in a call of the pool "
            "(with, transact, copy) that has a lease: " +
                describe_holders({holder(where)}) +
                "\n  hint: close after that call, or use request_close() here");
  const WouldDeadlock from_hook("orders", WouldDeadlock::Situation::close_on_pool_thread, {});
  EXPECT_STREQ(from_hook.what(),
               "pool \"orders\": close would wait for itself: it is called from a hook or a thread "
               "of this pool\n"
               "  hint: call request_close() here, and close() elsewhere");
}

TEST(ConfigErrorText, OneProblemFitsTheFirstLine) {
  const ConfigError error({{.field = "max_size",
                            .key = "pool_max_conns",
                            .value = "70000",
                            .text = "allowed: 1 to 65535"}});
  EXPECT_STREQ(
      error.what(),
      "bad pool configuration: max_size (pool_max_conns) = \"70000\": allowed: 1 to 65535");
  EXPECT_EQ(error.code(), Errc::config);
}

TEST(ConfigErrorText, SeveralAreNamedFirstAndToldBelow) {
  const Location where = here();
  const ConfigError error(
      {{.key = "pool_max_conn", .text = "unknown key; the nearest is pool_max_conns"},
       {.field = "conninfo", .text = "position 7: no '='"}},
      where);
  EXPECT_EQ(error.what(),
            "bad pool configuration: 2 problems: pool_max_conn, conninfo\n"
            "  pool_max_conn: unknown key; the nearest is pool_max_conns\n"
            "  conninfo: position 7: no '='\n"
            "  this configuration: " +
                place(where));
  EXPECT_EQ(error.problems().size(), 2u);
}

}  // namespace
}  // namespace tidegate
