#include "pq/connect/server_text.hpp"

#include <gtest/gtest.h>

namespace tidegate::pq {

TEST(ServerText, TheCodeAndTheMessageAreTakenFromAVerboseReport) {
  const auto said = server_text(
      "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password "
      "authentication failed for user \"app\"\nLOCATION:  auth_failed, auth.c:326\n");
  EXPECT_EQ(said.sqlstate, "28P01");
  EXPECT_EQ(said.text, "password authentication failed for user \"app\"");
}

TEST(ServerText, ATranslatedSeverityDoesNotMatter) {
  const auto said = server_text("FATAL :  57P03: das Datenbanksystem startet\nORT:  x, y.c:1\n");
  EXPECT_EQ(said.sqlstate, "57P03");
  EXPECT_EQ(said.text, "das Datenbanksystem startet");
}

// With sslmode=prefer libpq tries again without TLS and adds the second report to the first.
TEST(ServerText, TheLastOfSeveralReportsCounts) {
  const auto said = server_text(
      "connection to server at \"h\", port 1 failed: FATAL:  28000: no pg_hba.conf entry, SSL "
      "encryption\nLOCATION:  ClientAuthentication, auth.c:1\n"
      "connection to server at \"h\", port 1 failed: FATAL:  53300: sorry, too many clients "
      "already\nLOCATION:  InitProcess, proc.c:1\n");
  EXPECT_EQ(said.sqlstate, "53300");
  EXPECT_EQ(said.text, "sorry, too many clients already");
}

TEST(ServerText, DetailAndHintAreLeftOut) {
  const auto said = server_text(
      "FATAL:  3D000: database \"x\" does not exist\nDETAIL:  It seems to have just been dropped.\n"
      "HINT:  A hint.\nLOCATION:  InitPostgres, postinit.c:1\n");
  EXPECT_EQ(said.sqlstate, "3D000");
  EXPECT_EQ(said.text, "database \"x\" does not exist");
}

TEST(ServerText, ANameThatLooksLikeACodeIsNotTakenForOne) {
  const auto said = server_text("FATAL:  28000: role \"a:  12345: b\" does not exist\n");
  EXPECT_EQ(said.sqlstate, "28000");
  EXPECT_EQ(said.text, "role \"a:  12345: b\" does not exist");
  EXPECT_EQ(server_text("something:  ERROR: in words").sqlstate, "");
  EXPECT_EQ(server_text("something:  1234: too short").sqlstate, "");
  EXPECT_EQ(server_text("something:  123456: too long").sqlstate, "");
  EXPECT_EQ(server_text("something: 28P01: one blank").sqlstate, "");
  EXPECT_EQ(server_text("cut off:  28P01").sqlstate, "");
}

TEST(ServerText, WithoutACodeTheFirstLineIsTaken) {
  const auto said = server_text(
      "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
      "\tIs the server running on that host and accepting TCP/IP connections?\n");
  EXPECT_EQ(said.sqlstate, "");
  EXPECT_EQ(said.text, "connection to server at \"127.0.0.1\", port 1 failed: Connection refused");
  EXPECT_EQ(
      server_text("root certificate file \"x\" does not exist\nEither provide the file or ...\n")
          .text,
      "root certificate file \"x\" does not exist");
  EXPECT_EQ(server_text("").text, "");
}

TEST(FaultOf, OnlyWhatWillNotGetBetterByItselfIsARejection) {
  for (const char* code :
       {"28P01", "28000", "3D000", "0A000", "42704", "42601", "42501", "22023", "22P02"}) {
    EXPECT_EQ(fault_of(code, {}), ConnectFault::rejected) << code;
  }
  for (const char* code :
       {"57P03", "53300", "57P01", "08006", "08P01", "XX000", "53200", "55000"}) {
    EXPECT_EQ(fault_of(code, {}), ConnectFault::unreachable) << code;
  }
}

TEST(FaultOf, WithoutACodeThePhaseDecides) {
  EXPECT_EQ(fault_of("", {}), ConnectFault::unreachable);
  EXPECT_EQ(fault_of("", {.shaking_hands = true}), ConnectFault::rejected);
  // A server that dies in the middle of the handshake refuses nothing.
  EXPECT_EQ(fault_of("", {.shaking_hands = true, .peer_gone = true}), ConnectFault::unreachable);
  EXPECT_EQ(fault_of("", {.password_missing = true}), ConnectFault::rejected);
}

}  // namespace tidegate::pq
