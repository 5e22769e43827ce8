// Statements that are prepared only in part.
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/errors.hpp>

#include "unit/pq/scripted_server.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;

// The server has it from its Parse on, whatever becomes of the Describe behind that: a cancel may
// strike between the two. Seen failing with a name that is forgotten when the Describe fails: the
// statement stays for the life of the connection.
TEST(PrepareOfAScript, AStatementThatIsParsedButNotDescribedIsDeallocated) {
  ScriptedServer server({welcome()});
  pq::ConnectOutcome outcome = server.connect("disable", {.statement_cache = 8});
  std::string sent;
  std::string name;
  std::jthread answers([&] {
    const std::string parse = server.receive_message();  // 'P', its length, the name, ...
    name = parse.substr(5, parse.find('\0', 5) - 5);
    server.send(message('1', "") + canceled());
    while (sent.find("select 2") == sent.npos) {
      const std::string more = server.receive_message();
      if (more.empty()) return;
      sent += more;
    }
    if (sent.find(end_of(name)) != sent.npos) server.send(ended() + message('Z', "I"));
    server.send(prepared());
    server.receive_message();
    server.send(message('2', "") + message('n', "") + message('C', c_string("SELECT 0")) +
                message('Z', "I"));
  });
  EXPECT_THROW(outcome.connection.exec("select 1"), QueryError);
  EXPECT_EQ(outcome.connection.exec("select 2").command_tag(), "SELECT 0");
  answers.join();
  EXPECT_FALSE(name.empty());
  EXPECT_THAT(sent, HasSubstr(end_of(name)));
}

}  // namespace tidegate::pq_test
