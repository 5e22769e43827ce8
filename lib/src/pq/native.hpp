// What several files do with libpq's connection.
#pragma once

#include <memory>
#include <string_view>

#include <tidegate/base/transaction_status.hpp>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

struct FinishConnection {
  void operator()(pg_conn* connection) const noexcept;
};
using NativePtr = std::unique_ptr<pg_conn, FinishConnection>;

// Sets non-blocking mode for a scope, then restores the mode that was set before: after
// native_handle() the user's code has the connection in blocking mode.
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

TransactionStatus transaction_of(const pg_conn* connection) noexcept;

// libpq's last message on one line, without the final newline. Valid until the next call of libpq.
std::string_view last_words(const pg_conn* connection) noexcept;

}  // namespace tidegate::pq
