// Pools over TLS, with the server's certificate and name verified.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/pool_support.hpp"
#include "support/companion.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;

class PoolTls : public testing::Test {
 protected:
  std::string conninfo(const std::string& host, const std::string& authority) const {
    return host + " port=" + server_.port() + " user=postgres dbname=postgres sslmode=verify-full" +
           " sslrootcert=" + authority + " pool_max_conns=2 pool_acquire_timeout=30s";
  }

  OwnServer server_{{"--ssl"}};
};

TEST_F(PoolTls, VerifyFullAcceptsTheServerThatTheAuthorityVouchesFor) {
  for (const char* host :
       {"host=localhost", "host=localhost hostaddr=127.0.0.1", "host=127.0.0.1"}) {
    Pool pool{conninfo(host, server_.certificate_authority())};
    EXPECT_TRUE(pool.query_value<bool>("select ssl from pg_stat_ssl where pid = pg_backend_pid()"))
        << host;
    EXPECT_EQ(pool.query_value<std::string>("select repeat('x', 5000000)").size(), 5'000'000u);
  }
}

TEST_F(PoolTls, AConnectionThatIsTerminatedOverTlsIsReplaced) {
  Pool pool{conninfo("host=localhost", server_.certificate_authority())};
  const int pid = pool.acquire()->backend_pid();
  Pool{conninfo("host=localhost", server_.certificate_authority())}.exec(
      "select pg_terminate_backend($1, 10000)", pid);
  await_idle_long_enough();
  EXPECT_NE(pool.acquire()->backend_pid(), pid);
}

// A refusal, which waiting does not cure: told at once, in the words of the TLS library.
TEST_F(PoolTls, VerifyFullRefusesAServerByAnotherName) {
  Pool pool{conninfo("host=elsewhere.example hostaddr=127.0.0.1", server_.certificate_authority())};
  const auto refused = pool.try_acquire(Deadline::never());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::rejected);
  EXPECT_THAT(refused.error().what(), HasSubstr("elsewhere.example"));
}

TEST_F(PoolTls, VerifyFullRefusesAServerThatNoAuthorityVouchesFor) {
  const OwnServer other({"--ssl"});
  Pool pool{conninfo("host=localhost", other.certificate_authority())};
  const auto refused = pool.try_acquire(Deadline::never());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::rejected);
  EXPECT_THAT(refused.error().what(), HasSubstr("certificate verify failed"));
}

}  // namespace
}  // namespace tidegate::test
