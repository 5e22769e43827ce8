// A COMMIT that a limit ends: whether it has taken effect is known only if the server has said so.
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/transaction.hpp>

#include "pq/pool_access.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kLost =
    "hint: the answer to COMMIT is lost: whether it has taken effect is not known";

class CommitOutcome : public testing::Test {
 protected:
  // BEGIN, answered; COMMIT, and then `act` on the server's side.
  template <class Act>
  std::jthread serve(Act act) {
    return std::jthread([this, act] {
      begin();
      server_.receive_message();
      act();
    });
  }
  void begin() {
    server_.receive_message();
    server_.send(message('1', "") + message('2', "") + message('n', "") +
                 message('C', c_string("BEGIN")) + message('Z', "T"));
  }

  ScriptedServer server_{{welcome()}};
  pq::ConnectOutcome outcome_ =
      server_.connect("disable", {.statement_cache = 0, .drain_bound = 50ms});
  Connection& connection_ = outcome_.connection;
};

// Who takes it for "not done" books twice: the row may be there. Seen failing: only a connection
// that was cut said so.
TEST_F(CommitOutcome, IsUnknownAfterADeadlineOnASilentNetwork) {
  const auto server = serve([] {});
  Transaction transaction = connection_.begin({.by = 1s});
  try {
    transaction.commit();
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_TRUE(error.outcome_unknown());
    EXPECT_THAT(error.what(), HasSubstr(kLost));
    EXPECT_EQ(error.code(), Errc::timeout);
  }
  EXPECT_FALSE(transaction.open());
}

TEST_F(CommitOutcome, IsUnknownAfterAStopOnASilentNetwork) {
  std::stop_source stop;
  const auto server = serve([&] { stop.request_stop(); });
  Transaction transaction = connection_.begin();
  pq::PoolAccess(connection_).bound({}, stop.get_token());
  try {
    transaction.commit();
    ADD_FAILURE() << "no error";
  } catch (const QueryCanceled& error) {
    EXPECT_TRUE(error.outcome_unknown());
    EXPECT_THAT(error.what(), HasSubstr(kLost));
  }
}

TEST_F(CommitOutcome, IsUnknownAfterACut) {
  const auto server = serve([&] { server_.hang_up(); });
  Transaction transaction = connection_.begin();
  try {
    transaction.commit();
    ADD_FAILURE() << "no error";
  } catch (const ConnectionLost& error) {
    EXPECT_TRUE(error.outcome_unknown());
    EXPECT_THAT(error.what(), HasSubstr(kLost));
  }
}

// The server says so: nothing was committed.
TEST_F(CommitOutcome, IsKnownWhenTheServerHasCanceledIt) {
  const auto server = serve([&] {
    server_.accept_cancel();
    server_.send(canceled());
  });
  Transaction transaction = connection_.begin({.by = 1s});
  pq::PoolAccess(connection_).bound({}, {});
  try {
    transaction.commit();
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_FALSE(error.outcome_unknown()) << error.what();
    EXPECT_EQ(error.sqlstate(), "57014");
    EXPECT_THAT(error.what(), Not(HasSubstr("not known")));
  }
  EXPECT_FALSE(transaction.open());
}

TEST_F(CommitOutcome, IsKnownWhereNothingWasSent) {
  const std::jthread server([&] { begin(); });
  Transaction transaction = connection_.begin({.by = 30s});
  pq::PoolAccess(connection_).bound(Deadline::now(), {});
  try {
    transaction.commit();
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_FALSE(error.outcome_unknown()) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("nothing was sent"));
  }
  EXPECT_TRUE(transaction.open()) << "it can still be rolled back";
  server_.hang_up();
}

// A second attempt might do it twice.
TEST_F(CommitOutcome, ThatIsUnknownIsNeverTriedAgain) {
  const auto server = serve([] {});
  int attempts = 0;
  EXPECT_THROW(connection_.transact_retry([&](Transaction&) { ++attempts; }, {.by = 1s}, 5),
               QueryTimeout);
  EXPECT_EQ(attempts, 1);
}

TEST_F(CommitOutcome, OfASingleStatementIsUnknownInTheSameWay) {
  std::jthread server([&] { server_.receive_message(); });
  try {
    connection_.exec({.by = 10ms}, "insert into t values (1)");
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_TRUE(error.outcome_unknown());
    EXPECT_THAT(error.what(), HasSubstr("whether the statement has taken effect is not known"));
  }
  try {
    connection_.exec("insert into t values (1)");
    ADD_FAILURE() << "no error";
  } catch (const ConnectionLost& error) {
    EXPECT_FALSE(error.outcome_unknown()) << "nothing was sent: " << error.what();
  }
}

struct Verb {
  const char* name;
  std::function<void(Connection&, const ExecOptions&)> run;
};
const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all{
      {"exec", [](Connection& c, const ExecOptions& o) { c.exec(o, "insert into t values (1)"); }},
      {"exec_script",
       [](Connection& c, const ExecOptions& o) { c.exec_script(o, "insert into t values (1)"); }},
      {"each",
       [](Connection& c, const ExecOptions& o) {
         c.each(o, "insert into t values (1) returning n", [](const Row&) {});
       }},
      {"run",
       [](Connection& c, const ExecOptions& o) {
         Batch batch;
         batch.add("insert into t values (1)");
         batch.add("insert into t values (2)");
         static_cast<void>(c.run(batch, o));
       }},
      {"copy_out",
       [](Connection& c, const ExecOptions& o) {
         c.copy_out("delete from t returning n", [](const Row&) {}, o);
       }},
  };
  return all;
}

// Whatever the verb, and whatever ended the wait for its answer.
TEST(Outcome, OfEveryVerbIsUnknownWhenItsAnswerIsLost) {
  for (const Verb& verb : verbs()) {
    for (const bool cut : {false, true}) {
      ScriptedServer server({welcome()});
      pq::ConnectOutcome outcome =
          server.connect("disable", {.statement_cache = 0, .drain_bound = 50ms});
      std::jthread peer([&] {
        server.receive_message();
        if (cut) server.hang_up();
      });
      try {
        verb.run(outcome.connection, {.by = cut ? Deadline(60s) : Deadline(10ms)});
        ADD_FAILURE() << "no error of " << verb.name;
      } catch (const QueryError& error) {
        EXPECT_EQ(error.code(), cut ? Errc::connection_lost : Errc::timeout) << verb.name;
        EXPECT_TRUE(error.outcome_unknown()) << verb.name << ": " << error.what();
      }
    }
  }
}

// The server has said how it ended.
TEST(Outcome, OfEveryVerbIsKnownWhenTheServerHasCanceledIt) {
  for (const Verb& verb : verbs()) {
    ScriptedServer server({welcome()});
    pq::ConnectOutcome outcome =
        server.connect("disable", {.statement_cache = 0, .drain_bound = 30s});
    std::jthread peer([&] {
      server.receive_message();
      server.accept_cancel();
      server.send(canceled());
    });
    try {
      verb.run(outcome.connection, {.by = 10ms});
      ADD_FAILURE() << "no error of " << verb.name;
    } catch (const QueryTimeout& error) {
      EXPECT_EQ(error.sqlstate(), "57014") << verb.name;
      EXPECT_FALSE(error.outcome_unknown()) << verb.name << ": " << error.what();
    }
  }
}

// The server was done before it could be canceled: what it has inserted is there.
TEST(Outcome, OfAStatementWhoseRowsWereCutOffIsNoFailure) {
  ScriptedServer server({welcome()});
  pq::ConnectOutcome outcome =
      server.connect("disable", {.statement_cache = 0, .drain_bound = 30s});
  std::jthread peer([&] {
    server.receive_message();
    server.send(one_column() + one_row("1") + one_row("2") + message('C', c_string("INSERT 0 2")) +
                message('Z', "I"));
  });
  const Deadline by(10ms);
  try {
    outcome.connection.each({.by = by}, "insert into t values (1), (2) returning n",
                            [&](const Row&) {
                              while (!by.passed()) std::this_thread::yield();
                            });
    ADD_FAILURE() << "no error";
  } catch (const QueryTimeout& error) {
    EXPECT_TRUE(error.outcome_unknown()) << error.what();
    EXPECT_EQ(error.sqlstate(), "");
  }
}

}  // namespace tidegate::pq_test
