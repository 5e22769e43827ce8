// The same server over TCP.
#pragma once

#include <cstdlib>
#include <string>

namespace bench {

// Words for a connection string; none when nobody says where it listens: scripts/with-postgres
// does.
inline const std::string& tcp_conninfo() {
  static const std::string words = [] {
    const char* const host = std::getenv("TIDEGATE_PG_TCP_HOST");
    return host != nullptr ? std::string("host=") + host : std::string();
  }();
  return words;
}

}  // namespace bench
