// Whether a pooler has answered the connect, and what it says of itself.
#pragma once

#include <cstdint>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

struct Pooler {
  // It said so (PgBouncer from 1.26 on), or gave out a process number that no process has: poolers
  // invent the keys for their clients, and the number is half of a key, 32 random bits.
  bool between = false;
  // It said that a client has a session for one transaction only.
  bool forgets = false;
  // It may give equal texts one prepared statement: true unless it says that it keeps sessions.
  bool shares = false;
};
// Needs: the connect has succeeded.
Pooler pooler_of(const pg_conn* connection) noexcept;

}  // namespace tidegate::pq
