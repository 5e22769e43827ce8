// What transactions do that needs no server, or one that says what it is told.
#include <tidegate/pq/transaction.hpp>

#include <chrono>

#include <gmock/gmock.h>

#include "pq/pool_access.hpp"
#include "pq/retry.hpp"
#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {
namespace {

using namespace std::chrono_literals;

TEST(Transaction, ABeginThatTheServerRefusesKeepsTheConnection) {
  ScriptedServer server({welcome()});
  Connection connection = std::move(server.connect().connection);
  server.send(report('E', "ERROR", "25006", "cannot set transaction read-write mode") +
              message('Z', "I"));
  EXPECT_THROW((void)connection.begin({.read_only = false}), QueryError);
  EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
  EXPECT_TRUE(pq::PoolAccess(connection).reusable());
}

QueryError failed_with(const char* sqlstate) {
  return QueryError({.severity = "ERROR", .sqlstate = sqlstate, .message = "as asked"});
}

TEST(Retry, OnlySerializationFailuresAndDeadlocksMayPass) {
  EXPECT_TRUE(pq::is_retryable(failed_with("40001")));
  EXPECT_TRUE(pq::is_retryable(failed_with("40P01")));
  for (const char* other : {"", "40000", "40002", "40003", "25P02", "57014", "23505"}) {
    EXPECT_FALSE(pq::is_retryable(failed_with(other))) << other;
  }
  // Whatever the server said last, a connection that is lost may have committed.
  EXPECT_FALSE(pq::is_retryable(ConnectionLost({.sqlstate = "40001", .message = "as asked"})));
}

TEST(Retry, TheDelayDoublesUpToABoundAndHalfOfItIsLuck) {
  EXPECT_EQ(pq::retry_delay(1, 0), 1ms);
  EXPECT_EQ(pq::retry_delay(1, 0.5), 1500us);
  EXPECT_EQ(pq::retry_delay(2, 0), 2ms);
  EXPECT_EQ(pq::retry_delay(3, 0.5), 6ms);
  EXPECT_EQ(pq::retry_delay(8, 0), 128ms);
  EXPECT_EQ(pq::retry_delay(9, 0), 128ms);
  EXPECT_EQ(pq::retry_delay(1'000'000, 0.5), 192ms);
}

TEST(Retry, ThereIsNoAttemptThatCouldNotBeginBeforeTheDeadline) {
  EXPECT_FALSE(pq::Retries(5, Deadline::now(), {}).another(failed_with("40001")));
  EXPECT_TRUE(pq::Retries(5, Deadline::never(), {}).another(failed_with("40001")));
}

TEST(Retry, TheLastAttemptIsTheLast) {
  pq::Retries retries(3, Deadline::never(), {});
  EXPECT_TRUE(retries.another(failed_with("40001")));
  EXPECT_TRUE(retries.another(failed_with("40P01")));
  EXPECT_FALSE(retries.another(failed_with("40001")));
  EXPECT_THROW(pq::Retries(0, Deadline::never(), {}), UsageError);
}

}  // namespace
}  // namespace tidegate::pq_test
