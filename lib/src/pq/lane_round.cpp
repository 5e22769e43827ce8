#include "pq/lane_round.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <tidegate/pq/errors.hpp>

#include "pq/throw_usage.hpp"

namespace tidegate::pq {
namespace {

// More than that is sent on a connection of its own: while it is sent, nobody reads.
constexpr std::size_t kLargest = std::size_t{64} * 1024;
constexpr std::size_t kMostParameters = 1000;

// libpq sends at each Sync; from 17 on it can wait for more.
bool send_sync(PGconn* connection) noexcept {
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
  return PQsendPipelineSync(connection) == 1;
#else
  return PQpipelineSync(connection) == 1;
#endif
}

bool is_canceled(const PGresult* result) noexcept {
  if (!is_error(result)) return false;
  const char* const code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return code != nullptr && std::string_view(code) == "57014";
}

}  // namespace

void LaneStatement::begin(const Sql& sql, const ExecOptions& options) {
  if (sql.text().find('\0') != std::string_view::npos) {
    throw_usage("the statement holds a NUL byte", sql.where());
  }
  text = sql.text();
  where = sql.where();
  params.clear(where);
  params.begin_another(0, where);
  prepared = options.prepared;
  format = options.format;
  by_name = nullptr;
  without_name = false;
  answer.reset();
}

bool LaneStatement::fits() const noexcept {
  return params.count() <= kMostParameters && text.size() + params.size(0) <= kLargest;
}

LaneAnswer LaneStatement::take() noexcept {
  return {.text = std::move(text), .where = where, .result = std::move(answer)};
}

void LaneStatement::end() noexcept {
  text = {};
  params.clear({});
}

bool LaneStatement::has_failed() const noexcept {
  if (answer == nullptr || !is_error(answer.get())) return false;
  const char* const severity = PQresultErrorField(answer.get(), PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity != nullptr && std::string_view(severity) == "ERROR";
}

bool LaneAnswer::is_canceled() const noexcept { return pq::is_canceled(result.get()); }

Rows LaneAnswer::rows() && {
  if (is_error(result.get())) {
    QueryReport report = report_of(result.get());
    report.statement = std::move(text);
    throw QueryError(std::move(report), where);
  }
  auto kept = std::make_unique<Result>();
  kept->native = std::move(result);
  kept->statement = std::move(text);
  kept->where = where;
  return Rows(std::move(kept));
}

void LaneAnswer::throw_canceled() && {
  QueryReport report = report_of(result.get());
  report.message = "the statement was canceled by another thread: by a pool that closes";
  report.statement = std::move(text);
  throw QueryCanceled(std::move(report), where);
}

std::size_t LaneStatement::answer_bytes() const noexcept {
  return PQresultMemorySize(answer.get());
}

LaneRound::LaneRound(Session& session, Location where) : session_(session), verb_(session) {
  session_.begin(Sql("", where), {});
}

LaneRound::~LaneRound() {
  if (owed_ > 0) session_.set_broken("a lane left it while statements were under way");
  if (!running_) return;
  PGconn* const connection = session_.native();
  if (session_.is_left_inside()) session_.left_inside();
  if (PQpipelineStatus(connection) != PQ_PIPELINE_OFF && PQexitPipelineMode(connection) == 0) {
    session_.set_broken(last_words(connection));
  }
  forget_stale();
  session_.cache_.forget_evicted();
}

void LaneRound::begin_sending(const LaneStatement& first, std::size_t count) {
  session_.statement_ = first.text;
  session_.cache_.evicted();  // from here on it is there
  running_.emplace(session_);
  session_.shared_->mirror.begin(first.text, count);
  if (!session_.enter_pipeline_mode()) session_.throw_unsent();
}

// Null: there is none that can be trusted. One that cannot is forgotten at the end of the round.
const Prepared* LaneRound::named(const LaneStatement& statement) {
  if (!statement.prepared || statement.without_name) return nullptr;
  const Prepared* const known = session_.cache_.find(statement.text);
  if (known == nullptr || !known->takes(statement.params)) return nullptr;
  if (session_.cache_.trust(known) == StatementCache::Trust::yes) return known;
  if (stale_ == nullptr) {
    stale_ = known;
    how_stale_ = Stale::changed;
  }
  return nullptr;
}

// Only while there is room: what makes room would be what others of the round go by.
bool LaneRound::is_to_be_prepared(const LaneStatement& statement) const noexcept {
  StatementCache& cache = session_.cache_;
  if (!statement.prepared || statement.without_name || prepares_ == kMostPrepares) return false;
  if (cache.size() + prepares_ >= cache.capacity()) return false;
  const auto end = preparing_.begin() + prepares_;
  return Session::is_short_enough_to_prepare(statement.text) &&
         std::find(preparing_.begin(), end, statement.text) == end &&
         cache.find(statement.text) == nullptr;
}

bool LaneRound::send(LaneStatement& statement) {
  PGconn* const connection = session_.native();
  Params& params = statement.params;
  params.seal();
  statement.number = 0;
  statement.deallocates = false;
  statement.failed_at = 0;
  statement.described.reset();
  statement.by_name = named(statement);
  std::string deallocation;
  if (statement.by_name == nullptr && is_to_be_prepared(statement)) {
    std::vector<std::string>& evicted = session_.cache_.evicted();
    statement.deallocates = !evicted.empty();
    if (statement.deallocates) deallocation = Session::deallocation_of(evicted.back());
    statement.number = session_.cache_.next_number();
  }
  const int count = static_cast<int>(params.count());
  bool sent = false;
  if (statement.by_name != nullptr) {
    session_.options_.format = statement.format;
    sent = PQsendQueryPrepared(connection, session_.cache_.name_of(*statement.by_name).c_str(),
                               count, params.values(), params.lengths(), params.formats(),
                               session_.result_format(*statement.by_name)) == 1;
  } else if (statement.number != 0) {
    sent = send_prepare(statement, deallocation);
  } else {
    sent = PQsendQueryParams(connection, statement.text.c_str(), count, params.types(),
                             params.values(), params.lengths(), params.formats(), 0) == 1;
  }
  if (!sent || !send_sync(connection)) {
    session_.set_broken(last_words(connection));
    return false;
  }
  ++owed_;
  return true;
}

// The statement's part is then: what the server is to forget, Parse, Describe, and the statement.
bool LaneRound::send_prepare(LaneStatement& statement, const std::string& deallocation) {
  PGconn* const connection = session_.native();
  const Params& params = statement.params;
  const auto name = session_.cache_.name(statement.number);
  const std::vector<std::uint32_t> declared = Session::declared_types(params);
  preparing_[prepares_++] = statement.text;
  if (statement.deallocates) {
    session_.cache_.evicted().pop_back();
    if (!Session::send_deallocation(connection, deallocation)) return false;
  }
  const int count = static_cast<int>(params.count());
  return PQsendPrepare(connection, name.c_str(), statement.text.c_str(), count, declared.data()) ==
             1 &&
         PQsendDescribePrepared(connection, name.c_str()) == 1 &&
         PQsendQueryPrepared(connection, name.c_str(), count, params.values(), params.lengths(),
                             params.formats(), 0) == 1;
}

void LaneRound::flush() noexcept { PQflush(session_.native()); }

bool LaneRound::lost() noexcept {
  PGconn* const connection = session_.native();
  if (PQstatus(connection) != CONNECTION_OK) session_.set_broken(last_words(connection));
  return session_.has(Session::Flag::broken);
}

// Each statement's results end with the one of its Sync. libpq puts a null behind the results of a
// command; several in a row mean that it owes nothing, and does not agree with us on where we are.
LaneRound::Next LaneRound::next(LaneStatement& statement) noexcept {
  PGconn* const connection = session_.native();
  for (;;) {
    if (lost()) return Next::lost;
    if (PQisBusy(connection) != 0) return Next::waiting;
    ResultPtr result(PQgetResult(connection));
    if (result == nullptr) {
      commands_ += nulls_ == 0 ? 1 : 0;
      if (++nulls_ <= 3) continue;
      session_.not_asked_for("the end of a pipeline");
      return Next::lost;
    }
    nulls_ = 0;
    session_.note_end_of_session(result.get());
    if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
      nulls_ = 1;
      commands_ = 0;
      if (statement.number != 0) note_prepared(statement);
      if (statement.answer == nullptr) {
        session_.not_asked_for("a Sync");
        return Next::lost;
      }
      --owed_;
      if (!is_error(statement.answer.get())) {
        session_.note_command(statement.answer.get(), statement.text, statement.by_name);
      }
      return Next::answered;
    }
    if (is_copy(result.get())) {
      session_.not_asked_for("a COPY");
      return Next::lost;
    }
    keep(statement, std::move(result));
  }
}

// A result of the command under way.
void LaneRound::keep(LaneStatement& statement, ResultPtr result) noexcept {
  const bool failed = statement.answer != nullptr && is_error(statement.answer.get());
  if (failed || PQresultStatus(result.get()) == PGRES_PIPELINE_ABORTED) return;
  const int own = statement.number == 0 ? 0 : statement.deallocates ? 3 : 2;
  if (is_error(result.get())) {
    statement.failed_at = commands_;
    statement.answer = std::move(result);
  } else if (commands_ >= own) {
    statement.answer = std::move(result);
  } else if (commands_ == own - 1) {
    statement.described = std::move(result);
  }
}

// The server has the statement if it has described it; if it has failed to do so, it may have it.
void LaneRound::note_prepared(LaneStatement& statement) noexcept {
  const bool has_parsed =
      statement.described != nullptr || statement.failed_at == (statement.deallocates ? 2 : 1);
  try {
    if (statement.described != nullptr) {
      session_.add_described(statement.number, statement.text,
                             Session::declared_types(statement.params), statement.described.get());
      return;
    }
    if (!has_parsed) return;
    session_.cache_.evicted().emplace_back(session_.cache_.name(statement.number));
  } catch (const std::bad_alloc&) {
    // The server keeps a statement that nobody uses, until the session ends.
  }
}

Waited LaneRound::wait(Deadline deadline, int bell) noexcept {
  const int unsent = PQflush(session_.native());
  // Reads while there is something to write: else both sides might wait for each other.
  const short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;
  return session_.wait_and_read(events, deadline, bell);
}

QueryReport LaneRound::loss(const LaneStatement& statement) const {
  QueryReport report;
  if (statement.answer != nullptr && is_error(statement.answer.get())) {
    report = report_of(statement.answer.get());
  } else {
    report.message = session_.broken_reason();
    session_.add_last_words(report);
  }
  report.outcome_unknown = true;
  return report;
}

bool LaneRound::is_stale(LaneStatement& statement) noexcept {
  if (statement.number != 0 && statement.deallocates && statement.failed_at == 0 &&
      is_error(statement.answer.get())) {
    statement.without_name = true;  // what it was to make the server forget was gone already
    statement.answer.reset();
    return true;
  }
  const Stale how = session_.staleness(statement.by_name, statement.answer.get());
  if (how == Stale::no || statement.without_name) return false;
  // Not earlier than at the end: statements that are under way have that name.
  if (stale_ == nullptr) {
    stale_ = statement.by_name;
    how_stale_ = how;
  }
  statement.without_name = true;
  statement.by_name = nullptr;
  statement.answer.reset();
  return true;
}

void LaneRound::forget_stale() noexcept {
  if (stale_ == nullptr || session_.has(Session::Flag::broken)) return;
  try {
    session_.forget(stale_, how_stale_);
  } catch (const std::bad_alloc&) {
    session_.set_broken("out of memory");  // else it would go on using the name
  }
}

// statement_timeout ends a statement with the same code, and other words; in other languages than
// English nobody can tell.
bool LaneRound::is_struck(const LaneStatement& statement) const noexcept {
  if (!session_.target().asked() || !is_canceled(statement.answer.get())) return false;
  const char* const text = PQresultErrorField(statement.answer.get(), PG_DIAG_MESSAGE_PRIMARY);
  return text == nullptr ||
         std::string_view(text) != "canceling statement due to statement timeout";
}

}  // namespace tidegate::pq
