// What the inline checks of a Connection read; the rest of its state is private to the library.
#pragma once

#include <cstdint>

namespace tidegate {
class Connection;
}

namespace tidegate::pq {

class Session;

enum class SocketCheck { ok, dead };
// pending: no answer yet.
enum class PingResult { alive, pending, dead };
// doubtful: the server refused to write, or has become read-only by default. The session itself may
// have asked for that, so the server is asked.
enum class Role { primary, standby, doubtful };

// What the cancel requests that were sent for a session may still do to the session. A request
// takes its own way to the server and may strike whatever runs when it arrives.
enum class CancelTrace {
  none,       // nothing: no request was sent, or all that were sent are settled
  pending,    // a request is under way
  delivered,  // the server, or a pooler, has closed the connection of each request: they are over
              // after one more round trip, if it closes a connection only when its part is done
  taken,      // a pooler has ended the connection of one otherwise: needs some quiet, too
  doubtful,   // a request may arrive at any time
};

// Counts of a session's cancel requests and of their outcomes.
struct CancelTally {
  std::uint32_t sent = 0;      // requests
  std::uint32_t answered = 0;  // of the sent: the server did its part and closed the connection
  std::uint32_t reset = 0;     // of the sent: their connection ended otherwise; outcome unknown
  std::uint32_t canceled = 0;  // statements that the server says it canceled, or that were not run
};

// Flags in one small word, so that a lease that runs no statement costs one load here, at its end,
// and no call of libpq. For one thread at a time, so the word is not atomic.
class SessionState {
 public:
  enum class Flag : std::uint8_t {
    doomed = 1,       // not to be reused after this lease
    broken = 2,       // cannot be used any more; doomed, too
    touched = 4,      // used since the lease began: libpq's state must be looked at
    native = 8,       // native_handle() was handed out since the lease began
    pinging = 16,     // a ping's answer is still to come
    pooled = 32,      // the connection is leased again and again; stays set
    canceled = 64,    // a cancel was sent, and may still strike (CancelTrace)
    inspected = 128,  // every end of a lease takes the slow path; stays set
  };

  bool has(Flag flag) const noexcept { return (flags_ & bit(flag)) != 0; }
  void set(Flag flag) noexcept { flags_ = static_cast<std::uint8_t>(flags_ | bit(flag)); }
  void clear(Flag flag) noexcept { flags_ = static_cast<std::uint8_t>(flags_ & ~bit(flag)); }

  // Leases begin here: what was done so far belongs to none.
  void join_pool() noexcept {
    mark_use();
    const int done_so_far = bit(Flag::touched) | bit(Flag::native);
    flags_ = static_cast<std::uint8_t>((flags_ & ~done_so_far) | bit(Flag::pooled));
  }
  // True when nothing happened to the connection: it is as it was when the lease began.
  bool end_untouched_lease() noexcept {
    mark_use();
    return (flags_ & ~bit(Flag::pooled)) == 0;
  }
  // The same, but the flag `inspected` does not count.
  bool end_unused_lease() noexcept {
    mark_use();
    return (flags_ & ~(bit(Flag::pooled) | bit(Flag::inspected))) == 0;
  }
  // The Connection that owns this, wherever it was moved to.
  void belongs_to(Connection* connection) noexcept { connection_ = connection; }
  Connection& connection() const noexcept { return *connection_; }

  // A write in test builds only. TSan does not see into libpq; this shows it two threads on one
  // connection.
  void mark_use() noexcept {
#ifdef TIDEGATE_CHECKED
    ++canary_;
#endif
  }

 protected:
  std::uint8_t flags_ = 0;
  unsigned canary_ = 0;
  Connection* connection_ = nullptr;

 private:
  static constexpr std::uint8_t bit(Flag flag) noexcept { return static_cast<std::uint8_t>(flag); }
};

}  // namespace tidegate::pq
