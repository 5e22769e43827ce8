// Finds out what target_session_attrs asks for, as libpq does; but believes no greeting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <tidegate/base/deadline.hpp>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

// A pooler greets each client with what a server said when the pooler first met it. That server may
// be a standby by now, or none any more. So libpq is told "any", and this class asks the session
// itself: one round trip a connect. What a server reports of itself (PostgreSQL 14 and later) would
// cost nothing, but not every pooler is known to be one: of the keys that one makes up, one in a
// thousand looks like a server's, and one that keeps sessions (pgagroal) hands on the server's own,
// and greets with what a session was when it began.
class SessionAttrs {
 public:
  // A value of target_session_attrs for one attempt. libpq judges all but these four.
  explicit SessionAttrs(std::string_view value) noexcept;
  bool any() const noexcept { return wanted_ == Wanted::any; }

  enum class Verdict : std::uint8_t { fits, does_not, woken, timed_out };
  // The look at a session that has just begun. The text says why it does not fit, as libpq does.
  struct Look {
    Verdict verdict = Verdict::fits;
    std::string text{};
  };
  // Throws: std::bad_alloc.
  Look look(pg_conn* connection, int wake_fd, Deadline deadline) const;

 private:
  enum class Wanted : std::uint8_t { any, read_write, read_only, primary, standby };
  Look judge(bool is) const;

  Wanted wanted_ = Wanted::any;
};

}  // namespace tidegate::pq
