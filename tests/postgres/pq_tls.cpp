#include <string>

#include <gtest/gtest.h>

#include "postgres/pq_support.hpp"
#include "support/companion.hpp"

namespace tidegate::pq_test {

// What is left of a TLS record when libpq's buffer is full shows in no poll(2). Known to hang other
// users of libpq's asynchronous calls.
TEST(PqTls, AnAnswerOfWhichTheTlsLibraryHoldsTheEndBackArrives) {
  for (const char* held_back : {"all", "end"}) {
    test::Companion server(
        {(test::repository() / "tests/support/tls_server.py").string(), held_back});
    Connection connection = std::move(connected({{"host", "127.0.0.1"},
                                                 {"port", server.said(0)},
                                                 {"user", "somebody"},
                                                 {"sslmode", "require"},
                                                 {"sslrootcert", "/no/such/file"}})
                                          .connection);
    EXPECT_EQ(connection.query_value<std::string>({.prepared = false}, "select a value").size(),
              15'000u);
  }
}

}  // namespace tidegate::pq_test
