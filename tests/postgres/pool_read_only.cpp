// A server that takes no writes any more, though it is no standby: default_transaction_read_only
// turned on, as a managed server does whose disk is full, or one that has lost its role. A pool
// that wants to write is not to keep connections to it.
#include <memory>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include <unit/pq/scripted_server.hpp>

#include "pool_support.hpp"
#include "pq_support.hpp"
#include "support/companion.hpp"

namespace tidegate::test {
namespace {

using pq_test::empty_answer;
using pq_test::one_value;
using pq_test::parameter_status;
using pq_test::report;
using pq_test::ScriptedServer;
using pq_test::welcome;

constexpr const char* kWanted[] = {"read-write", "primary"};

// ---- what a server says ----------------------------------------------------------------------

std::string of_primary(const char* read_only = "off") {
  return welcome(parameter_status("server_version", "15.4") +
                 parameter_status("in_hot_standby", "off") +
                 parameter_status("default_transaction_read_only", read_only));
}
// The answer to the question of a connect.
std::string is_primary() { return one_value("off"); }
std::string turned(const char* read_only) {
  return parameter_status("default_transaction_read_only", read_only);
}
std::string refused_write() {
  return report('E', "ERROR", "25006", "cannot execute INSERT in a read-only transaction") +
         pq_test::message('Z', "I");
}
PoolConfig one_of(const ScriptedServer& server, const std::string& wanted) {
  return {.conninfo =
              "host=127.0.0.1 user=a dbname=b sslmode=disable gssencmode=disable "
              "target_session_attrs=" +
              wanted + " port=" + server.port(),
          .max_size = 1,
          .health_period = 1h,
          .ping_after = 1h};
}
bool replaced(Pool& pool) {
  return eventually(
      [&] { return pool.stats().role_changes == 1 && pool.stats().destroyed.generation == 1; });
}
bool kept(Pool& pool) {
  return eventually([&] { return pool.stats().idle == 1 && pool.stats().checking == 0; }) &&
         pool.stats().role_changes == 0;
}

// Seen failing: a pool that looks for in_hot_standby only.
TEST(ReadOnly, AServerThatSaysItHasTurnedIsAskedAndThePoolReset) {
  for (const char* wanted : kWanted) {
    ScriptedServer server({of_primary(), is_primary(), turned("on") + empty_answer(),
                           empty_answer(), one_value("t")});
    Pool pool(one_of(server, wanted));
    pool.acquire()->exec_script("");
    EXPECT_TRUE(replaced(pool)) << wanted;
  }
}

// It says so while the connection is idle.
TEST(ReadOnly, ItIsSeenBeforeAConnectionIsHandedOut) {
  ScriptedServer server({of_primary(), is_primary(), empty_answer(), one_value("t")});
  Pool pool(one_of(server, "read-write"));
  {
    const Lease lease = pool.acquire();
  }
  server.send(turned("on"));
  EXPECT_TRUE(eventually([&] {
    await_idle_long_enough();  // so that its socket is looked at
    std::ignore = pool.try_acquire();
    return pool.stats().role_changes == 1;
  }));
}

// A backend reads its configuration before the next command, and says so with the answer.
TEST(ReadOnly, ItIsSeenInTheAnswerToAPing) {
  ScriptedServer server(
      {of_primary(), is_primary(), turned("on") + empty_answer(), empty_answer(), one_value("t")});
  PoolConfig pinging = one_of(server, "read-write");
  pinging.ping_after = 1ms;
  Pool pool(pinging);
  {
    const Lease lease = pool.acquire();
  }
  await_idle_long_enough();
  EXPECT_FALSE(pool.try_acquire(1s).has_value());
  EXPECT_TRUE(replaced(pool));
}

// What is reported says nothing: the refused write is all there is. Seen failing: a pool that
// believes that a server which is no standby takes writes.
TEST(ReadOnly, AServerThatRefusesAWriteIsAsked) {
  for (const bool read_only : {true, false}) {
    ScriptedServer server({of_primary(), is_primary(), refused_write(), empty_answer(),
                           one_value(read_only ? "t" : "f")});
    Pool pool(one_of(server, "read-write"));
    EXPECT_THROW(pool.exec_script("insert into t values (1)"), QueryError);
    EXPECT_TRUE(read_only ? replaced(pool) : kept(pool)) << read_only;
  }
}

TEST(ReadOnly, ASessionThatWantedItIsAskedOnceAndKept) {
  ScriptedServer server({of_primary(), is_primary(), turned("on") + empty_answer(), empty_answer(),
                         one_value("f"), empty_answer()});
  Pool pool(one_of(server, "read-write"));
  pool.acquire()->exec_script("set default_transaction_read_only = on");
  ASSERT_TRUE(kept(pool));
  pool.acquire()->exec_script("");
  EXPECT_TRUE(kept(pool));
  EXPECT_EQ(pool.stats().resets.clean, 1u) << "asked once";
}

// libpq takes it for a primary, and so will the next connect: the pool would never come to rest.
TEST(ReadOnly, APrimaryThatWasReadOnlyFromTheBeginningIsKept) {
  ScriptedServer server({of_primary("on"), is_primary(), empty_answer(), refused_write(),
                         empty_answer(), one_value("f")});
  Pool pool(one_of(server, "primary"));
  pool.acquire()->exec_script("");
  EXPECT_TRUE(kept(pool));
  EXPECT_THROW(pool.exec_script("insert into t values (1)"), QueryError);
  EXPECT_TRUE(kept(pool));
}

TEST(ReadOnly, APoolThatTakesAnyServerIsLeftAlone) {
  ScriptedServer server({of_primary(), turned("on") + empty_answer()});
  Pool pool(one_of(server, "any"));
  pool.acquire()->exec_script("");
  EXPECT_EQ(pool.stats().idle, 1);
  EXPECT_EQ(pool.stats().role_changes, 0);
}

// ---- real servers ----------------------------------------------------------------------------

class ReadOnlyServer : public testing::Test {
 protected:
  static std::string on(const std::string& ports, const std::string& wanted) {
    const std::string hosts =
        ports.find(',') == std::string::npos ? "127.0.0.1" : "127.0.0.1,127.0.0.1";
    return "host=" + hosts + " port=" + ports + " user=postgres dbname=postgres " +
           "target_session_attrs=" + wanted + " pool_max_conns=4 pool_connect_backoff_max=100ms";
  }
  static void turn(const OwnServer& server, const std::string& read_only) {
    Pool admin{on(server.port(), "any")};
    Lease lease = admin.acquire();
    lease->exec_script("set default_transaction_read_only = off");
    lease->exec_script("alter system set default_transaction_read_only = " + read_only);
    lease->exec_script("select pg_reload_conf()");
    // The postmaster tells all sessions; a new one shows that it has read the file.
    EXPECT_TRUE(eventually([&] {
      return Pool{on(server.port(), "any")}.query_value<std::string>(
                 "show default_transaction_read_only") == read_only;
    }));
  }
  // How many of six writes were refused as read-only.
  static int refused_of_six(Pool& pool) {
    int refused = 0;
    for (int i = 0; i < 6; ++i) {
      try {
        pool.exec("insert into t values (1)");
      } catch (const QueryError& error) {
        EXPECT_EQ(error.sqlstate(), "25006");
        ++refused;
      }
    }
    return refused;
  }

  OwnServer first_{};
};

// The one that is refused is asked about, and the verdict is on all. Seen failing: six of six.
TEST_F(ReadOnlyServer, WritesGoToTheOtherServerAfterTheFirstThatIsRefused) {
  const OwnServer second;
  for (const OwnServer* server : {static_cast<const OwnServer*>(&first_), &second}) {
    Pool{on(server->port(), "any")}.exec_script("create table t (i int)");
  }
  Pool pool{on(first_.port() + "," + second.port(), "read-write")};
  lease_all(pool).clear();
  turn(first_, "on");
  EXPECT_THROW(pool.exec("insert into t values (1)"), QueryError);
  ASSERT_TRUE(eventually([&] { return pool.stats().role_changes == 1; }));
  EXPECT_EQ(refused_of_six(pool), 0);
  EXPECT_EQ(pool.query_value<std::string>("select current_setting('port')"), second.port());
  EXPECT_EQ(pool.stats().role_changes, 1u);
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.generation == 4; }));
}

// The only server: nothing is connected to it until it takes writes again.
TEST_F(ReadOnlyServer, AReadWritePoolWaitsForTheOnlyServer) {
  Pool{on(first_.port(), "any")}.exec_script("create table t (i int)");
  Pool pool{on(first_.port(), "read-write") + " pool_acquire_timeout=30s"};
  pool.exec("select 1");
  turn(first_, "on");
  EXPECT_THROW(pool.exec("insert into t values (1)"), QueryError);
  EXPECT_TRUE(replaced(pool));
  EXPECT_THROW(pool.acquire(50ms), ConnectError);
  turn(first_, "off");
  pool.exec("insert into t values (1)");
}

// A new connection may lead elsewhere, where a name means another server by now. Where it does not,
// that was all.
TEST_F(ReadOnlyServer, APoolForAPrimaryIsResetOnce) {
  Pool{on(first_.port(), "any")}.exec_script("create table t (i int)");
  Pool pool{on(first_.port(), "primary")};
  lease_all(pool).clear();
  turn(first_, "on");
  refused_of_six(pool);
  EXPECT_TRUE(eventually([&] { return pool.stats().destroyed.generation == 4; }));
  const std::uint64_t created = pool.stats().created;
  refused_of_six(pool);
  EXPECT_EQ(pool.stats().role_changes, 1u);
  EXPECT_LE(pool.stats().created, created + 1);
}

// Who asks for a read-only session, in whatever way, keeps it.
TEST_F(ReadOnlyServer, WhatASessionAskedForIsNoTurnOfTheServer) {
  Pool{on(first_.port(), "any")}.exec_script("create table t (i int)");
  for (const char* wanted : kWanted) {
    for (const char* setting : {"set default_transaction_read_only = on",
                                "set session characteristics as transaction read only",
                                "begin read only", "begin; set transaction_read_only = on",
                                "begin; set local default_transaction_read_only = on"}) {
      Pool pool{on(first_.port(), wanted)};
      const int pid = pid_of(pool);
      {
        Lease lease = pool.acquire();
        lease->exec_script(setting);
        try {
          lease->exec("insert into t values (1)");
        } catch (const QueryError& error) {
          EXPECT_EQ(error.sqlstate(), "25006");
        }
      }
      EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
      EXPECT_EQ(pid_of(pool), pid) << wanted << ": " << setting;
      EXPECT_EQ(pool.stats().role_changes, 0u);
    }
  }
}

// The hook's wish is the pool's.
TEST_F(ReadOnlyServer, WhatAfterConnectHasSetIsKept) {
  PoolConfig config = PoolConfig::parse(on(first_.port(), "read-write"));
  config.hooks.after_connect = [](Connection& c) {
    c.exec_script("set default_transaction_read_only = on");
  };
  Pool pool(config);
  const int pid = pid_of(pool);
  pool.exec("select 1");
  EXPECT_EQ(pid_of(pool), pid);
  EXPECT_EQ(pool.stats().resets.clean, 0u) << "nothing to ask";
}

}  // namespace
}  // namespace tidegate::test
