// What the server said before it ended a session is what whoever asks next is told: whatever the
// way of asking, and whatever has ended it.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/transaction.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {
namespace {

using testing::HasSubstr;

struct Ending {
  const char* sqlstate;
  const char* words;
  bool in_transaction;
  std::function<void(Connection&)> end;
};

std::vector<Ending> endings() {
  return {{"57P01", "terminating connection due to administrator command", false,
           [](Connection& c) { terminate(c.backend_pid(), pq::PoolAccess(c).socket()); }},
          {"57P01", "terminating connection due to administrator command", true,
           [](Connection& c) { terminate(c.backend_pid(), pq::PoolAccess(c).socket()); }},
          {"57P05", "terminating connection due to idle-session timeout", false,
           [](Connection& c) {
             c.exec({.prepared = false}, "set idle_session_timeout = '1ms'");
             ASSERT_TRUE(wait_for_eof(pq::PoolAccess(c).socket()));
           }},
          {"25P03", "terminating connection due to idle-in-transaction timeout", true,
           [](Connection& c) {
             c.exec({.prepared = false}, "set idle_in_transaction_session_timeout = '1ms'");
             ASSERT_TRUE(wait_for_eof(pq::PoolAccess(c).socket()));
           }}};
}

using Way = std::pair<const char*, std::function<void(Connection&)>>;

// All but the last go by one round trip or more; the cached texts are prepared before it ends.
std::vector<Way> ways() {
  const auto ignore = [](const Row&) {};
  return {
      {"exec, first use", [](Connection& c) { c.exec("select 'first'"); }},
      {"exec, with a parameter", [](Connection& c) { c.exec("select $1::int", 1); }},
      {"exec, cached", [](Connection& c) { c.exec("select 'cached'"); }},
      {"exec, without a name", [](Connection& c) { c.exec({.prepared = false}, "select 1"); }},
      {"each, first use", [ignore](Connection& c) { c.each("select 'first'", ignore); }},
      {"each, cached", [ignore](Connection& c) { c.each("select 'cached'", ignore); }},
      {"prepare", [](Connection& c) { c.prepare("select 'first'"); }},
      {"script", [](Connection& c) { c.exec_script("select 1; select 2"); }},
      {"batch, first use", [](Connection& c) { c.run(Batch().add("select 'first'")).raise(); }},
      {"batch, that repeats a text",
       [](Connection& c) { c.run(Batch().add("select 'new'").add("select 'new'")).raise(); }},
      {"batch, cached", [](Connection& c) { c.run(Batch().add("select 'cached'")).raise(); }},
      {"copy in",
       [](Connection& c) { c.copy_in({.table = "t"}, std::vector<std::tuple<int>>{{1}, {2}}); }},
      {"copy out", [ignore](Connection& c) { c.copy_out("select 1", ignore); }},
      {"notifications", [](Connection& c) { (void)c.notifications(kLong); }},
      {"ping, then exec",
       [](Connection& c) {
         EXPECT_FALSE(c.ping(kLong));
         EXPECT_FALSE(c.is_open());
         c.exec("select 1");
       }},
      {"a look at the socket, then exec",
       [](Connection& c) {
         EXPECT_EQ(pq::PoolAccess(c).check_socket(), pq::SocketCheck::dead);
         c.exec("select 1");
       }},
      {"exec, again", [](Connection& c) {
         EXPECT_THROW(c.exec("select 'first'"), ConnectionLost);
         c.exec("select 'first'");
       }}};
}

class PqLastWords : public testing::TestWithParam<const char*> {
 protected:
  static Connection connection() {
    Params params;
    if (std::string(GetParam()) == "tcp") params = tcp();
    Connection connection = std::move(connected(std::move(params)).connection);
    connection.exec("create temp table t (id int)");
    connection.exec("select 'cached'");
    return connection;
  }
  static void expect_words(const ConnectionLost& lost, const Ending& ending) {
    EXPECT_EQ(lost.sqlstate(), ending.sqlstate);
    EXPECT_THAT(lost.message(), HasSubstr(ending.words));
  }
};

TEST_P(PqLastWords, AreTheErrorOfWhoeverAsksNext) {
  for (const Ending& ending : endings()) {
    for (const auto& [name, ask] : ways()) {
      SCOPED_TRACE(std::string(name) + ", " + ending.sqlstate +
                   (ending.in_transaction ? ", in a transaction" : ""));
      Connection c = connection();
      if (ending.in_transaction) c.exec_script("begin");
      ending.end(c);
      if (HasFatalFailure()) return;
      expect_words(thrown_by<ConnectionLost>([&] { ask(c); }), ending);
      EXPECT_FALSE(c.is_open());
      EXPECT_THAT(std::string(pq::PoolAccess(c).broken_reason()), HasSubstr(ending.words));
    }
  }
}

TEST_P(PqLastWords, AreTheErrorOfATransactionsVerbs) {
  for (const Ending& ending : endings()) {
    SCOPED_TRACE(ending.sqlstate);
    if (!ending.in_transaction) {
      Connection c = connection();
      ending.end(c);
      expect_words(thrown_by<ConnectionLost>([&] { (void)c.begin(); }), ending);
      continue;
    }
    using Verb = std::function<void(Transaction&)>;
    for (const Verb& verb :
         {Verb([](Transaction& t) { t.commit(); }), Verb([](Transaction& t) { t.rollback(); }),
          Verb([](Transaction& t) { (void)t.begin(); }),
          Verb([](Transaction& t) { t.exec("select 'first'"); })}) {
      Connection c = connection();
      Transaction transaction = c.begin();
      ending.end(c);
      expect_words(thrown_by<ConnectionLost>([&] { verb(transaction); }), ending);
    }
    for (const Verb& verb :
         {Verb([](Transaction& t) { t.commit(); }), Verb([](Transaction& t) { t.rollback(); })}) {
      Connection c = connection();
      Transaction transaction = c.begin();
      Transaction savepoint = transaction.begin();
      ending.end(c);
      expect_words(thrown_by<ConnectionLost>([&] { verb(savepoint); }), ending);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, PqLastWords, testing::Values("unix", "tcp"),
                         [](const auto& way) { return std::string(way.param); });

}  // namespace
}  // namespace tidegate::pq_test
