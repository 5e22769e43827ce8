// What is done with libpq's connection in more than one place.
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

TransactionStatus transaction_of(const pg_conn* connection) noexcept;

// libpq's last words on one line, without the final newline. Valid until the next call of libpq.
std::string_view last_words(const pg_conn* connection) noexcept;

}  // namespace tidegate::pq
