// Whether a pooler has answered the connect, and what it says of itself.
#pragma once

#include <cstdint>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

struct Pooler {
  // It said so (PgBouncer from 1.26 on), or gave out a process number that no process has: poolers
  // invent the key that they give their clients, of which this number is half, 32 random bits.
  bool between = false;
  // It said that a session is a client's for a transaction only.
  bool forgets = false;
  // It may give equal texts one prepared statement: all but those that say that they keep sessions.
  bool shares = false;
};
// Needs: the connect has succeeded.
Pooler pooler_of(const pg_conn* connection) noexcept;

}  // namespace tidegate::pq
