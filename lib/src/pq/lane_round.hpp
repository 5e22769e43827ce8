// LaneRound: statements of several callers in one pipeline, each in a transaction of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/rows.hpp>
#include <tidegate/pq/verb.hpp>

#include "pq/result.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {

// What a caller gets back.
struct LaneAnswer {
  std::string text{};  // of the statement
  Location where{};
  ResultPtr result{};

  bool is_canceled() const noexcept;
  // Throws: QueryError.
  Rows rows() &&;
  // Throws: QueryCanceled. Needs: the server has canceled the statement.
  [[noreturn]] void throw_canceled() &&;
};

// One caller's statement, and what came of it.
struct LaneStatement {
  std::string text{};
  Params params{};  // every value is copied: the caller may be gone when they are sent
  Location where{};
  bool prepared = true;  // as ExecOptions has it
  ResultFormat format = ResultFormat::automatic;

  // The round's.
  const Prepared* by_name = nullptr;  // owned by the session's cache, until the round ends
  bool without_name = false;          // its prepared form was stale: it goes as text this time
  // The first error, or the last result.
  ResultPtr answer{};

  // Starts the statement anew.
  void begin(const Sql& sql, const ExecOptions& options);
  // Small enough, and with few enough parameters, to share a connection.
  bool fits() const noexcept;
  LaneAnswer take() noexcept;
  // What a caller is told when the connection was lost, whose last words are `because`. Throws:
  // std::bad_alloc.
  QueryReport loss(std::string_view because) const;
  // The memory that the answer takes.
  std::size_t answer_bytes() const noexcept;
};

// Statements go to the server in the order of send(), and are answered in that order. An error ends
// its own statement only, because each has a Sync of its own. The object may be made, used and
// ended by different threads, one at a time.
class LaneRound {
 public:
  // `options` bound what is waited for before the first send(): an earlier cancel, a prepare().
  // Throws: as Connection's verbs; nothing was sent then.
  LaneRound(Session& session, const ExecOptions& options, Location where);
  LaneRound(const LaneRound&) = delete;
  LaneRound& operator=(const LaneRound&) = delete;
  // Leaves pipeline mode. A session that still owes answers is broken from here on.
  ~LaneRound();

  // Makes the text one of the session's prepared statements, if it should be one and is not yet.
  // Waits for the server. Needs: nothing was sent. Throws: as the constructor.
  // Returns: true when it did so.
  bool prepare(const LaneStatement& statement);
  // Needs: no further prepare(). Diagnostics show the text of `first`, and `count`. Throws:
  // ConnectionLost.
  void begin_sending(const LaneStatement& first, std::size_t count);
  // False: the connection is lost.
  bool send(LaneStatement& statement) noexcept;

  void flush() noexcept;

  // What has come of `statement`, the oldest that is not answered.
  enum class Next : std::uint8_t { answered, waiting, lost };
  Next next(LaneStatement& statement) noexcept;
  // Waits until something has come, or can be sent; or the bell or the deadline is first.
  Waited wait(Deadline deadline, int bell) noexcept;

  // Whether the answer says that the server no longer has the statement as it was prepared. Such a
  // statement has done nothing, and can be sent once more, in another round.
  bool is_stale(LaneStatement& statement) noexcept;
  // Whether a cancel that was meant for another statement has struck this one. It has done nothing.
  bool is_struck(const LaneStatement& statement) const noexcept;

  // Asks the server to cancel what runs now. Does not wait.
  void cancel() noexcept { session_.cancel(); }
  // Nobody waits for the answers any more: the session is broken from here on.
  void give_up() noexcept {
    session_.give_up("a lane gave up on statements that nobody waits for");
  }
  // How long an answer to a cancel is awaited.
  std::chrono::milliseconds drain_bound() const noexcept { return session_.limits_.drain_bound(); }
  // Why the connection is lost.
  std::string_view lost_because() const noexcept { return session_.broken_reason(); }

 private:
  bool lost() noexcept;
  void forget_stale() noexcept;

  Session& session_;
  const Verb verb_;
  const ExecOptions options_;
  std::optional<Session::Running> running_{};
  std::uint32_t owed_ = 0;  // statements that were sent and have not been answered
  int nulls_ = 0;           // ends of results in a row
  const Prepared* stale_ = nullptr;
  Stale how_stale_ = Stale::no;
};

}  // namespace tidegate::pq
