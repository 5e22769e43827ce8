// The query loop: send, flush, wait for the socket, read. It uses non-blocking mode and one poll
// where PQexecParams has its own, so that a statement costs the same system calls: send, poll,
// recv.
#include <libpq-fe.h>
#include <poll.h>

#include <chrono>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/editions.hpp"
#include "pq/encryption.hpp"
#include "pq/session.hpp"
#include "pq/throw_usage.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {
namespace {

// How much of the text buffer a connection keeps from call to call.
constexpr std::size_t kKeptStatement = std::size_t{64} * 1024;
// How long an answer may lie in an encryption layer that does not tell of it.
constexpr std::chrono::milliseconds kLookAgain{10};

}  // namespace

Params& Session::start(const Sql& sql, const ExecOptions& options) {
  begin(sql, options);
  if (shares_names_) take_edition();
  params_.clear(where_);
  prepared_ = is_cached(options) ? find_prepared(statement_) : nullptr;
  // A pooler may prepare the statement again later, where the same text means other types.
  if (prepared_ != nullptr && !shares_names_) params_.expect(prepared_->params());
  return params_;
}

void Session::begin(const Sql& sql, const ExecOptions& options) {
  mark_use();
  set(Flag::touched);
  limits_.disarm(options_);  // the limits of a statement whose parameters could not be bound
  where_ = sql.where();
  prepared_ = nullptr;
  options_ = options;
  if (transaction_ != nullptr) options_.by = earlier(options_.by, transaction_->by);
  if (statement_.capacity() > kKeptStatement) statement_ = std::string();
  statement_ = sql.text();
  if (observed_) [[unlikely]]
    observe_begin(sql);
  if (has(Flag::broken)) throw_broken();
  if (may_be_undone_ && PQtransactionStatus(native()) == PQTRANS_IDLE) {
    may_be_undone_ = false;
    cache_.distrust();
  }
  if (statement_.find('\0') != std::string::npos) throw_usage("the statement holds a NUL byte");
  if (forgets_) warn_of_lost_state(statement_);
  arm_limits();
  refuse_if_over("");
  if (has(Flag::pinging)) settle_ping();
  if (has(Flag::canceled) && !in_doubt_ && target().asked()) settle_cancels();
  if (has(Flag::broken)) throw_broken();
  if (PQpipelineStatus(native()) != PQ_PIPELINE_OFF) {
    throw_usage("pipeline mode was left on through native_handle()");
  }
  const PGTransactionStatusType status = PQtransactionStatus(native());
  if (status == PQTRANS_ACTIVE) {
    throw_usage(
        "another command is already in progress, started through "
        "native_handle()");
  }
  outside_ = status == PQTRANS_IDLE;
}

// From here on the statement can be canceled, so end_statement() has to follow. To be called after
// its parameters are bound, because that may throw.
void Session::begin_statement() noexcept {
  mid_answer_ = false;
  target().begin_statement();
  shared_->mirror.begin(statement_);
}

// Idempotent. What was asked of the canceller meanwhile is either taken back or remembered.
void Session::end_statement() noexcept {
  limits_.disarm(options_);
  shared_->mirror.end(transaction_of(native()));
  if (!target().end_statement()) [[likely]]
    return;
  if (target().trace() == CancelTrace::pending) {
    try {
      shared_->cancels->canceller().withdraw(target());
    } catch (const std::bad_alloc&) {
      // The request stays pending.
    }
  }
  if (target().asked()) set(Flag::canceled);
}

std::unique_ptr<Result> Session::run() {
  const Running running(*this);
  Answer answer = execute(nullptr);
  require_success(answer.result.get(), answer.copied);
  auto result = std::make_unique<Result>();
  result->native = std::move(answer.result);
  result->statement = without_edition(statement_);
  result->where = where_;
  return result;
}

// Prepares the statement if it should be prepared and is not yet. If the server no longer holds it
// as it was, it fails before it has done anything, and runs once more without a name; the next use
// prepares it anew. Not inside a transaction, because that has failed with it.
Session::Answer Session::execute(Stream* rows) {
  params_.seal();
  tell_start(&params_);
  const bool repeatable = PQtransactionStatus(native()) == PQTRANS_IDLE;
  if (prepared_ == nullptr && is_cached(options_)) prepared_ = prepare();
  if (prepared_ != nullptr && !prepared_->takes(params_)) prepared_ = nullptr;
  send(rows != nullptr);
  Answer answer = read_answer(rows);
  const Stale stale = staleness(prepared_, answer.result.get());
  const bool of_text = prepared_ == nullptr && is_of_another_text(answer.result.get(), statement_);
  if (stale == Stale::no && !of_text) return answer;
  if (of_text) next_edition(without_edition(statement_));
  const bool has_rows = rows != nullptr && (rows->left || rows->cut || rows->row.first > 0);
  if (!repeatable || has_rows || limits_.has_struck() || has(Flag::broken)) {
    if (!of_text) forget(prepared_, stale);
    return answer;
  }
  if (of_text) {
    take_edition();
    send(rows != nullptr);
    return read_answer(rows);
  }
  const auto params = prepared_->params();
  const std::vector<std::uint32_t> before(params.begin(), params.end());
  if (stale == Stale::gone || stale == Stale::lost) {
    forget(prepared_, stale);
    if (shares_names_) take_edition();
    send(rows != nullptr);
    return read_answer(rows);
  }
  const std::vector<std::uint32_t> now = types_now(std::exchange(prepared_, nullptr), stale);
  if (stale == Stale::perhaps && (now.empty() || now == before)) return answer;
  send_as_text(now, rows != nullptr);
  return read_answer(rows);
}

void Session::send(bool row_by_row) {
  const int count = static_cast<int>(params_.count());
  bool sent = false;
  if (prepared_ != nullptr) {
    sent = send_sized(params_.size(0), [&] {
      return PQsendQueryPrepared(native(), cache_.name_of(*prepared_).c_str(), count,
                                 params_.values(), params_.lengths(), params_.formats(),
                                 result_format(*prepared_));
    });
  } else {
    sent = send_sized(statement_.size() + params_.size(0), [&] {
      return PQsendQueryParams(native(), statement_.c_str(), count, params_.types(),
                               params_.values(), params_.lengths(), params_.formats(), 0);
    });
  }
  if (!sent) throw_unsent();
  tell_sent();
  if (row_by_row) PQsetSingleRowMode(native());
}

void Session::run_script(const Sql& sql, const ExecOptions& options) {
  const Verb verb(*this, QueryKind::script);
  begin(sql, options);
  tell_start();
  const Running running(*this);
  send_text();
  const Answer answer = read_answer(nullptr, Asked::script);
  require_success(answer.result.get(), answer.copied);
}

// Sends the text as it is: a script, a COPY.
void Session::send_text() {
  if (!send_sized(statement_.size(), [&] { return PQsendQuery(native(), statement_.c_str()); })) {
    throw_unsent();
  }
  tell_sent();
}

// Flushes and reads until PQgetResult() would not block; false when the deadline passed, or the
// bell rang, first. Also returns when the connection fails: then PQgetResult() says so. After the
// deadline it reads at most once, however much comes, and then what an encryption layer holds back,
// because the socket does not show that.
bool Session::await_result(Deadline deadline, int bell) noexcept {
  int unsent = PQflush(native());
  bool has_read = false;
  while (PQstatus(native()) == CONNECTION_OK && (unsent == 1 || PQisBusy(native()) != 0)) {
    if (has_read && deadline.passed() && held_back(native()) != HeldBack::something) return false;
    // Reads while there is something to write: else both sides might wait for each other.
    const short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;
    if (wait_and_read(events, deadline, bell) != Waited::ready) return false;
    has_read = true;
    unsent = PQflush(native());
  }
  return true;
}

// Waits until the socket is ready for `events`, then reads what there is; does not read when the
// bell rang or the deadline passed first. A failure shows in PQstatus().
Waited Session::wait_and_read(short events, Deadline deadline, int bell) noexcept {
  const HeldBack held = mid_answer_ ? held_back(native()) : HeldBack::nothing;
  if (held != HeldBack::something) {
    const Deadline look =
        held == HeldBack::unknown ? earlier(deadline, Deadline(kLookAgain)) : deadline;
    short seen = 0;
    const Waited waited = wait_for(PQsocket(native()), events, bell, look, seen);
    if (waited == Waited::woken) return waited;
    if (waited == Waited::timed_out && deadline.passed()) return waited;
  }
  PQconsumeInput(native());
  mid_answer_ = true;
  return Waited::ready;
}

// The next result of what was sent, within the limits. Null at its end, and always after the end of
// the session, so that every reader stops. A COPY where none may be ends the session, too, since
// libpq would report it again and again.
ResultPtr Session::next_result(bool may_copy) noexcept {
  if (!has(Flag::broken)) await_answer();
  if (has(Flag::broken)) return nullptr;
  ResultPtr result(PQgetResult(native()));
  if (result == nullptr) return nullptr;
  note_end_of_session(result.get());
  if (may_copy || !is_copy(result.get())) return result;
  not_asked_for("a COPY");
  return nullptr;
}

// The server and we do not agree on where we are, so nothing that comes could be believed.
void Session::not_asked_for(std::string_view what) noexcept {
  try {
    set_broken("the server has sent " + std::string(what) + " that nobody asked for");
  } catch (const std::bad_alloc&) {
    set_broken(what);
  }
}

// Ends a COPY that exec() was given by mistake: throws away what the server sends, and refuses what
// it waits for.
void Session::end_copy(int status) {
  if (status == PGRES_COPY_OUT) {
    while (PQstatus(native()) == CONNECTION_OK && !has(Flag::broken)) {
      char* data = nullptr;
      const int size = PQgetCopyData(native(), &data, 1);
      if (size < 0) return;
      PQfreemem(data);
      if (size == 0) await_socket(POLLIN);
    }
  } else if (status == PGRES_COPY_IN) {
    int ended = 0;
    while (ended == 0 && !has(Flag::broken)) {
      ended = PQputCopyEnd(native(), "refused by the client: exec() cannot COPY");
      if (ended == 0) await_socket(POLLIN | POLLOUT);
      if (PQflush(native()) < 0) return;
    }
    if (ended < 0) set_broken(last_words(native()));
  } else {
    set_broken("the session went over to streaming replication");
  }
}

// A session may end right after a statement that has succeeded. Flag::broken is then no error of
// this statement; the next one will report it.
void Session::require_success(const PGresult* result, bool copied) {
  const bool lost = PQstatus(native()) != CONNECTION_OK;
  if (lost) set_broken(last_words(native()));
  if (lost || result == nullptr || (is_error(result) && !copied)) throw_error(result);
  if (copied) throw_usage("COPY is not for exec()");
}

void Session::throw_error(const PGresult* result) {
  QueryReport report;
  if (result != nullptr && is_error(result)) report = report_of(result);
  if (report.message.empty()) {
    // An error of libpq's own has a text, but no fields.
    const std::string_view text = PQresultErrorMessage(result);
    report.message = text.substr(0, text.find('\n'));
    if (report.message.empty() && PQstatus(native()) == CONNECTION_OK) {
      report.message = broken_reason();  // libpq knows nothing of it
    }
    if (report.message.empty()) report.message = last_words(native());
  }
  throw_error(std::move(report));
}

void Session::throw_error(QueryReport report) {
  const bool canceled = report.sqlstate == "57014";
  if (limits_.has_struck() && (canceled || limits_.given_up()))
    throw_ended(limits_.struck(), std::move(report));
  if (has(Flag::broken)) {
    report.outcome_unknown = true;
    throw_lost(std::move(report));
  }
  if (canceled && target().asked()) throw_ended(Limit::none, std::move(report));
  report.statement = without_edition(statement_);
  tell_failure(Errc::query, &report);
  throw QueryError(std::move(report), where_);
}

void Session::throw_broken() {
  QueryReport report{.message = "the connection was already broken, nothing was sent: "};
  std::string_view reason = broken_reason();
  if (broken_ != nullptr && !broken_->sqlstate.empty()) {
    report.severity = "FATAL";
    report.sqlstate = broken_->sqlstate;
    reason.remove_prefix(report.sqlstate.size() + 2);
  }
  report.message += reason;
  throw_lost(std::move(report));
}

void Session::add_last_words(QueryReport& report) const {
  if (!report.sqlstate.empty() || broken_ == nullptr || broken_->sqlstate.empty()) return;
  report.severity = "FATAL";
  report.sqlstate = broken_->sqlstate;
  report.message = broken_->reason.substr(report.sqlstate.size() + 2);  // "57P01: "
}

// The server's last words are the cause, even where libpq has others: the server may have said them
// before anything was asked.
void Session::throw_lost(QueryReport report) {
  add_last_words(report);
  report.statement = without_edition(statement_);
  tell_failure(Errc::connection_lost, &report);
  throw ConnectionLost(std::move(report), where_);
}

// libpq refused to send: the connection is gone, perhaps because the statement was given up in the
// middle of sending, or it is busy with what native_handle() started.
void Session::throw_unsent() {
  if (limits_.given_up()) throw_ended(limits_.struck(), {});
  if (PQstatus(native()) != CONNECTION_OK) {
    set_broken(last_words(native()));
    throw_lost({.message = std::string(last_words(native())), .outcome_unknown = true});
  }
  throw_usage(last_words(native()));
}

void Session::throw_usage(std::string_view why) const {
  tell_failure(Errc::usage);
  pq::throw_usage(std::string(why), where_);
}

PingResult Session::ping(Deadline deadline, const std::stop_token& stop) noexcept {
  if (inherited()) return PingResult::dead;
  if (verb_ != nullptr) return PingResult::pending;
  const Verb verb(*this);
  mark_use();
  StopBell rings;
  if (stop.stop_possible() && limits_.open_bell() >= 0) {
    rings.emplace(stop, RingBell{limits_.open_bell()});
  };
  const PingResult result =
      ping_until(deadline, rings ? limits_.open_bell() : detail::Fiber::interrupt_only());
  rings.reset();
  if (stop.stop_requested()) limits_.silence_bell();
  return result;
}

PingResult Session::ping_until(Deadline deadline, int bell) noexcept {
  if (has(Flag::broken)) return PingResult::dead;
  const NonBlocking mode(native());
  if (!has(Flag::pinging)) {
    set(Flag::touched);
    if (PQsendQuery(native(), "") == 0) {
      // A connection that is busy with what native_handle() started is not dead.
      if (PQstatus(native()) == CONNECTION_OK) return PingResult::pending;
      set_broken(last_words(native()));
      return PingResult::dead;
    }
    set(Flag::pinging);
    mid_answer_ = false;
  }
  // Owed: one answer, and an error if a late cancel strikes it; after native_handle() any number.
  const int owed = has(Flag::native) ? std::numeric_limits<int>::max() : 2;
  for (int results = 0; !has(Flag::broken); ++results) {
    if (!await_result(deadline, bell)) return PingResult::pending;
    const ResultPtr result(PQgetResult(native()));
    if (!result) break;
    note_end_of_session(result.get());
    if (is_copy(result.get()) || results == owed) not_asked_for("an answer");
  }
  clear(Flag::pinging);
  if (PQstatus(native()) != CONNECTION_OK) set_broken(last_words(native()));
  return has(Flag::broken) ? PingResult::dead : PingResult::alive;
}

}  // namespace tidegate::pq
