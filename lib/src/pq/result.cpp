#include "pq/result.hpp"

#include <libpq-fe.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "pq/types/packed_values.hpp"

#include <tidegate/base/mutex.hpp>

namespace tidegate::pq {
namespace {

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

}  // namespace

struct KeptTexts::Texts {
  detail::Mutex<> mutex{};
  // By row and column.
  std::map<std::pair<std::size_t, std::size_t>, std::string> of TIDEGATE_GUARDED_BY(mutex){};
};

std::string_view KeptTexts::keep(std::size_t row, std::size_t column, std::string text) const {
  Texts* texts = texts_.load(std::memory_order_acquire);
  if (texts == nullptr) {
    auto fresh = std::make_unique<Texts>();
    if (texts_.compare_exchange_strong(texts, fresh.get(), std::memory_order_acq_rel)) {
      texts = fresh.release();
    }
  }
  const detail::Lock lock(texts->mutex);
  return texts->of.try_emplace({row, column}, std::move(text)).first->second;
}

void KeptTexts::clear() noexcept { delete texts_.exchange(nullptr, std::memory_order_relaxed); }

const pg_result* Result::columns() const noexcept {
  return packed != nullptr ? packed->columns : native.get();
}

void ClearResult::operator()(pg_result* result) const noexcept { PQclear(result); }

bool is_error(const PGresult* result) noexcept {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

bool is_copy(const PGresult* result) noexcept {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

bool begins_transaction(const PGresult* result) noexcept {
  if (result == nullptr) return false;
  // A result without a tag has an empty one. libpq takes no constant here, but changes nothing.
  const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(result));
  return tag == "BEGIN" || tag == "START TRANSACTION";
}

QueryReport report_of(const PGresult* result) {
  QueryReport report{.severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED),
                     .sqlstate = field(result, PG_DIAG_SQLSTATE),
                     .message = field(result, PG_DIAG_MESSAGE_PRIMARY),
                     .detail = field(result, PG_DIAG_MESSAGE_DETAIL),
                     .hint = field(result, PG_DIAG_MESSAGE_HINT),
                     .context = field(result, PG_DIAG_CONTEXT),
                     .position = std::atoi(field(result, PG_DIAG_STATEMENT_POSITION).c_str()),
                     .schema = field(result, PG_DIAG_SCHEMA_NAME),
                     .table = field(result, PG_DIAG_TABLE_NAME),
                     .column = field(result, PG_DIAG_COLUMN_NAME),
                     .constraint = field(result, PG_DIAG_CONSTRAINT_NAME),
                     .statement = {}};
  // libpq's own notices and some poolers lack the untranslated severity.
  if (report.severity.empty()) report.severity = field(result, PG_DIAG_SEVERITY);
  return report;
}

}  // namespace tidegate::pq
