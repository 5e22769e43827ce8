// Prepared statements behind a pooler that maps their names (PgBouncer from 1.21 on, Odyssey):
// equal texts with equal types share one statement of the server, whoever prepares them. So
// preparing a text anew gives the statement that is there, stale or not. A statement without a name
// tells the truth, because no other client shares it (Odyssey: only if its text differs, too). The
// types that it shows are declared when the text gets a name, which makes it another statement
// where the types differ. Where the named statement is of no use all the same, the text gets
// another edition.
#include <libpq-fe.h>

#include <algorithm>
#include <string>
#include <vector>

#include <tidegate/pq/errors.hpp>

#include "pq/editions.hpp"
#include "pq/plain_sql.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {

namespace {

// How old the types found for a text may be, in seconds, where even a look is shared.
constexpr unsigned kForALook = 600;
constexpr unsigned kForAnError = 10;

}  // namespace

// Gives the statement under way the text that is to be sent.
void Session::take_edition() {
  statement_.resize(without_edition(statement_).size());
  append_edition(statement_);
}

// Null: the statement goes without a name, this time.
const Prepared* Session::prepare_shared() {
  const Prepared* const known = cache_.find(statement_);  // a statement in doubt
  // A DEALLOCATE does not reach the statement that the pooler calls by that name.
  if (known == nullptr && !closes_names() && cache_.next_to_go() != nullptr) return nullptr;
  const std::vector<std::uint32_t> types = types_without_name(kForALook);
  if (known != nullptr) {
    if (std::equal(types.begin(), types.end(), known->params().begin(), known->params().end())) {
      cache_.renew(known);
      return known;
    }
    cache_.drop(known);
  }
  return prepare_as(types);
}

std::vector<std::uint32_t> Session::types_now_shared(const Prepared* prepared, Stale why) {
  if (why != Stale::perhaps) {
    forget(prepared, why);
    take_edition();
  }
  std::vector<std::uint32_t> now = types_without_name(kForAnError);
  if (why != Stale::perhaps) return now;
  const auto before = prepared->params();
  if (std::equal(now.begin(), now.end(), before.begin(), before.end())) return now;
  next_edition(without_edition(statement_));
  cache_.drop(prepared);
  take_edition();
  return now;
}

// The parameter types of the statement under way, as its text means them now. Throws as a verb.
std::vector<std::uint32_t> Session::types_without_name(unsigned seconds) {
  Prepare answer = look(seconds);
  if (is_of_another_text(answer.told.get(), statement_)) {
    next_looks();
    if (PQtransactionStatus(native()) == PQTRANS_IDLE) answer = look(seconds);
  }
  require_success(answer.told.get(), false);
  if (limits_.has_struck()) throw_not_run();
  return described_types(answer.told.get());
}

// Sends Parse and Describe without a name.
Session::Prepare Session::look(unsigned seconds) {
  const std::string text = edition_for_a_look(statement_, seconds);
  const std::vector<std::uint32_t> declared = declared_types(params_);
  if (!enter_pipeline_mode()) throw_unsent();
  require_sent(PQsendPrepare(native(), "", text.c_str(), static_cast<int>(declared.size()),
                             declared.data()) == 1 &&
               PQsendDescribePrepared(native(), "") == 1 && PQpipelineSync(native()) == 1);
  return read_prepare(1);
}

// A statement that has just been prepared cannot be stale or gone: the error is about another one.
// Where the same text was good without a name, an error of the named one is not about the text.
bool Session::is_of_another(const Prepare& answer) const noexcept {
  const PGresult* const told = answer.told.get();
  if (!is_error(told) || has(Flag::broken)) return false;
  const char* const field = PQresultErrorField(told, PG_DIAG_SQLSTATE);
  const std::string_view sqlstate(field != nullptr ? field : "");
  if (sqlstate.empty() || sqlstate == "57014") return false;
  if (shares_names_) return true;
  return answer.parsed && (sqlstate == "26000" || is_of_changed_result(told));
}

// An unnamed statement is stale all the same: the pooler keeps a statement by its text alone.
bool Session::is_of_another_text(const PGresult* result, std::string_view text) const noexcept {
  if (!shares_names_ || result == nullptr || !is_error(result)) return false;
  if (is_of_changed_result(result)) return true;
  const char* const sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return sqlstate != nullptr && std::string_view(sqlstate) == "26000" &&
         PQresultErrorField(result, PG_DIAG_CONTEXT) == nullptr && is_plain(text);
}

}  // namespace tidegate::pq
