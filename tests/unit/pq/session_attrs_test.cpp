// What target_session_attrs asks for, of servers that say what the test tells them to. A pooler's
// greeting may be that of another time.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <tidegate/tidegate.hpp>

#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {
namespace {

using testing::HasSubstr;

// A server's, or a pooler's, by the process number that it gives out.
std::string greeting(std::uint32_t pid, const char* standby, const char* read_only) {
  return message('R', int32(0)) + parameter_status("server_version", "15.4") +
         parameter_status("in_hot_standby", standby) +
         parameter_status("default_transaction_read_only", read_only) +
         message('K', int32(pid) + int32(1)) + message('Z', "I");
}
constexpr std::uint32_t kServer = 4711;
constexpr std::uint32_t kPooler = 0x7fabcdef;

// What the connect fails with; empty when it succeeds.
std::string outcome(const std::string& port, const std::string& attributes) {
  const pq::ConnectOptions options{.params = {{"host", "127.0.0.1"},
                                              {"port", port},
                                              {"user", "a"},
                                              {"dbname", "b"},
                                              {"sslmode", "disable"},
                                              {"gssencmode", "disable"},
                                              {"target_session_attrs", attributes}}};
  const pq::ConnectOutcome outcome = pq::connect(options, {}, std::chrono::seconds(30));
  return outcome ? std::string() : outcome.failure->cause.text;
}

struct Case {
  const char* attributes;
  const char* fits;      // what the server answers where it is as it is wanted
  const char* does_not;  // and where not
  const char* text;
};
constexpr Case kCases[] = {
    {"read-write", "off", "on", "session is read-only"},
    {"read-only", "on", "off", "session is not read-only"},
    {"primary", "f", "t", "server is in hot standby mode"},
    {"standby", "t", "f", "server is not in hot standby mode"},
};

// libpq believed it, so that each connection of a pool for writers led to a standby.
TEST(SessionAttrsOfAScript, APoolersGreetingIsNotBelievedInEitherDirection) {
  for (const Case& each : kCases) {
    for (const char* greeted : {"on", "off"}) {
      ScriptedServer fits({greeting(kPooler, greeted, greeted), one_value(each.fits)});
      EXPECT_EQ(outcome(fits.port(), each.attributes), "") << each.attributes << greeted;
      ScriptedServer not_so({greeting(kPooler, greeted, greeted), one_value(each.does_not)});
      EXPECT_EQ(outcome(not_so.port(), each.attributes), each.text) << each.attributes << greeted;
    }
  }
}

// Nor is one that looks like a server's: of the keys that PgBouncer makes up, one in a thousand
// does, and a pool for writers that connected often, after a failover, had a connection to a
// standby.
TEST(SessionAttrsOfAScript, NorIsAnyOther) {
  for (const Case& each : kCases) {
    const bool wants_standby = each.fits[0] == 't' || each.fits == std::string("on");
    const std::string praised = greeting(kServer, wants_standby ? "on" : "off", "off");
    ScriptedServer fits({praised, one_value(each.fits)});
    EXPECT_EQ(outcome(fits.port(), each.attributes), "") << each.attributes;
    ScriptedServer not_so({praised, one_value(each.does_not)});
    EXPECT_EQ(outcome(not_so.port(), each.attributes), each.text) << each.attributes;
  }
}

// A session that pgagroal keeps, which gives out the server's own number, is greeted for as what
// the server was when it began: after a failover a pool for the primary never came to it.
TEST(SessionAttrsOfAScript, NobodyIsRefusedForAGreetingAlone) {
  for (const Case& each : kCases) {
    const bool wants_standby = each.fits[0] == 't' || each.fits == std::string("on");
    const std::string refused = greeting(kServer, wants_standby ? "off" : "on", "off");
    ScriptedServer fits({refused, one_value(each.fits)});
    EXPECT_EQ(outcome(fits.port(), each.attributes), "") << each.attributes;
    ScriptedServer not_so({refused, one_value(each.does_not)});
    EXPECT_EQ(outcome(not_so.port(), each.attributes), each.text) << each.attributes;
  }
  ScriptedServer read_only({greeting(kServer, "off", "on"), one_value("on")});
  EXPECT_EQ(outcome(read_only.port(), "read-write"), "session is read-only");
}

TEST(SessionAttrsOfAScript, WhereNothingIsReportedTheServerIsAsked) {
  for (const Case& each : kCases) {
    ScriptedServer fits(
        {welcome(parameter_status("server_version", "13.4")), one_value(each.fits)});
    EXPECT_EQ(outcome(fits.port(), each.attributes), "") << each.attributes;
    ScriptedServer not_so(
        {welcome(parameter_status("server_version", "13.4")), one_value(each.does_not)});
    EXPECT_EQ(outcome(not_so.port(), each.attributes), each.text) << each.attributes;
  }
}

TEST(SessionAttrsOfAScript, OneThatDoesNotAnswerIsGivenUpAtTheDeadline) {
  ScriptedServer server({greeting(kPooler, "off", "off")});
  const pq::ConnectOptions options{.params = {{"host", "127.0.0.1"},
                                              {"port", server.port()},
                                              {"user", "a"},
                                              {"dbname", "b"},
                                              {"sslmode", "disable"},
                                              {"gssencmode", "disable"},
                                              {"target_session_attrs", "primary"}}};
  const pq::ConnectOutcome outcome = pq::connect(options, {}, std::chrono::milliseconds(200));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure->cause.kind, pq::ConnectFault::unreachable);
  EXPECT_THAT(outcome.failure->cause.text, HasSubstr("no answer"));
}

TEST(SessionAttrsOfAScript, OneThatRefusesToAnswerIsNotTaken) {
  ScriptedServer server({greeting(kPooler, "off", "off"),
                         report('E', "ERROR", "08P01", "no more connections") + message('Z', "I")});
  EXPECT_THAT(outcome(server.port(), "read-write"), HasSubstr("no more connections"));
}

// A server that has let us in and then says something without a code does not refuse the login:
// what it says may pass.
TEST(SessionAttrsOfAScript, AnErrorWithoutACodeBehindTheLoginIsNoRefusal) {
  ScriptedServer server({message('R', int32(0)) + parameter_status("server_version", "15.4") +
                         report('E', "FATAL", "", "not just now")});
  const pq::ConnectOutcome outcome = server.connect();
  ASSERT_TRUE(outcome.failure.has_value());
  EXPECT_THAT(outcome.failure->cause.text, HasSubstr("not just now"));
  EXPECT_EQ(outcome.failure->cause.kind, pq::ConnectFault::unreachable);
}

TEST(SessionAttrsOfAScript, AWrongWordIsLibpqsToRefuse) {
  EXPECT_THAT(outcome("1", "reed-write"), HasSubstr("reed-write"));
}

// in_hot_standby stays as it was greeted with, in each look at the session.
TEST(SessionAttrsOfAScript, AConnectionThatWasGreetedForAsAStandbyIsKept) {
  ScriptedServer server(
      {greeting(kPooler, "on", "off"), one_value("f"), empty_answer(), empty_answer()});
  PoolConfig config = PoolConfig::parse(
      "host=127.0.0.1 user=a dbname=b sslmode=disable gssencmode=disable "
      "target_session_attrs=primary pool_max_conns=1 port=" +
      server.port());
  config.health_period = std::chrono::hours(1);
  config.ping_after = std::chrono::hours(1);
  Pool pool(config);
  for (int i = 0; i < 2; ++i) pool.acquire()->exec_script("");
  EXPECT_EQ(pool.stats().role_changes, 0u);
  EXPECT_EQ(pool.stats().created, 1u);
}

}  // namespace
}  // namespace tidegate::pq_test
