// Servers that send what nobody asked for, or fall silent behind their last words: everything that
// reads results ends then, without a deadline, too. Each once read on for ever, most of them
// without a wait in between, so that no deadline, stop, cancel or close could end it.
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/transaction.hpp>

#include "pq/pool_access.hpp"
#include "pq/sql_text.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using namespace std::chrono_literals;
using testing::HasSubstr;

// The beginning of a COPY: 'G' from the client, 'H' to it, 'W' both ways.
std::string copy_begins(char type) { return message(type, std::string(1, '\0') + int16(0)); }
std::string complete(const char* tag) { return message('C', c_string(tag)); }
std::string at_rest() { return message('Z', "I"); }
std::string bound() { return message('1', "") + message('2', "") + message('n', ""); }

class UnaskedAnswer : public testing::Test {
 protected:
  void connect(std::uint32_t statement_cache = 0) {
    connection_ =
        std::move(server_.connect("disable", {.statement_cache = statement_cache}).connection);
  }
  // Answers the next message so, and says no more. Hangs up on who reads on for too long.
  std::jthread answer(const std::string& bytes) {
    return std::jthread([this, bytes](const std::stop_token& stop) {
      server_.receive_message();
      server_.send(bytes);
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any never;
      if (!never.wait_for(lock, stop, test::patience() / 4, [] { return false; }) &&
          !stop.stop_requested()) {
        ADD_FAILURE() << "the server had to end it";
        server_.hang_up();
      }
    });
  }
  template <class F>
  void is_lost(const std::string& what, const char* says, F&& verb) {
    const std::jthread server = answer(what);
    try {
      verb();
      ADD_FAILURE() << "no error";
    } catch (const ConnectionLost& error) {
      EXPECT_THAT(error.what(), HasSubstr(says));
    }
    EXPECT_FALSE(connection_.is_open());
  }
  void run_batch() {
    Batch batch;
    batch.add("select 1").add("select 2");
    static_cast<void>(connection_.run(batch, {.prepared = false}));
  }
  void copy_in() { connection_.copy_in({.table = "t"}, std::vector<std::tuple<int>>{{1}}); }

  ScriptedServer server_{{welcome()}};
  Connection connection_{};
};

constexpr const char* kCopy = "a COPY that nobody asked for";
constexpr const char* kAnswer = "an answer that nobody asked for";
constexpr const char* kLastWords = "57P01: terminating connection";
std::string last_words() { return report('E', "FATAL", "57P01", "terminating connection"); }

// ---- a COPY where there cannot be one --------------------------------------------------------

class UnaskedCopy : public UnaskedAnswer, public testing::WithParamInterface<char> {};

TEST_P(UnaskedCopy, InABatchEndsTheSession) {
  connect();
  is_lost(bound() + copy_begins(GetParam()), kCopy, [&] { run_batch(); });
}
TEST_P(UnaskedCopy, InsteadOfAPreparedStatementEndsTheSession) {
  connect(8);
  is_lost(copy_begins(GetParam()), kCopy, [&] { connection_.exec("select 1"); });
}
TEST_P(UnaskedCopy, InTheAnswerToAPingEndsTheSession) {
  connect();
  const std::jthread server = answer(copy_begins(GetParam()));
  EXPECT_FALSE(connection_.ping(Deadline::never()));
  EXPECT_FALSE(connection_.is_open());
}
TEST_P(UnaskedCopy, InTheOtherDirectionEndsTheSession) {
  connect();
  if (GetParam() == 'G') return;  // the right one
  is_lost(copy_begins(GetParam()), kCopy, [&] { copy_in(); });
}
INSTANTIATE_TEST_SUITE_P(InEachDirection, UnaskedCopy, testing::Values('G', 'H', 'W'));

// exec() brings a COPY to its end; one that goes both ways has none.
TEST_F(UnaskedAnswer, ACommitThatBeginsReplicationEndsTheSession) {
  connect();
  std::jthread server = answer(bound() + complete("BEGIN") + message('Z', "T"));
  Transaction transaction = connection_.begin();
  server.request_stop();
  server.join();
  is_lost(bound() + copy_begins('W'), "streaming replication", [&] { transaction.commit(); });
}
// What START_REPLICATION does.
TEST_F(UnaskedAnswer, AScriptThatBeginsReplicationEndsTheSession) {
  connect();
  is_lost(copy_begins('W'), "the session went over to streaming replication",
          [&] { connection_.exec_script("start_replication physical 0/0"); });
}
TEST_F(UnaskedAnswer, ACopyOutThatIsACopyInEndsTheSession) {
  connect();
  std::jthread server([&] {
    server_.receive_message();
    server_.send(message('1', "") + message('t', int16(0)) + message('n', "") + at_rest());
    server_.receive_message();
    server_.send(copy_begins('G'));
  });
  EXPECT_THROW(connection_.copy_out("select", [](const Row&) {}), ConnectionLost);
  EXPECT_FALSE(connection_.is_open());
}

// ---- one answer too many ---------------------------------------------------------------------

// Whether the first one has taken effect only the end of the command would tell.
TEST_F(UnaskedAnswer, ASecondResultOfOneStatementEndsTheSession) {
  connect();
  is_lost(bound() + complete("SET") + complete("SET"), kAnswer,
          [&] { connection_.exec("set a = 1"); });
}
TEST_F(UnaskedAnswer, ResultsWithoutEndEndTheSession) {
  connect();
  std::string results;
  for (int i = 0; i < 1000; ++i) results += complete("SET");
  std::jthread server([&](const std::stop_token& stop) {
    server_.receive_message();
    server_.send(bound());
    server_.stream(results, stop);
  });
  EXPECT_THROW(connection_.exec("set a = 1"), ConnectionLost);
  connection_.close();
}
TEST_F(UnaskedAnswer, ASecondErrorEndsTheSession) {
  connect();
  const std::string error = report('E', "ERROR", "42601", "no");
  const std::jthread server = answer(error + error);
  try {
    connection_.exec("set a = 1");
    ADD_FAILURE() << "no error";
  } catch (const QueryError& told) {
    EXPECT_EQ(told.code(), Errc::connection_lost);
    EXPECT_EQ(told.sqlstate(), "42601");
  }
  EXPECT_FALSE(connection_.is_open());
}
TEST_F(UnaskedAnswer, PingsThatAreAnsweredWithoutEndEndTheSession) {
  connect();
  const std::string nothing = message('I', "");
  const std::jthread server = answer(nothing + nothing + nothing);
  EXPECT_FALSE(connection_.ping(Deadline::never()));
  EXPECT_FALSE(connection_.is_open());
}
TEST_F(UnaskedAnswer, ASecondResultOfACopyThatHasNotBegunEndsTheSession) {
  connect();
  is_lost(complete("COPY 0") + complete("COPY 0"), kAnswer, [&] { copy_in(); });
}

// ---- a transaction that nobody has begun -------------------------------------------------------

// As Pgpool-II 4.3 does with one server: whatever comes by the extended protocol is run in a
// transaction of its own making, which it leaves open. The client's INSERT was answered for, and
// was undone without a word when its lease ended.
constexpr const char* kInside = "in a transaction that nobody has begun";
std::string inside() { return message('Z', "T"); }

TEST_F(UnaskedAnswer, ATransactionBehindAStatementEndsTheSession) {
  connect();
  is_lost(bound() + complete("INSERT 0 1") + inside(), kInside,
          [&] { connection_.exec("insert into t values (1)"); });
}
TEST_F(UnaskedAnswer, ATransactionBehindRowsOneByOneEndsTheSession) {
  connect();
  is_lost(bound() + complete("UPDATE 0") + inside(), kInside,
          [&] { connection_.each("update t set a = 1 returning a", [](const Row&) {}); });
}
TEST_F(UnaskedAnswer, ATransactionBehindABatchEndsTheSession) {
  connect();
  is_lost(bound() + complete("INSERT 0 1") + bound() + complete("INSERT 0 1") + inside(), kInside,
          [&] { run_batch(); });
}
TEST_F(UnaskedAnswer, ATransactionBehindAPreparationEndsTheSession) {
  connect(8);
  is_lost(message('1', "") + message('t', int16(0)) + message('n', "") + inside(), kInside,
          [&] { connection_.exec("insert into t values (1)"); });
}
TEST_F(UnaskedAnswer, ATransactionThatAStatementHasBegunIsItsOwn) {
  connect();
  for (const char* tag : {"BEGIN", "START TRANSACTION"}) {
    std::jthread server = answer(bound() + complete(tag) + inside());
    connection_.exec("start transaction");
    server.request_stop();
    server.join();
    server = answer(bound() + complete("INSERT 0 1") + inside());
    connection_.exec("insert into t values (1)");
    server.request_stop();
    server.join();
    server = answer(bound() + complete("COMMIT") + at_rest());
    connection_.exec("commit");
  }
  const std::jthread server =
      answer(bound() + complete("BEGIN") + bound() + complete("INSERT 0 1") + inside());
  run_batch();
  EXPECT_TRUE(connection_.is_open());
}

// ---- an end that comes too early -------------------------------------------------------------

TEST_F(UnaskedAnswer, APipelineThatIsOverBeforeItsAnswersEndsTheSession) {
  connect();
  is_lost(at_rest() + at_rest(), "the end of a pipeline that nobody asked for",
          [&] { run_batch(); });
}
TEST_F(UnaskedAnswer, APreparationThatIsOverBeforeItsAnswersEndsTheSession) {
  connect(8);
  const std::jthread server = answer(at_rest());
  EXPECT_THROW(connection_.exec("select 1"), ConnectionLost);
  EXPECT_FALSE(connection_.is_open());
}

// ---- last words, and then silence ------------------------------------------------------------

// The server has said that the session is over, and its socket stays open: a pooler, a process that
// cannot end. Nothing more is owed.
TEST_F(UnaskedAnswer, LastWordsEndAStatement) {
  connect();
  is_lost(last_words(), "57P01", [&] { connection_.exec("select 1"); });
}
TEST_F(UnaskedAnswer, LastWordsEndAStatementThatIsToBePrepared) {
  connect(8);
  is_lost(last_words(), "57P01", [&] { connection_.exec("select 1"); });
}
TEST_F(UnaskedAnswer, LastWordsEndAStatementThatSeemedToHaveSucceeded) {
  connect();
  is_lost(bound() + complete("SET") + last_words(), "57P01",
          [&] { connection_.exec("set a = 1"); });
}
TEST_F(UnaskedAnswer, LastWordsEndAScript) {
  connect();
  is_lost(complete("SET") + last_words(), "57P01",
          [&] { connection_.exec_script("set a = 1; set b = 1"); });
}
TEST_F(UnaskedAnswer, LastWordsEndEach) {
  connect();
  is_lost(one_column() + one_row("a") + last_words(), "57P01",
          [&] { connection_.each("select 'a'", [](const Row&) {}); });
}
TEST_F(UnaskedAnswer, LastWordsEndABatch) {
  connect();
  is_lost(bound() + complete("SET") + last_words(), "57P01", [&] { run_batch(); });
}
TEST_F(UnaskedAnswer, LastWordsEndACopyIn) {
  connect();
  is_lost(copy_begins('G') + last_words(), "57P01", [&] { copy_in(); });
}
TEST_F(UnaskedAnswer, LastWordsEndAPing) {
  connect();
  const std::jthread server = answer(last_words());
  EXPECT_FALSE(connection_.ping(Deadline::never()));
  EXPECT_EQ(pq::PoolAccess(connection_).broken_reason(), kLastWords);
}

// ---- a COPY that is one ----------------------------------------------------------------------

// The server ends such a comment at a carriage return, too.
TEST(CopyStatement, IsSeenBehindACommentThatEndsAtACarriageReturn) {
  EXPECT_TRUE(pq::is_copy_statement("-- note\rcopy t from stdin"));
  EXPECT_TRUE(pq::is_copy_statement("-- note\ncopy t from stdin"));
  EXPECT_TRUE(pq::is_copy_statement("-- a\r-- b\r\n /* c */ ; copy t from stdin"));
  EXPECT_FALSE(pq::is_copy_statement("-- note copy t from stdin"));
  EXPECT_FALSE(pq::is_copy_statement("-- note\rselect 1 -- \ncopy"));
}

}  // namespace tidegate::pq_test
