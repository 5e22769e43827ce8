#include "pq/connect/targets.hpp"

#include <cstdlib>
#include <map>

#include <gmock/gmock.h>

namespace tidegate::pq {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> shown(const std::vector<Target>& targets) {
  std::vector<std::string> all;
  for (const Target& t : targets) all.push_back(t.host + "/" + t.address + "/" + t.port);
  return all;
}

// The environment is an input of a plan, so each test starts without one.
class Targets : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGCONNECT_TIMEOUT",
                             "PGTARGETSESSIONATTRS", "PGSERVICE", "PGSERVICEFILE"}) {
      if (const char* value = std::getenv(name)) saved_[name] = value;
      ::unsetenv(name);
    }
  }
  void TearDown() override {
    for (const auto& [name, value] : saved_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::map<std::string, std::string> saved_;
};

TEST_F(Targets, WithoutAHostItIsLibpqsDefault) {
  const ConnectPlan plan = plan_connect({});
  EXPECT_THAT(shown(plan.hosts), ElementsAre("//5432"));
  EXPECT_THAT(plan.passes, ElementsAre("any"));
  EXPECT_EQ(plan.connect_timeout, std::nullopt);
  EXPECT_FALSE(plan.shuffle);
}

TEST_F(Targets, HostsArePairedWithPortsAndOnePortServesAll) {
  EXPECT_THAT(shown(plan_connect({{"host", "a,b"}, {"port", "1,2"}}).hosts),
              ElementsAre("a//1", "b//2"));
  EXPECT_THAT(shown(plan_connect({{"host", "a,b"}, {"port", "7"}}).hosts),
              ElementsAre("a//7", "b//7"));
  EXPECT_THAT(shown(plan_connect({{"host", "a,b"}, {"port", ",7"}}).hosts),
              ElementsAre("a//5432", "b//7"));
}

TEST_F(Targets, AGivenAddressIsDialledAndTheNameKept) {
  EXPECT_THAT(shown(plan_connect({{"host", "a,b"}, {"hostaddr", "::1,"}}).hosts),
              ElementsAre("a/::1/5432", "b//5432"));
  EXPECT_THAT(shown(plan_connect({{"hostaddr", "127.0.0.1"}}).hosts),
              ElementsAre("/127.0.0.1/5432"));
}

TEST_F(Targets, UnequalNumbersAreLeftForLibpqToRefuse) {
  EXPECT_THAT(shown(plan_connect({{"host", "a,b,c"}, {"port", "1,2"}}).hosts), ElementsAre("//"));
  EXPECT_THAT(shown(plan_connect({{"host", "a,b"}, {"hostaddr", "::1"}}).hosts), ElementsAre("//"));
}

TEST_F(Targets, TheEnvironmentFillsInWhatIsNotGiven) {
  ::setenv("PGHOST", "from-env", 1);
  ::setenv("PGPORT", "99", 1);
  ::setenv("PGCONNECT_TIMEOUT", "3", 1);
  const ConnectPlan plan = plan_connect({{"port", "1"}});
  ::unsetenv("PGHOST");
  ::unsetenv("PGPORT");
  ::unsetenv("PGCONNECT_TIMEOUT");
  EXPECT_THAT(shown(plan.hosts), ElementsAre("from-env//1"));
  EXPECT_EQ(plan.connect_timeout, std::chrono::seconds(3));
}

TEST_F(Targets, PreferStandbyBecomesTwoPasses) {
  EXPECT_THAT(plan_connect({{"target_session_attrs", "prefer-standby"}}).passes,
              ElementsAre("standby", "any"));
  EXPECT_THAT(plan_connect({{"target_session_attrs", "read-write"}}).passes,
              ElementsAre("read-write"));
}

TEST_F(Targets, AConnectTimeoutThatIsNoPositiveNumberIsNone) {
  for (const char* text : {"0", "-1", "x", "2x"}) {
    EXPECT_EQ(plan_connect({{"connect_timeout", text}}).connect_timeout, std::nullopt) << text;
  }
  EXPECT_EQ(plan_connect({{"connect_timeout", "2"}}).connect_timeout, std::chrono::seconds(2));
}

TEST_F(Targets, AUnixSocketOrAGivenAddressNeedsNoLookUp) {
  for (const Target& target :
       {Target{.host = "/run/sockets", .port = "1"}, Target{.host = "@abstract", .port = "1"},
        Target{.port = "1"}, Target{.host = "name.invalid", .address = "::1", .port = "1"}}) {
    EXPECT_THAT(shown(look_up(target).found), ElementsAre(shown({target})[0]));
  }
}

TEST_F(Targets, AnAddressAsHostIsItsOwnAddress) {
  EXPECT_THAT(shown(look_up({.host = "127.0.0.1", .port = "1"}).found),
              ElementsAre("127.0.0.1/127.0.0.1/1"));
  EXPECT_THAT(shown(look_up({.host = "::1", .port = "1"}).found), ElementsAre("::1/::1/1"));
}

TEST_F(Targets, ANameThatCannotBeLookedUpSaysSo) {
  // RFC 6761: .invalid never resolves; an overlong label needs not even be asked for.
  std::string overlong(300, 'x');
  overlong += ".invalid";
  const Addresses none = look_up({.host = overlong, .port = "1"});
  EXPECT_THAT(none.found, IsEmpty());
  EXPECT_THAT(none.error, testing::StartsWith("cannot look up the host name: "));
}

TEST_F(Targets, TheParametersOfAnAttemptOverrideTheGivenOnes) {
  const ConnectParams params = params_for({{"host", "a,b"}, {"user", "u"}},
                                          {.host = "b", .address = "::1", .port = "7"}, "standby");
  std::map<std::string, std::string> last;
  for (const auto& [keyword, value] : params) last[keyword] = value;
  EXPECT_EQ(last["host"], "b");
  EXPECT_EQ(last["hostaddr"], "::1");
  EXPECT_EQ(last["port"], "7");
  EXPECT_EQ(last["user"], "u");
  EXPECT_EQ(last["target_session_attrs"], "standby");
}

}  // namespace tidegate::pq
