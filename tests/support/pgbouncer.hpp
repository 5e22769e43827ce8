// Bouncer: a PgBouncer in transaction mode beside the test.
#pragma once

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "support/companion.hpp"

namespace tidegate::test {

class Bouncer {
 public:
  // `settings`: "name=value" of its configuration.
  explicit Bouncer(int server_connections, std::vector<std::string> settings = {})
      : companion_(command(server_connections, std::move(settings))) {}

  std::string conninfo() const { return "host=127.0.0.1 port=" + companion_.said(0); }
  // The same, for a connection without a pool.
  std::vector<std::pair<std::string, std::string>> params() const {
    return {{"host", "127.0.0.1"}, {"port", companion_.said(0)}};
  }
  // 118 is 1.18.
  int version() const {
    const std::string& said = companion_.said(2);
    const std::size_t dot = said.find('.');
    return std::atoi(said.c_str()) * 100 + std::atoi(said.c_str() + dot + 1);
  }
  std::string tell(const std::string& line) { return companion_.tell(line); }

 private:
  static std::vector<std::string> command(int server_connections,
                                          std::vector<std::string> settings) {
    std::vector<std::string> words{(repository() / "tests/support/pgbouncer.py").string(),
                                   std::to_string(server_connections)};
    words.insert(words.end(), settings.begin(), settings.end());
    return words;
  }

  Companion companion_;
};

}  // namespace tidegate::test
