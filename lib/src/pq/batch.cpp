#include <tidegate/pq/batch.hpp>

#include <libpq-fe.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/connection.hpp>

#include "pq/editions.hpp"
#include "pq/pipeline.hpp"
#include "pq/plain_sql.hpp"
#include "pq/session.hpp"
#include "pq/sql_text.hpp"
#include "pq/throw_usage.hpp"
#include "pq/types/packed_values.hpp"

namespace tidegate {
namespace {

// The protocol counts parameters in two bytes.
constexpr std::size_t kMostParameters = 65535;
// A batch is flushed in pieces of that size, so that what libpq holds back stays small, and the
// answers to one piece are read before the next is sent.
constexpr std::size_t kPiece = std::size_t{64} * 1024;

// Whether a statement of that command tag is undone when a later one of the batch fails. True only
// where that is certain: COMMIT ends the transaction, DO and CALL may end it, and CREATE DATABASE
// or VACUUM, as a batch's first statement, take effect at once.
bool is_undone_with_the_rest(std::string_view tag) noexcept {
  const std::string_view command = tag.substr(0, tag.find(' '));
  return command.empty() || command == "SELECT" || command == "INSERT" || command == "UPDATE" ||
         command == "DELETE" || command == "MERGE" || command == "SET" || command == "SHOW";
}

}  // namespace

// ---- Batch -------------------------------------------------------------------------------------

Params& Batch::start(const Sql& sql) {
  if (sql.text().find('\0') != std::string_view::npos) {
    pq::throw_usage("the statement holds a NUL byte", sql.where());
  }
  if (pq::is_copy_statement(sql.text())) {
    pq::throw_usage("COPY cannot be part of a batch; copy_in() and copy_out() do it", sql.where());
  }
  params_.begin_another(values_, sql.where());
  return params_;
}

Batch& Batch::add_started(const Sql& sql) {
  if (params_.count() - values_ > kMostParameters) {
    pq::throw_usage("a statement has " + std::to_string(params_.count() - values_) +
                        " parameters, 65535 at most",
                    sql.where());
  }
  const std::string_view before =
      statements_.empty() ? std::string_view() : texts_.c_str() + statements_.back().text;
  Statement added{.text = texts_.size(), .first = values_, .where = sql.where()};
  if (!statements_.empty() && before == sql.text()) {
    added.text = statements_.back().text;
  } else {
    texts_.reserve(texts_.size() + sql.text().size() + 1);
    texts_.append(sql.text()).push_back('\0');
  }
  statements_.push_back(added);
  values_ = params_.count();
  return *this;
}

void Batch::clear() noexcept {
  statements_.clear();
  texts_.clear();
  params_.clear({});
  values_ = 0;
}

// ---- BatchResults ------------------------------------------------------------------------------

const BatchResults::Item& BatchResults::item(std::size_t statement) const {
  if (statement < items_.size()) return items_[statement];
  throw UsageError("there is no statement " + std::to_string(statement) + ": the batch has " +
                   std::to_string(items_.size()) + ", counted from 0");
}

const Rows& BatchResults::operator[](std::size_t statement) const {
  const Item& asked = item(statement);
  if (asked.error != nullptr) throw QueryError(*asked.error);
  return asked.rows;
}

const QueryError* BatchResults::error(std::size_t statement) const {
  return item(statement).error.get();
}

void BatchResults::raise() const {
  if (failed_) throw QueryError(*items_[*failed_].error);
}

// ---- run() -------------------------------------------------------------------------------------

namespace pq {

struct BatchStore {
  ValueStore values{};
};

class BatchRun {
 public:
  // `by_name`: statements that the session has prepared are sent by their name.
  BatchRun(Session& session, const Batch& batch, bool by_name);
  BatchResults run();
  // True when the batch failed without any effect because the server no longer holds a prepared
  // statement as it was. Asks the server where the error alone does not say so, so `options` bound
  // it. Needs: run() has ended.
  bool is_to_be_repeated(const ExecOptions& options);
  // The batch is not repeated: the session does not use a statement that may be stale any more.
  void forget_stale();

  // Prepares texts that the batch has several times in a row, so that the server parses and plans
  // them once in the connection's life and not once in every batch.
  static void prepare(Session& session, const Batch& batch, const ExecOptions& options);

 private:
  bool repeats_text(std::size_t i) const {
    return batch_.statements_[i].text == batch_.statements_[i - 1].text;
  }
  // The text as it is sent.
  const char* text(std::size_t i) const {
    const std::size_t at = batch_.statements_[i].text;
    if (!editions_.empty()) {
      const auto edition = editions_.find(at);
      if (edition != editions_.end()) return edition->second.c_str();
    }
    return batch_.texts_.data() + at;
  }
  void take_editions();
  std::size_t end_of_values(std::size_t i) const {
    return i + 1 < batch_.size() ? batch_.statements_[i + 1].first : batch_.values_;
  }
  const Prepared* trusted(const char* text);
  // The size of its values, and of its text where that has to be sent.
  std::size_t bytes(std::size_t i) {
    const std::size_t values = batch_.params_.size(batch_.statements_[i].first, end_of_values(i));
    return prepared_[i] != nullptr || repeats(i) ? values : values + std::strlen(text(i));
  }
  bool is_plain(std::size_t i);
  bool send(std::size_t i, std::size_t size);
  bool repeats(std::size_t i);
  void take(ResultPtr result);
  void fail(std::size_t i, QueryReport report);
  QueryReport aborted(std::size_t i) const;
  void throw_if_ended(std::size_t i, const PGresult* error);
  void require_connection(const PGresult* result);

  Session& session_;
  const Batch& batch_;
  std::unordered_map<std::size_t, std::string> editions_{};  // of the texts, by where they start
  std::vector<const char*> values_{};
  std::vector<const Prepared*> prepared_{};  // of each statement; null: it goes without a name
  std::size_t looked_at_ = 0;                // the statement whose text is_plain() saw last
  bool plain_ = false;                       // and the answer for it
  std::optional<std::size_t> stale_{};       // the statement whose prepared form is stale
  Stale how_stale_ = Stale::no;
  bool has_begun_ = false;    // a statement has begun a transaction
  bool took_effect_ = false;  // a statement may have taken effect, for good
  BatchResults results_{};
  const pg_result* columns_ = nullptr;  // of the last statement whose result was not packed
  std::size_t answered_ = 0;
};

BatchRun::BatchRun(Session& session, const Batch& batch, bool by_name)
    : session_(session), batch_(batch), prepared_(batch.size()) {
  values_.reserve(batch.values_);
  for (std::size_t i = 0; i < batch.values_; ++i) values_.push_back(batch.params_.value(i));
  results_.items_.resize(batch.size());
  results_.store_ = std::make_shared<BatchStore>();
  if (session.shares_names_) take_editions();
  plain_ = !batch.empty() && pq::is_plain(text(0));
  if (!by_name || session.cache_.size() == 0) return;
  const Prepared* same = nullptr;
  std::size_t plain = 0;  // that many at the front are known to be plain
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (i == 0 || !repeats_text(i)) same = trusted(text(i));
    if (same == nullptr) continue;
    // A prepared statement means what its text meant before the batch: all before it must be plain.
    while (plain < i && is_plain(plain)) ++plain;
    if (plain < i) return;
    const std::size_t first = batch.statements_[i].first;
    const auto count = end_of_values(i) - first;
    if (same->takes(std::span(batch.params_.types() + first, count))) prepared_[i] = same;
  }
}

void BatchRun::take_editions() {
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (i > 0 && repeats_text(i)) continue;
    std::string edition(text(i));
    const std::size_t size = edition.size();
    append_edition(edition);
    if (edition.size() != size) editions_[batch_.statements_[i].text] = std::move(edition);
  }
}

// The prepared statement of that text, if it means what the text means now.
const Prepared* BatchRun::trusted(const char* text) {
  const Prepared* const found = session_.cache_.find(text);
  const bool trusted =
      found != nullptr && session_.cache_.trust(found) == StatementCache::Trust::yes;
  return trusted ? found : nullptr;
}

bool BatchRun::is_plain(std::size_t i) {
  if (prepared_[i] != nullptr) return prepared_[i]->is_plain();
  if (batch_.statements_[i].text != batch_.statements_[looked_at_].text) {
    plain_ = pq::is_plain(text(i));
    looked_at_ = i;
  }
  return plain_;
}

void BatchRun::prepare(Session& session, const Batch& batch, const ExecOptions& options) {
  constexpr std::size_t kMost = 8;  // each costs a round trip, once
  std::string edited;               // what is sent for a text where a pooler shares statements
  std::size_t prepared = 0;
  std::size_t plain = 0;  // that many at the front are known to be plain
  const auto text_of = [&batch](std::size_t i) {
    return batch.texts_.data() + batch.statements_[i].text;
  };
  for (std::size_t i = 1; i < batch.size() && prepared < kMost; ++i) {
    const Batch::Statement& statement = batch.statements_[i];
    if (statement.text != batch.statements_[i - 1].text) continue;
    const char* const text = text_of(i);
    std::string_view sent = text;
    if (session.shares_names_) {
      edited = text;
      append_edition(edited);
      sent = edited;
    }
    const Prepared* const known = session.cache_.find(sent);
    if (known != nullptr && session.cache_.trust(known) == StatementCache::Trust::yes) continue;
    // Only behind plain statements the text means in the batch what it means before the batch.
    while (plain < i && pq::is_plain(text_of(plain))) ++plain;
    if (plain < i) return;
    session.start(Sql(text, statement.where), options);
    if (session.prepared_ != nullptr) continue;
    const Session::Running running(session);
    if (!session.is_cached(options) || PQtransactionStatus(session.native()) != PQTRANS_IDLE)
      return;
    try {
      // A statement in doubt makes way: no text is in the cache twice.
      const Prepared* const doubted = session.cache_.find(sent);
      if (doubted != nullptr && !session.shares_names_) session.cache_.drop(doubted);
      session.prepare();
      ++prepared;
    } catch (const QueryError& error) {
      if (error.code() != Errc::query) throw;
      return;  // the batch itself will tell which of its statements failed
    }
  }
}

BatchResults BatchRun::run() {
  Pipeline pipeline(session_);
  session_.tell_sent();
  const auto take_one = [&] {
    ResultPtr result = pipeline.next();
    result != nullptr ? take(std::move(result)) : static_cast<void>(++answered_);
  };
  std::size_t unflushed = 0;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const std::size_t size = bytes(i);
    // Nothing is read while that is sent, so the server must have nothing to send meanwhile.
    if (session_.sends_beside(size) && pipeline.owed() > 0) {
      if (PQsendFlushRequest(session_.native()) == 0) session_.throw_unsent();
      while (pipeline.owed() > 0) {
        take_one();
        require_connection(nullptr);
      }
    }
    pipeline.sent(send(i, size));
    unflushed += size + 64;
    if (unflushed < kPiece) continue;
    unflushed = 0;
    session_.await_sent();
    while (pipeline.ready()) take_one();
    require_connection(nullptr);
  }
  pipeline.sync();
  while (pipeline.owed() > 0) {
    take_one();
    require_connection(nullptr);
  }
  // The sync ends the transaction, and that may fail.
  if (const ResultPtr end = pipeline.next()) {
    require_connection(end.get());
    throw_if_ended(batch_.size() - 1, end.get());
    fail(batch_.size() - 1, report_of(end.get()));
    pipeline.next();
  }
  if (!pipeline.synced()) require_connection(nullptr);  // nobody knows how the transaction ended
  if (session_.is_left_inside() && !has_begun_) {
    session_.left_inside();
    require_connection(nullptr);
  }
  // Not earlier: statements that were still to be sent used that name.
  if (stale_ && how_stale_ != Stale::perhaps) {
    session_.forget(prepared_[*stale_], how_stale_);
  }
  return std::move(results_);
}

bool BatchRun::is_to_be_repeated(const ExecOptions& options) {
  if (!stale_) return false;
  if (took_effect_) {
    forget_stale();
    return false;
  }
  if (how_stale_ != Stale::perhaps) return true;
  const auto params = prepared_[*stale_]->params();
  const std::vector<std::uint32_t> before(params.begin(), params.end());
  session_.begin(Sql(text(*stale_), batch_.statements_[*stale_].where), options);
  session_.params_.clear({});
  const Session::Running running(session_);
  const auto now = session_.types_now(prepared_[*stale_], how_stale_);
  return !now.empty() && now != before;
}

void BatchRun::forget_stale() {
  if (!stale_ || how_stale_ != Stale::perhaps || prepared_[*stale_] == nullptr) return;
  session_.forget(std::exchange(prepared_[*stale_], nullptr), how_stale_);
  stale_.reset();
}

// Whether the server has just parsed the same text for the same types as its unnamed statement, and
// running it has not given the text another meaning.
bool BatchRun::repeats(std::size_t i) {
  if (i == 0 || !repeats_text(i) || prepared_[i - 1] != nullptr || !is_plain(i - 1)) return false;
  const std::size_t before = batch_.statements_[i - 1].first;
  const std::size_t first = batch_.statements_[i].first;
  const std::uint32_t* types = batch_.params_.types();
  return end_of_values(i) - first == first - before &&
         std::equal(types + before, types + first, types + first);
}

bool BatchRun::send(std::size_t i, std::size_t size) {
  const Params& params = batch_.params_;
  const std::size_t first = batch_.statements_[i].first;
  const int count = static_cast<int>(end_of_values(i) - first);
  const char* const* values = values_.data() + first;
  const int* lengths = params.lengths() + first;
  const int* formats = params.formats() + first;
  PGconn* connection = session_.native();
  return session_.send_sized(size, [&] {
    if (const Prepared* by_name = prepared_[i]) {
      return PQsendQueryPrepared(connection, session_.cache_.name_of(*by_name).c_str(), count,
                                 values, lengths, formats, session_.result_format(*by_name));
    }
    if (repeats(i)) return PQsendQueryPrepared(connection, "", count, values, lengths, formats, 0);
    return PQsendQueryParams(connection, text(i), count, params.types() + first, values, lengths,
                             formats, 0);
  });
}

void BatchRun::take(ResultPtr result) {
  const ExecStatusType status = PQresultStatus(result.get());
  const std::size_t i = answered_;
  if (status == PGRES_PIPELINE_ABORTED) return fail(i, aborted(i));
  if (is_error(result.get())) {
    require_connection(result.get());
    throw_if_ended(i, result.get());
    how_stale_ = session_.staleness(prepared_[i], result.get());
    if (how_stale_ != Stale::no) stale_ = i;
    if (prepared_[i] == nullptr && session_.is_of_another_text(result.get(), text(i))) {
      next_edition(without_edition(text(i)));
    }
    return fail(i, report_of(result.get()));
  }
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
    session_.not_asked_for("a part of an answer");
    require_connection(nullptr);
  }
  session_.note_command(result.get(), text(i), prepared_[i]);
  if (session_.observed_) [[unlikely]]
    session_.observed()->answered(result.get());
  if (session_.cache_.size() == 0) std::fill(prepared_.begin(), prepared_.end(), nullptr);
  has_begun_ = has_begun_ || begins_transaction(result.get());
  took_effect_ = took_effect_ || !is_undone_with_the_rest(PQcmdStatus(result.get()));
  auto kept = std::make_unique<Result>();
  // A repeated statement has the columns of the one before.
  const bool repeated = columns_ != nullptr && repeats_text(i);
  if (repeated) kept->packed = pack(*result, *columns_, results_.store_->values);
  if (kept->packed == nullptr) {
    columns_ = result.get();
    kept->native = std::move(result);
  }
  kept->statement = without_edition(text(i));
  kept->where = batch_.statements_[i].where;
  results_.items_[i].rows = Rows(std::move(kept));
}

void BatchRun::fail(std::size_t i, QueryReport report) {
  report.statement = without_edition(text(i));
  BatchResults::Item& item = results_.items_[i];
  item.rows = Rows();
  item.error = std::make_unique<const QueryError>(std::move(report), batch_.statements_[i].where);
  if (!results_.failed_) results_.failed_ = i;
}

QueryReport BatchRun::aborted(std::size_t i) const {
  const std::size_t cause = results_.failed_.value_or(i);
  QueryReport report{.message = "aborted because statement " + std::to_string(cause) +
                                " of the batch (counted from 0) failed"};
  if (cause < i) report.detail = results_.items_[cause].error->message();
  return report;
}

// A limit, or cancel(), ends the whole batch, not one statement of it.
void BatchRun::throw_if_ended(std::size_t i, const PGresult* error) {
  if (!session_.limits_.has_struck() && !session_.target().asked()) return;
  session_.statement_ = text(i);
  if (report_of(error).sqlstate == "57014") session_.throw_error(error);
}

void BatchRun::require_connection(const PGresult* result) {
  if (PQstatus(session_.native()) == CONNECTION_OK && !session_.has(Session::Flag::broken)) return;
  session_.set_broken(last_words(session_.native()));
  // The error of the failed statement says more than the loss that came after it.
  if (results_.failed_) {
    session_.statement_ = text(*results_.failed_);
    session_.throw_error(results_.items_[*results_.failed_].error->report());
  }
  session_.statement_ = text(std::min(answered_, batch_.size() - 1));
  session_.throw_error(result);
}

}  // namespace pq

BatchResults Connection::run(const Batch& batch, const ExecOptions& options, Location where) {
  pq::Session& session = free_session(where);
  if (batch.empty()) return {};
  const pq::Verb verb(session, QueryKind::batch);
  const Sql first(batch.texts_.c_str(), where);
  pq::ObservedQuery* const observed = session.observed_ ? session.observed() : nullptr;
  if (observed != nullptr) session.observe_begin(first, batch.size());
  if (options.prepared) pq::BatchRun::prepare(session, batch, options);
  session.begin(first, options);
  session.tell_start(&batch.params_);
  if (session.forgets_) {  // begin() has looked at the first statement
    for (std::size_t i = 1; i < batch.size(); ++i) {
      const std::size_t text = batch.statements_[i].text;
      if (text != batch.statements_[i - 1].text) {
        session.warn_of_lost_state(batch.texts_.c_str() + text);
      }
    }
  }
  const bool repeatable = PQtransactionStatus(session.native()) == PQTRANS_IDLE;
  const auto tell_failure = [observed](const BatchResults& results) {
    if (observed == nullptr || !results.failed()) return;
    observed->fail(Errc::query, &results.error(*results.failed())->report(), true);
  };
  pq::BatchRun by_name(session, batch, options.prepared);
  BatchResults results = by_name.run();
  tell_failure(results);
  if (!repeatable) {
    by_name.forget_stale();
    return results;
  }
  try {
    if (!by_name.is_to_be_repeated(options)) return results;
    session.begin(first, options);
  } catch (const QueryError&) {
    tell_failure(results);
    return results;  // a limit or a loss came after the batch had ended: its results stand
  }
  if (observed != nullptr) observed->again();
  results = pq::BatchRun(session, batch, false).run();
  tell_failure(results);
  return results;
}

}  // namespace tidegate
