#include "pq/observed_query.hpp"

#include <libpq-fe.h>

#include <charconv>
#include <cstring>
#include <utility>

#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/params.hpp>

#include "pq/result.hpp"

namespace tidegate {

QueryObserver::~QueryObserver() = default;
bool QueryObserver::wants_values() const noexcept { return false; }
void* QueryObserver::query_started(const QueryStarted&) { return nullptr; }
void QueryObserver::query_ended(void*, const QueryStarted&, const QueryEnded&) {}

std::string_view to_string(QueryKind kind) noexcept {
  switch (kind) {
    case QueryKind::none: return "none";
    case QueryKind::exec: return "exec";
    case QueryKind::each: return "each";
    case QueryKind::script: return "script";
    case QueryKind::prepare: return "prepare";
    case QueryKind::batch: return "batch";
    case QueryKind::copy_in: return "copy_in";
    case QueryKind::copy_out: return "copy_out";
  }
  return "?";
}

namespace pq {

bool ObservedQuery::begin(QueryKind kind, std::string_view text, Location where,
                          std::size_t statements) {
  if (begun_ || kind == QueryKind::none) return false;
  text_ = text;
  event_ = {.kind = kind,
            .text = text_,
            .statements = statements,
            .where = where,
            .backend_pid = session_.backend_pid,
            .on_lane = session_.on_lane,
            .database = session_.database,
            .host = session_.host,
            .port = session_.port};
  end_ = {};
  sqlstate_.clear();
  started_as_ = nullptr;
  uncaught_ = std::uncaught_exceptions();
  began_ = Clock::now();
  return begun_ = true;
}

void ObservedQuery::start(const Params* params) noexcept {
  if (!begun_ || started_) return;
  started_ = true;
  if (params != nullptr) event_.parameters = params->count();
  event_.values = wants_values_ ? params : nullptr;
  try {
    started_as_ = observer_->query_started(event_);
  } catch (...) {
    // As in end().
  }
}

void ObservedQuery::end() noexcept {
  if (!begun_) return;
  start(nullptr);
  event_.values = nullptr;  // they may be gone
  end_.took = Clock::now() - began_;
  end_.failed = end_.failed || std::uncaught_exceptions() > uncaught_;
  if (!end_.failed || !end_.error) {
    end_.error.reset();
    sqlstate_.clear();
    end_.outcome_unknown = false;
  }
  end_.sqlstate = sqlstate_;
  begun_ = started_ = false;
  try {
    observer_->query_ended(started_as_, event_, end_);
  } catch (...) {
    // An observer is no reason to fail what it looks at.
  }
}

void ObservedQuery::answered(pg_result* result) noexcept {
  if (result == nullptr || is_error(result)) return;
  if (PQresultStatus(result) == PGRES_COMMAND_OK) {
    const char* const count = PQcmdTuples(result);
    std::uint64_t rows = 0;
    std::from_chars(count, count + std::strlen(count), rows);
    return add(rows, 0);
  }
  const int rows = PQntuples(result);
  const int columns = PQnfields(result);
  std::uint64_t bytes = 0;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      bytes += static_cast<std::uint64_t>(PQgetlength(result, row, column));
    }
  }
  add(static_cast<std::uint64_t>(rows), bytes);
}

void ObservedQuery::fail(Errc error, const QueryReport* report, bool told) noexcept {
  if (!begun_) return;
  end_.error = error;
  end_.failed = told;
  sqlstate_.clear();
  if (report == nullptr) return;
  if (report->sqlstate.size() <= 5) sqlstate_ = report->sqlstate;
  end_.outcome_unknown = report->outcome_unknown;
}

}  // namespace pq
}  // namespace tidegate
