// A pool for primaries behind a PgBouncer. It greets each client with what the server said when it
// was first met: in_hot_standby and default_transaction_read_only may be those of another time, or
// of another server, until somebody has it RECONNECT.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"
#include "support/companion.hpp"
#include "support/pgbouncer.hpp"
#include "support/temporary_folder.hpp"

namespace tidegate::test {
namespace {

class PoolerRoles : public testing::Test {
 protected:
  PoolerRoles() {
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
    lead_to_primary();
  }

  // Where PgBouncer finds its server: a Unix socket that is one or the other's.
  void lead_to_primary() { lead_to(primary_->socket_folder(), primary_->port()); }
  void lead_to_standby() { lead_to(standby_.said(1), standby_.said(0)); }
  std::string conninfo(const Bouncer& bouncer, const std::string& attributes) const {
    return bouncer.conninfo() +
           " user=postgres dbname=postgres target_session_attrs=" + attributes +
           " pool_max_conns=2 pool_connect_backoff_min=10ms pool_connect_backoff_max=50ms";
  }
  std::vector<std::string> settings() const { return {"server=" + folder_.path() + ":5432"}; }

  enum class Outcome : std::uint8_t { stored, refused, no_connection, lost };
  static Outcome store(Pool& pool, Deadline by = Deadline(20s)) {
    try {
      pool.exec({.by = by}, "insert into ledger values (1)");
      return Outcome::stored;
    } catch (const QueryError& error) {  // also of a deadline: then it is being reset now
      return error.sqlstate() == "25006" ? Outcome::refused : Outcome::lost;
    } catch (const Error&) {
      return Outcome::no_connection;
    }
  }
  // PgBouncer's connections to it end, and the next ones go where it is led by then.
  void cut_off(const std::string& port) const {
    Pool pool{"pool_max_conns=1 host=127.0.0.1 user=postgres dbname=postgres port=" + port};
    EXPECT_TRUE(eventually([&pool] {
      return pool
          .exec(
              "select pg_terminate_backend(pid) from pg_stat_activity "
              "where backend_type = 'client backend' and pid <> pg_backend_pid()")
          .empty();
    }));
  }
  // Until nothing is left of what was connected, and checked, before: a store that has no
  // connection in time says nothing of another one that is being looked at.
  static bool loses_all(Pool& pool) {
    int in_a_row = 0;
    return eventually([&] {
      in_a_row = store(pool, 100ms) == Outcome::no_connection ? in_a_row + 1 : 0;
      const Stats now = pool.stats();
      return in_a_row == 5 && now.idle + now.checking == 0;
    });
  }

  TemporaryFolder folder_{};
  std::optional<OwnServer> primary_{std::in_place};
  Companion standby_{{(repository() / "tests/support/standby.py").string(),
                      std::getenv("TIDEGATE_PG_BINDIR"), primary_->port()}};

 private:
  void lead_to(const std::string& folder, const std::string& port) {
    const std::string link = folder_.path() + "/.s.PGSQL.5432";
    std::filesystem::remove(link);
    std::filesystem::create_symlink(folder + "/.s.PGSQL." + port, link);
  }
};

// Each INSERT ended in 25006, for ever: what had shown it to be a standby was replaced by another
// connection that led there, since libpq believed the greeting.
TEST_F(PoolerRoles, NoConnectionIsMadeToAStandbyThatIsGreetedForAsAPrimary) {
  for (const char* attributes : {"read-write", "primary"}) {
    lead_to_primary();
    const Bouncer bouncer(1, settings());
    Pool pool{conninfo(bouncer, attributes)};
    pool.exec_script("create table if not exists ledger (entry int)");
    EXPECT_EQ(store(pool), Outcome::stored);
    lead_to_standby();
    cut_off(primary_->port());
    ASSERT_TRUE(loses_all(pool)) << attributes;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(store(pool, 100ms), Outcome::no_connection) << attributes;
    }
    try {
      pool.acquire(100ms);
      ADD_FAILURE() << "a connection to a standby";
    } catch (const Error& error) {
      // A timeout where the next attempt is under way: that says it, too.
      const char* const why = attributes == std::string("primary") ? "server is in hot standby mode"
                                                                   : "session is read-only";
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
    lead_to_primary();
    cut_off(standby_.said(0));
    EXPECT_TRUE(eventually([&] { return store(pool) == Outcome::stored; })) << attributes;
  }
}

// Never, until somebody had PgBouncer RECONNECT: libpq believed the greeting.
TEST_F(PoolerRoles, APrimaryThatIsGreetedForAsAStandbyIsTaken) {
  lead_to_standby();
  const Bouncer bouncer(1, settings());
  Pool readers{conninfo(bouncer, "standby")};
  EXPECT_TRUE(readers.query_value<bool>("select pg_is_in_recovery()"));
  standby_.tell("promote");
  for (const char* attributes : {"read-write", "primary"}) {
    Pool pool{conninfo(bouncer, attributes)};
    pool.exec_script("create table if not exists ledger (entry int)");
    EXPECT_EQ(store(pool), Outcome::stored) << attributes;
    const std::uint64_t created = pool.stats().created;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(store(pool), Outcome::stored);
    EXPECT_EQ(pool.stats().created, created) << "nor is it left for what the greeting has said";
    EXPECT_EQ(pool.stats().role_changes, 0u);
  }
}

}  // namespace
}  // namespace tidegate::test
