#include "pq/lane_round.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <tidegate/pq/errors.hpp>

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

QueryReport LaneStatement::loss(std::string_view because) const {
  QueryReport report;
  if (is_error(answer.get())) {
    report = report_of(answer.get());
  } else {
    report.message = because;
  }
  report.outcome_unknown = true;
  return report;
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

LaneRound::LaneRound(Session& session, const ExecOptions& options, Location where)
    : session_(session), verb_(session), options_(options) {
  session_.begin(Sql("", where), options_);
  session_.limits_.disarm(options_);
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
}

bool LaneRound::prepare(const LaneStatement& statement) {
  if (!statement.prepared || statement.without_name) return false;
  const Prepared* const known = session_.cache_.find(statement.text);
  if (known != nullptr && session_.cache_.trust(known) == StatementCache::Trust::yes) {
    return false;
  }
  session_.start(Sql(statement.text, statement.where), options_);
  if (session_.prepared_ != nullptr || !session_.is_cached(session_.options_)) {
    session_.limits_.disarm(options_);
    return false;
  }
  const Session::Running running(session_);
  try {
    session_.prepare();
  } catch (const QueryError& error) {
    if (error.code() != Errc::query) throw;
    // The statement itself will tell what is wrong with it.
  }
  return true;
}

void LaneRound::begin_sending(const LaneStatement& first, std::size_t count) {
  session_.statement_ = first.text;
  running_.emplace(session_);
  session_.shared_->mirror.begin(first.text, count);
  if (!session_.enter_pipeline_mode()) session_.throw_unsent();
}

bool LaneRound::send(LaneStatement& statement) noexcept {
  PGconn* const connection = session_.native();
  Params& params = statement.params;
  params.seal();
  statement.by_name = nullptr;
  if (statement.prepared && !statement.without_name) {
    const Prepared* const known = session_.cache_.find(statement.text);
    const bool fits = known != nullptr && known->takes(params) &&
                      session_.cache_.trust(known) == StatementCache::Trust::yes;
    if (fits) statement.by_name = known;
  }
  const int count = static_cast<int>(params.count());
  int sent = 0;
  if (statement.by_name != nullptr) {
    session_.options_.format = statement.format;
    sent = PQsendQueryPrepared(connection, session_.cache_.name_of(*statement.by_name).c_str(),
                               count, params.values(), params.lengths(), params.formats(),
                               session_.result_format(*statement.by_name));
  } else {
    sent = PQsendQueryParams(connection, statement.text.c_str(), count, params.types(),
                             params.values(), params.lengths(), params.formats(), 0);
  }
  if (sent != 1 || !send_sync(connection)) {
    session_.set_broken(last_words(connection));
    return false;
  }
  ++owed_;
  return true;
}

void LaneRound::flush() noexcept { PQflush(session_.native()); }

bool LaneRound::lost() noexcept {
  PGconn* const connection = session_.native();
  if (PQstatus(connection) != CONNECTION_OK) session_.set_broken(last_words(connection));
  return session_.has(Session::Flag::broken);
}

// Each statement's results end with the one of its Sync. libpq puts a null behind the results of a
// statement; two in a row mean that it owes nothing, and does not agree with us on where we are.
LaneRound::Next LaneRound::next(LaneStatement& statement) noexcept {
  PGconn* const connection = session_.native();
  for (;;) {
    if (lost()) return Next::lost;
    if (PQisBusy(connection) != 0) return Next::waiting;
    ResultPtr result(PQgetResult(connection));
    if (result == nullptr) {
      if (++nulls_ <= 2) continue;
      session_.not_asked_for("the end of a pipeline");
      return Next::lost;
    }
    nulls_ = 0;
    session_.note_end_of_session(result.get());
    if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
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
    const bool failed = statement.answer != nullptr && is_error(statement.answer.get());
    if (!failed) statement.answer = std::move(result);
  }
}

Waited LaneRound::wait(Deadline deadline, int bell) noexcept {
  const int unsent = PQflush(session_.native());
  // Reads while there is something to write: else both sides might wait for each other.
  const short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;
  return session_.wait_and_read(events, deadline, bell);
}

bool LaneRound::is_stale(LaneStatement& statement) noexcept {
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

bool LaneRound::is_struck(const LaneStatement& statement) const noexcept {
  return session_.target().asked() && is_canceled(statement.answer.get());
}

}  // namespace tidegate::pq
