// An error that comes without the end of its answer: the server says ERROR, and then hangs up, or
// says nothing more. What it said is all that anybody will ever know.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/errors.hpp>

#include "scripted_server.hpp"

namespace tidegate::pq_test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Verb {
  const char* name;
  std::function<void(Connection&, const ExecOptions&)> run;
};

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all{
      {"exec", [](Connection& c, const ExecOptions& options) { c.exec(options, "select 1"); }},
      {"each", [](Connection& c,
                  const ExecOptions& options) { c.each(options, "select 1", [](const Row&) {}); }},
      {"script",
       [](Connection& c, const ExecOptions& options) { c.exec_script(options, "select 1"); }},
      {"batch",
       [](Connection& c, const ExecOptions& options) {
         Batch batch;
         batch.add("select 1");
         c.run(batch, options).raise();
       }},
  };
  return all;
}

const std::string& half_an_answer() {
  static const std::string said = report('E', "ERROR", "XX001", "the disk is on fire");
  return said;
}

TEST(HalfAnswer, OfAServerThatHangsUpKeepsItsWords) {
  for (const Verb& verb : verbs()) {
    SCOPED_TRACE(verb.name);
    ScriptedServer server({welcome()});
    Connection connection = std::move(server.connect().connection);
    std::jthread says([&] {
      server.receive_message();
      server.send(half_an_answer());
      server.hang_up();
    });
    try {
      verb.run(connection, {});
      ADD_FAILURE() << "the connection is lost";
    } catch (const ConnectionLost& error) {
      EXPECT_EQ(error.sqlstate(), "XX001") << error.what();
      EXPECT_EQ(error.message(), "the disk is on fire");
      EXPECT_THAT(error.what(), HasSubstr("ERROR XX001: the disk is on fire"));
    }
  }
}

// The deadline ends the wait for the rest; then a cancel, which is not answered either.
TEST(HalfAnswer, OfAServerThatSaysNothingMoreKeepsItsWords) {
  for (const Verb& verb : verbs()) {
    SCOPED_TRACE(verb.name);
    ScriptedServer server({welcome()});
    Connection connection = std::move(
        server.connect("disable", {.statement_cache = 0, .drain_bound = 20ms}).connection);
    std::jthread says([&] {
      server.receive_message();
      server.send(half_an_answer());
    });
    try {
      verb.run(connection, {.by = 200ms});
      ADD_FAILURE() << "the deadline has passed";
    } catch (const QueryTimeout& error) {
      EXPECT_THAT(error.message(), HasSubstr("deadline passed"));
      EXPECT_THAT(error.detail(), HasSubstr("ERROR XX001: the disk is on fire")) << error.what();
    }
  }
}

}  // namespace
}  // namespace tidegate::pq_test
