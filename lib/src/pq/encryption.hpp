// What an encrypted connection holds back from poll(2).
#pragma once

struct pg_conn;

namespace tidegate::pq {

// A TLS record is decrypted as a whole (16 KiB at most), but libpq may fetch as little as 8 KiB of
// it, and PQconsumeInput() does not come back for the rest. The socket then looks empty while the
// answer lies in the TLS library, so code that only polls waits for ever. This happens with servers
// that send large records (PostgreSQL from 17 on, poolers).
enum class HeldBack {
  nothing,
  something,  // call PQconsumeInput() again
  unknown,    // this kind of encryption does not tell
};

HeldBack held_back(pg_conn* connection) noexcept;

}  // namespace tidegate::pq
