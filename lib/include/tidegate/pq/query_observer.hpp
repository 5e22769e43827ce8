// QueryObserver: a connection tells it of every statement.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

class Params;

// Which verb runs it. A Transaction's own statements (BEGIN, COMMIT, ...) are told as `exec`, and
// the end of a savepoint by ROLLBACK as `script`: operation_of() tells them apart.
enum class QueryKind : std::uint8_t {
  none,  // no statement of a user: pings, resets, waiting for notifications; never told
  exec,  // also query_row() and query_value()
  each,
  script,
  prepare,
  batch,
  copy_in,
  copy_out,
};
TIDEGATE_API std::string_view to_string(QueryKind kind) noexcept;

// Text and values are valid during the call only.
struct QueryStarted {
  QueryKind kind = QueryKind::none;
  std::string_view text{};         // as it was written; of a batch: its first statement
  std::size_t statements = 1;      // of a batch: how many it has
  std::size_t parameters = 0;      // of a batch: of all its statements
  const Params* values = nullptr;  // null unless wants_values(); also for a COPY's rows
  Location where{};                // the call of the verb
  Location acquired{};             // the acquire of its lease; unknown where there is none
  int backend_pid = 0;             // 0: on a lane, whose connection may change
  bool on_lane = false;            // it may share a connection with others (PoolConfig::lanes)
  std::string_view database{};     // of the connection, as libpq has them; empty on a lane
  std::string_view host{};
  std::string_view port{};
};
struct QueryEnded {
  std::chrono::nanoseconds took{};  // from the start
  bool failed = false;              // the verb ends with an exception, or the batch has an error
  std::optional<Errc> error{};      // why it failed; none: an exception of the caller's own code
  std::string_view sqlstate{};      // empty: the server did not report this
  bool outcome_unknown = false;     // QueryError::outcome_unknown()
  std::uint64_t rows = 0;           // that came, or that a command or a COPY changed
  std::uint64_t bytes = 0;          // of the values that came, or of a COPY's data
  std::uint32_t sent = 0;           // how often; more than once: a stale plan, others' cancels
  bool moved = false;               // not sent on its lane: told anew with a lease of its own
};

// Every member does nothing unless overridden. A connection calls them on the thread of the verb,
// in the verb: they must not use that connection (UsageError), and hold up the statement for as
// long as they take. What they throw is dropped. Exactly one query_ended follows each
// query_started, however the statement ends; also one that has thrown, and then with null.
//
// Told of: what the verbs of connections and pools run. Not: pings, resets, and what is done
// through native_handle(). Set by PoolConfig::queries, or pq::ConnectOptions::queries.
class TIDEGATE_API QueryObserver {
 public:
  QueryObserver() = default;
  QueryObserver(const QueryObserver&) = delete;
  QueryObserver& operator=(const QueryObserver&) = delete;
  virtual ~QueryObserver();

  // Whether QueryStarted has the values of the parameters, which may be secrets. Asked once for
  // each connection.
  virtual bool wants_values() const noexcept;

  // Just before the statement is sent; or just before its end if it ends before that.
  // Returns: what query_ended gets as `started_as`.
  virtual void* query_started(const QueryStarted& event);
  virtual void query_ended(void* started_as, const QueryStarted& event, const QueryEnded& end);
};

}  // namespace tidegate
