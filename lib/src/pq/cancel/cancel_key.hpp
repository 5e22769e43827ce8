// CancelKey: what it takes to have a session's statement canceled, beside the server's address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

struct pg_conn;         // libpq's PGconn
struct pg_cancel_conn;  // libpq's PGcancelConn (17 and later)

namespace tidegate::pq {

struct FreeCancelConnection {
  void operator()(pg_cancel_conn* connection) const noexcept;
};

struct CancelKey {
  // As in a CancelRequest.
  std::int32_t pid = 0;
  std::int32_t secret = 0;
  bool known = false;  // else the server gave none, or libpq makes the request by itself
  // Of libpq 17 and later, which sends the request as encrypted as the session is.
  std::unique_ptr<pg_cancel_conn, FreeCancelConnection> request{};
};

// Where a session's server is, as a sockaddr, so that no name has to be looked up; empty: not
// known. Throws: std::bad_alloc.
std::string server_address(const pg_conn* connection);

// Hears the key when the server sends it.
//
// Before 17 libpq has neither a request that does not block nor a call that gives the key. Its
// trace names the fields of every message, though, in a format that is documented (PQtrace), and of
// what the client says for its authentication nothing. The lines pass by here; one is kept.
class KeyListener {
 public:
  // Needs: PQconnectStart has made it. Throws: std::bad_alloc.
  explicit KeyListener(pg_conn* connection);
  ~KeyListener();
  KeyListener(const KeyListener&) = delete;
  KeyListener& operator=(const KeyListener&) = delete;

  // Once, when the connect has succeeded; libpq's trace is off from then on.
  // Throws: std::bad_alloc.
  CancelKey key();

  // A piece of the trace. For its stream.
  void hear(std::string_view text) noexcept;

 private:
  void stop() noexcept;
  void take_line() noexcept;

  pg_conn* connection_;
  // Unused with libpq 17 and later.
  [[maybe_unused]] std::FILE* trace_ = nullptr;
  [[maybe_unused]] std::array<char, 512> buffer_{};  // of the stream
  [[maybe_unused]] std::array<char, 96> line_{};     // the one under way
  [[maybe_unused]] std::size_t size_ = 0;  // of that; more than there is room for: none of ours
  [[maybe_unused]] CancelKey heard_{};
};

}  // namespace tidegate::pq
