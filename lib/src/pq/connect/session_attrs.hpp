// What target_session_attrs asks for, found out as libpq does; but of a pooler's greeting nothing
// is believed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <tidegate/base/deadline.hpp>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

// A pooler greets each client with what a server said when it was first met, which may be a standby
// by now, or none any more. So libpq is told "any", and this looks: at what a server reports
// (PostgreSQL 14 and later), which costs nothing; behind a pooler, where nothing is reported, and
// before a session is refused, by a query: not every pooler is known to be one, and a session that
// one keeps (pgagroal) is greeted for as what it was when it began.
class SessionAttrs {
 public:
  // A value of target_session_attrs for one attempt. All but these four are libpq's to judge.
  explicit SessionAttrs(std::string_view value) noexcept;
  bool any() const noexcept { return wanted_ == Wanted::any; }

  enum class Verdict : std::uint8_t { fits, does_not, woken, timed_out };
  // Of a session that has just begun. The text is why it does not fit, as libpq says it.
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
