// A primary with a streaming standby: which of them a pool connects to, and when the roles change.
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"
#include "support/companion.hpp"

namespace tidegate::test {
namespace {

class Failover : public testing::Test {
 protected:
  Failover() {
    primary_.emplace();
    standby_.emplace(std::vector<std::string>{(repository() / "tests/support/standby.py").string(),
                                              std::getenv("TIDEGATE_PG_BINDIR"), primary_->port()});
  }

  std::string conninfo(const std::string& attributes) const {
    return "host=127.0.0.1,127.0.0.1 port=" + primary_port() + "," + standby_port() +
           " user=postgres dbname=postgres target_session_attrs=" + attributes +
           " pool_max_conns=4 pool_connect_backoff_max=100ms";
  }
  std::string port_of(Pool& pool) const {
    return pool.query_value<std::string>("select current_setting('port')");
  }
  const std::string& primary_port() const { return primary_->port(); }
  const std::string& standby_port() const { return standby_->said(0); }
  // A connection may be found lost by the statement that is under way; the next one is not.
  bool reaches(Pool& pool, const std::string& port) const {
    return eventually([&] {
      try {
        return port_of(pool) == port;
      } catch (const Error&) {
        return false;
      }
    });
  }

  std::optional<OwnServer> primary_;
  std::optional<Companion> standby_;
};

TEST_F(Failover, TargetSessionAttrsChooseTheServer) {
  for (const char* attributes : {"any", "read-write", "primary"}) {
    Pool pool{conninfo(attributes)};
    EXPECT_EQ(port_of(pool), primary_port()) << attributes;
  }
  for (const char* attributes : {"read-only", "standby", "prefer-standby"}) {
    Pool pool{conninfo(attributes)};
    EXPECT_EQ(port_of(pool), standby_port()) << attributes;
  }
}

TEST_F(Failover, PreferStandbyTakesThePrimaryWhereThereIsNoStandby) {
  standby_->tell("promote");
  Pool pool{conninfo("prefer-standby")};
  EXPECT_EQ(port_of(pool), primary_port());
}

TEST_F(Failover, APoolForThePrimaryFollowsItToThePromotedStandby) {
  Pool pool{conninfo("read-write")};
  pool.exec_script("create table ledger (entry int); insert into ledger values (1)");
  {
    const auto leases = lease_all(pool);
  }
  {
    Pool copy{conninfo("standby")};
    EXPECT_TRUE(eventually([&] {
      return copy.query_value<bool>("select to_regclass('ledger') is not null") &&
             copy.query_value<int>("select count(*)::int from ledger") == 1;
    }));
  }
  ::kill(primary_->pid(), SIGQUIT);
  standby_->tell("promote");
  EXPECT_TRUE(reaches(pool, standby_port()));
  pool.exec("insert into ledger values (2)");
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.broken >= 4; }))
      << "none of the old connections is left";
}

TEST_F(Failover, AWriteToAStandbyIsRefusedAndTheConnectionKept) {
  Pool pool{conninfo("standby")};
  Lease lease = pool.acquire();
  try {
    lease->exec("create table t (i int)");
    FAIL() << "a standby cannot be written to";
  } catch (const QueryError& error) {
    EXPECT_EQ(error.sqlstate(), "25006");
  }
  const int pid = lease->backend_pid();
  lease.release();
  EXPECT_EQ(pool.acquire()->backend_pid(), pid);
}

}  // namespace
}  // namespace tidegate::test
