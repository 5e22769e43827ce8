#include <string>

#include <gtest/gtest.h>

#include "postgres/pq_support.hpp"
#include "support/companion.hpp"

namespace tidegate::pq_test {

// What is left of a TLS record when libpq's buffer is full shows in no poll(2). Known to hang other
// users of libpq's asynchronous calls. Seen failing without the look into the TLS library.
TEST(PqTls, AnAnswerOfWhichTheTlsLibraryHoldsTheEndBackArrives) {
  for (const char* held_back : {"all", "end"}) {
    test::Companion server(
        {(test::repository() / "tests/support/tls_server.py").string(), held_back});
    Connection connection = std::move(try_connect({{"host", "127.0.0.1"},
                                                   {"port", server.said(0)},
                                                   {"user", "somebody"},
                                                   {"sslmode", "require"},
                                                   {"sslrootcert", "/no/such/file"}})
                                          .connection);
    const Deadline by = kLong;
    const auto value =
        connection.query_value<std::string>({.by = by, .prepared = false}, "select a value");
    EXPECT_EQ(value.size(), 15'000u);
    ASSERT_FALSE(by.passed()) << "it arrived when the statement was canceled";
  }
}

}  // namespace tidegate::pq_test
