// NonBlocking: libpq's non-blocking mode for a scope.
#pragma once

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

// Non-blocking mode for a call, then the mode it found: after native_handle() the user's code has
// the connection in blocking mode.
class NonBlocking {
 public:
  explicit NonBlocking(pg_conn* connection) noexcept;
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;
  ~NonBlocking();

 private:
  pg_conn* connection_;
  bool blocking_;
};

}  // namespace tidegate::pq
