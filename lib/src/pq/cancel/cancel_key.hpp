// CancelKey: what a cancel of a session's statement needs, besides the server's address.
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
// Before 17 libpq has no request that does not block, and no call that gives the key. But its trace
// names the fields of every message, in a format that is documented (PQtrace), and shows nothing of
// what the client says for its authentication. This sees every line of the trace and keeps one.
class KeyListener {
 public:
  // Needs: PQconnectStart has made the connection. Throws: std::bad_alloc.
  explicit KeyListener(pg_conn* connection);
  ~KeyListener();
  KeyListener(const KeyListener&) = delete;
  KeyListener& operator=(const KeyListener&) = delete;

  // To be called once, when the connect has succeeded; turns libpq's trace off.
  // Throws: std::bad_alloc.
  CancelKey key();

  // Takes a piece of the trace. For the trace's stream.
  void hear(std::string_view text) noexcept;

 private:
  void stop() noexcept;
  void take_line() noexcept;

  pg_conn* connection_;
  // Unused with libpq 17 and later.
  [[maybe_unused]] std::FILE* trace_ = nullptr;
  [[maybe_unused]] std::array<char, 512> buffer_{};  // of the stream
  [[maybe_unused]] std::array<char, 96> line_{};     // the line under way
  [[maybe_unused]] std::size_t size_ = 0;  // of line_; beyond its room: not the line that is kept
  [[maybe_unused]] CancelKey heard_{};
};

}  // namespace tidegate::pq
