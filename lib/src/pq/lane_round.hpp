// LaneRound: statements of several callers in one pipeline, each in a transaction of its own.
#pragma once

#include <array>
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
  std::uint32_t number = 0;  // of the name by which it is prepared on its way; 0: it is not
  bool deallocates = false;  // and makes the server forget another before
  int failed_at = 0;         // the command of its part that has failed
  ResultPtr described{};
  // The first error, or the last result.
  ResultPtr answer{};

  // Starts the statement anew. Throws: UsageError for a text with a NUL byte.
  void begin(const Sql& sql, const ExecOptions& options);
  // Small enough, and with few enough parameters, to share a connection.
  bool fits() const noexcept;
  // The statement is not used again: frees what is large.
  void end() noexcept;
  LaneAnswer take() noexcept;
  // The server has said that it failed, though the connection was lost then.
  bool has_failed() const noexcept;
  // The memory that the answer takes.
  std::size_t answer_bytes() const noexcept;
};

// Statements go to the server in the order of send(), and are answered in that order. An error ends
// its own statement only, because each has a Sync of its own. One that is to be prepared is parsed
// and described on its way, so that nobody waits for that but those behind it. The object may be
// made, used and ended by different threads, one at a time.
class LaneRound {
 public:
  // Throws: as Connection's verbs; nothing was sent then.
  LaneRound(Session& session, Location where);
  LaneRound(const LaneRound&) = delete;
  LaneRound& operator=(const LaneRound&) = delete;
  // Leaves pipeline mode. A session that still owes answers is broken from here on.
  ~LaneRound();

  // Diagnostics show the text of `first`, and how many there are. Throws: ConnectionLost,
  // std::bad_alloc. Needs: all sends come before the first next().
  void begin_sending(const LaneStatement& first, std::size_t count);
  // False: the connection is lost. Throws: std::bad_alloc; nothing of it was sent then.
  bool send(LaneStatement& statement);
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
  // What the owner of a statement is told when the connection is lost. Throws: std::bad_alloc.
  QueryReport loss(const LaneStatement& statement) const;

 private:
  static constexpr std::size_t kMostPrepares = 8;

  bool lost() noexcept;
  const Prepared* named(const LaneStatement& statement);
  bool is_to_be_prepared(const LaneStatement& statement) const noexcept;
  bool send_prepare(LaneStatement& statement, const std::string& deallocation);
  void keep(LaneStatement& statement, ResultPtr result) noexcept;
  void note_prepared(LaneStatement& statement) noexcept;
  void forget_stale() noexcept;

  Session& session_;
  const Verb verb_;
  std::optional<Session::Running> running_{};
  std::uint32_t owed_ = 0;  // statements that were sent and have not been answered
  // The texts that are prepared in this round.
  std::array<std::string_view, kMostPrepares> preparing_{};
  std::size_t prepares_ = 0;
  int nulls_ = 1;     // ends of results in a row; the first command begins behind one
  int commands_ = 0;  // of the part under way that have been answered
  const Prepared* stale_ = nullptr;
  Stale how_stale_ = Stale::no;
};

}  // namespace tidegate::pq
