// What only a person can mend is a rejection, told at once; what may pass by itself is tried again.
// Most of the first kind were once "server unreachable", and waiters waited for their deadline.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <postgres/pool_support.hpp>
#include <postgres/pq_support.hpp>
#include <support/companion.hpp>
#include <unit/pq/scripted_server.hpp>

#include "pq/connect/option_check.hpp"

namespace tidegate::pq_test {
namespace {

using pq::ConnectFault;
using testing::HasSubstr;

struct Refusal {
  const char* name;
  Params params;
  const char* sqlstate;
  const char* words;
};

std::vector<Refusal> refusals_of_the_server() {
  return {
      // By the server, which has a code for it.
      {"an option without a name", {{"options", "junk"}}, "42601", "junk"},
      {"a value that is none", {{"options", "-c work_mem=much"}}, "22023", "work_mem"},
      {"a parameter that there is not", {{"options", "-c no_such=1"}}, "42704", "no_such"},
      {"a database that there is not", {{"dbname", "no such"}}, "3D000", "no such"},
      // By libpq, before it dials.
      {"a service that no file has", {{"service", "nowhere"}}, "", "nowhere"},
      {"an unknown service behind a host that cannot be looked up",
       {{"service", "nowhere"}, {"host", "no.such.host.invalid"}},
       "",
       "nowhere"},
      {"an sslmode that there is not", {{"sslmode", "perhaps"}}, "", "perhaps"},
      {"a version of TLS that there is not", {{"ssl_min_protocol_version", "TLSv9"}}, "", "TLSv9"},
      {"versions of TLS the wrong way round",
       {{"ssl_min_protocol_version", "TLSv1.3"}, {"ssl_max_protocol_version", "TLSv1.2"}},
       "",
       ""},
      {"a gssencmode that there is not", {{"gssencmode", "maybe"}}, "", "maybe"},
      {"a channel_binding that there is not", {{"channel_binding", "maybe"}}, "", "maybe"},
      {"a target that there is not", {{"target_session_attrs", "any-old"}}, "", "any-old"},
      {"more ports than hosts", {{"host", "a,b"}, {"port", "1,2,3"}}, "", ""},
      // By libpq, once it has a socket of TCP.
      {"keepalives that are no number", tcp({{"keepalives", "often"}}), "", "often"},
      {"an idle time that is no number", tcp({{"keepalives_idle", "1m"}}), "", "keepalives_idle"},
      {"an interval that is no number", tcp({{"keepalives_interval", "x"}}), "",
       "keepalives_interval"},
      {"a count that is no number", tcp({{"keepalives_count", "3.5"}}), "", "keepalives_count"},
      {"a time-out that is no number", tcp({{"tcp_user_timeout", "99999999999"}}), "",
       "tcp_user_timeout"},
      {"a connect_timeout that is no number", tcp({{"connect_timeout", "5s"}}), "",
       "connect_timeout"},
      // By libpq, while it shakes hands.
      {"binding that the log-in has not", {{"channel_binding", "require"}}, "", "channel binding"},
      {"encryption by GSS without a ticket", tcp({{"gssencmode", "require"}}), "", "GSSAPI"},
      {"another who listens", {{"requirepeer", "nobody-we-know"}}, "", "nobody-we-know"},
  };
}

TEST(PqRefusals, AreToldAsSuchInTheWordsOfWhoRefuses) {
  for (const Refusal& refusal : refusals_of_the_server()) {
    SCOPED_TRACE(refusal.name);
    const auto failure = failure_of(refusal.params);
    EXPECT_EQ(failure.cause.kind, ConnectFault::rejected) << failure.cause.text;
    EXPECT_EQ(failure.cause.sqlstate, refusal.sqlstate) << failure.cause.text;
    EXPECT_THAT(failure.cause.text, HasSubstr(refusal.words));
    EXPECT_NE(failure.cause.text, "");
  }
}

// Keywords and values, as a connection string.
std::string conninfo_of(const Params& params) {
  std::string text;
  for (const auto& [keyword, value] : params) text += keyword + "='" + value + "' ";
  return text;
}

// With a deadline that never comes: nothing but the refusal can end the acquire.
TEST(PqRefusals, EndTheAcquiresOfAPoolAtOnce) {
  for (const Refusal& refusal : refusals_of_the_server()) {
    SCOPED_TRACE(refusal.name);
    Pool pool(PoolConfig{.conninfo = conninfo_of(refusal.params), .name = "orders", .max_size = 1});
    const ConnectError error = thrown_by<ConnectError>([&] { pool.acquire(Deadline::never()); });
    EXPECT_EQ(error.code(), Errc::rejected) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("pool \"orders\": server rejects the connection: "));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("unreachable")));
  }
}

// On a Unix socket libpq does not look at them before it is to cancel: then it has no memory, it
// says.
TEST(PqRefusals, KeepalivesThatAreNoNumberAreOneOnAUnixSocketToo) {
  const auto failure = failure_of({{"keepalives", "often"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_THAT(failure.cause.text, HasSubstr("keepalives"));
}

TEST(PqRefusals, ACertificateFileThatIsNotThereIsOne) {
  const test::OwnServer server({"--ssl"});
  const auto failure = failure_of({{"host", "localhost"},
                                   {"port", server.port()},
                                   {"user", "postgres"},
                                   {"dbname", "postgres"},
                                   {"sslmode", "verify-full"},
                                   {"sslrootcert", "/no/such/file"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::rejected);
  EXPECT_THAT(failure.cause.text, HasSubstr("/no/such/file"));
}

// ---- servers that ask for what libpq has not, or will not give ------------------------------

constexpr std::uint32_t kSasl = 10;

std::string asks_for_sasl(std::string_view mechanism) {
  return message('R', int32(kSasl) + c_string(mechanism) + '\0');
}

pq::FailedAttempt refused_by(const std::string& first_answer, Params more = {}) {
  ScriptedServer server({first_answer});
  Params params = {{"host", "127.0.0.1"},    {"port", server.port()},      {"user", "somebody"},
                   {"dbname", "x"},          {"password", "S3cretMarker"}, {"sslmode", "disable"},
                   {"gssencmode", "disable"}};
  params.insert(params.end(), more.begin(), more.end());
  const auto failure = failure_of(params);
  server.await_answers();
  return failure.cause;
}

TEST(PqRefusals, AWayToLogInThatLibpqHasNotIsOne) {
  const auto unknown = refused_by(asks_for_sasl("SCRAM-SHA-9000"));
  EXPECT_EQ(unknown.kind, ConnectFault::rejected) << unknown.text;
  EXPECT_NE(unknown.text, "");
  EXPECT_EQ(refused_by(message('R', int32(99))).kind, ConnectFault::rejected);
  const auto unbound = refused_by(asks_for_sasl("SCRAM-SHA-256"), {{"channel_binding", "require"}});
  EXPECT_EQ(unbound.kind, ConnectFault::rejected) << unbound.text;
}

// The postmaster that cannot fork has no code for it: it speaks the protocol of 1997. Later it may
// work.
TEST(PqRefusals, AServerWithoutAProcessForUsIsNone) {
  const auto failure =
      refused_by("Ecould not fork new process for connection: no memory\n" + std::string(1, '\0'));
  EXPECT_EQ(failure.kind, ConnectFault::unreachable);
  EXPECT_THAT(failure.text, HasSubstr("could not fork"));
}

// One that dies while it asks for the password refuses nothing.
TEST(PqRefusals, AServerThatEndsInTheMiddleOfALogInIsNone) {
  ScriptedServer server({message('R', int32(5) + "salt")});
  std::jthread ends([&] {
    server.await_answers();
    server.receive_message();
    server.hang_up();
  });
  const auto failure = failure_of({{"host", "127.0.0.1"},
                                   {"port", server.port()},
                                   {"user", "somebody"},
                                   {"password", "S3cretMarker"},
                                   {"sslmode", "disable"},
                                   {"gssencmode", "disable"}});
  EXPECT_EQ(failure.cause.kind, ConnectFault::unreachable) << failure.cause.text;
}

// What libpq has no require_auth for, it does: this is why pool_require_auth is there.
TEST(PqRefusals, APasswordIsGivenInClearUnlessRequireAuthForbidsIt) {
  constexpr std::uint32_t kInClear = 3;
  const auto sent = [&](Params more) {
    ScriptedServer server({message('R', int32(kInClear))});
    std::string told;
    std::jthread listens([&] {
      server.await_answers();
      told = server.receive_message_or_end();
      server.hang_up();
    });
    Params params = {{"host", "127.0.0.1"},    {"port", server.port()},      {"user", "somebody"},
                     {"dbname", "x"},          {"password", "S3cretMarker"}, {"sslmode", "disable"},
                     {"gssencmode", "disable"}};
    params.insert(params.end(), more.begin(), more.end());
    const auto failure = failure_of(params);
    if (!more.empty()) {
      EXPECT_EQ(failure.cause.kind, ConnectFault::rejected) << failure.cause.text;
    }
    listens.join();
    return told;
  };
  EXPECT_THAT(sent({}), HasSubstr("S3cretMarker"));
  if (pq::knows_option("require_auth")) {  // since libpq 16
    EXPECT_THAT(sent({{"require_auth", "scram-sha-256"}}), testing::Not(HasSubstr("S3cretMarker")));
  }
}

}  // namespace
}  // namespace tidegate::pq_test
