// A COPY that the library does not see coming, of a real server. Each once ended in a loop that no
// deadline, stop, cancel or close could end.
#include <string>

#include <gmock/gmock.h>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/batch.hpp>

#include "postgres/pq_support.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;

// The server ends the comment at the carriage return.
TEST(PqUnaskedCopy, BehindACarriageReturnIsRefusedInABatch) {
  Batch batch;
  EXPECT_THAT(
      thrown_by<UsageError>([&] { batch.add("-- note\rcopy (select 1) to stdout"); }).what(),
      HasSubstr("COPY cannot be part of a batch"));
  EXPECT_TRUE(batch.empty());
  Connection connection = connect_to_server();
  EXPECT_THROW(connection.exec("-- note\rcopy (select 1) to stdout"), UsageError);
  EXPECT_EQ(connection.query_value<int>("select 42"), 42);
}

// Whatever else the server takes for blanks: what is not refused must not be endless.
TEST(PqUnaskedCopy, BehindAnyCharacterIsRefusedOrAnError) {
  Connection connection = connect_to_server();
  for (int c = 1; c < 128; ++c) {
    for (const std::string& before : {std::string(), std::string("-- note"), std::string("/**/")}) {
      const std::string text = before + static_cast<char>(c) + "copy (select 1) to stdout";
      Batch batch;
      try {
        batch.add(Sql(text));
      } catch (const UsageError&) {
        continue;
      }
      const BatchResults results = connection.run(batch, {.by = kLong});
      ASSERT_TRUE(connection.is_open()) << "after " << c;
    }
  }
}

TEST(PqUnaskedCopy, StreamingReplicationEndsTheSession) {
  Connection connection = std::move(connected({{"replication", "database"}}).connection);
  EXPECT_THAT(thrown_by<ConnectionLost>([&] {
                connection.exec_script({.by = kLong}, "START_REPLICATION PHYSICAL 0/1000000");
              }).what(),
              HasSubstr("the session went over to streaming replication"));
  EXPECT_FALSE(connection.is_open());
}

}  // namespace tidegate::pq_test
