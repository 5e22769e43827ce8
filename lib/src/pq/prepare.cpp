// Prepared statements of a session: prepared at first use, sent by name from then on.
#include <libpq-fe.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/types.hpp>

#include "pq/editions.hpp"
#include "pq/plain_sql.hpp"
#include "pq/session.hpp"
#include "pq/types/binary.hpp"
#include "pq/types/oids.hpp"

namespace tidegate::pq {
namespace {

// A longer statement hardly comes again, and both sides would keep it.
constexpr std::size_t kLongestCached = std::size_t{64} * 1024;

// How the server learns of a statement's end. The message Close, unlike the command, reaches the
// statement that a pooler that maps names calls by that name; libpq has it from 17 on.
#ifdef LIBPQ_HAS_CLOSE_PREPARED
constexpr bool kClosesNames = true;
constexpr const char* kDeallocate = "";
bool send_deallocate(PGconn* connection, const std::string& name) noexcept {
  return PQsendClosePrepared(connection, name.c_str()) == 1;
}
#else
constexpr bool kClosesNames = false;
constexpr const char* kDeallocate = "DEALLOCATE ";
bool send_deallocate(PGconn* connection, const std::string& command) noexcept {
  return PQsendQueryParams(connection, command.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) ==
         1;
}
#endif

// Whether a value that Params bound in the binary form of that type can be spelled as Params would
// have bound it as text. True for all types but dates and times.
bool is_spelled(std::uint32_t type) noexcept {
  return type == oid::kBool || type == oid::kInt2 || type == oid::kInt4 || type == oid::kInt8 ||
         type == oid::kFloat4 || type == oid::kFloat8 || type == oid::kUuid;
}
std::string spelled(std::uint32_t type, std::string_view bytes) {
  Params value;
  switch (type) {
    case oid::kBool: value.boolean(bytes != std::string_view("\0", 1)); break;
    case oid::kInt2:
      value.integer(static_cast<long long>(from_network<std::int16_t>(bytes)));
      break;
    case oid::kInt4:
      value.integer(static_cast<long long>(from_network<std::int32_t>(bytes)));
      break;
    case oid::kInt8:
      value.integer(static_cast<long long>(from_network<std::int64_t>(bytes)));
      break;
    case oid::kFloat4:
      value.floating(std::bit_cast<float>(from_network<std::uint32_t>(bytes)));
      break;
    case oid::kFloat8:
      value.floating(std::bit_cast<double>(from_network<std::uint64_t>(bytes)));
      break;
    default: {
      Uuid uuid{};
      std::memcpy(uuid.bytes.data(), bytes.data(), std::min(bytes.size(), uuid.bytes.size()));
      value.text(uuid.to_string());
    }
  }
  return value.value(0);
}

bool has_binary_readers(const PGresult* result) noexcept {
  const int columns = PQnfields(result);
  for (int i = 0; i < columns; ++i) {
    if (!has_binary_reader(PQftype(result, i))) return false;
  }
  return columns > 0;
}
// A bytea's text form is twice as long as its binary form; other types gain nothing.
bool has_bytes(const PGresult* result) noexcept {
  bool bytes = false;
  for (int i = 0; i < PQnfields(result); ++i) {
    if (!reads_alike(PQftype(result, i))) return false;
    bytes = bytes || PQftype(result, i) == oid::kBytea;
  }
  return bytes;
}

}  // namespace

bool Session::closes_names() noexcept { return kClosesNames; }

// In libpq's numbers: 0 is text.
int Session::result_format(const Prepared& prepared) const noexcept {
  switch (options_.format) {
    case ResultFormat::automatic: return prepared.bytes() ? 1 : 0;
    case ResultFormat::text: return 0;
    case ResultFormat::binary: return prepared.binary_results() ? 1 : 0;
  }
  return 0;
}

bool Session::is_cached(const ExecOptions& options) const noexcept {
  return options.prepared && cache_.capacity() > 0 && is_short_enough_to_prepare(statement_);
}

bool Session::is_short_enough_to_prepare(std::string_view text) noexcept {
  return text.size() <= kLongestCached;
}

// The parameter types that a statement names: those that are sent as bytes.
std::vector<std::uint32_t> Session::declared_types(const Params& params) {
  std::vector<std::uint32_t> types(params.types(), params.types() + params.count());
  std::replace_if(types.begin(), types.end(), [](auto type) { return type != oid::kBytea; }, 0U);
  return types;
}

// The parameter types of a statement that the server has described.
std::vector<std::uint32_t> Session::described_types(const PGresult* result) {
  std::vector<std::uint32_t> types(static_cast<std::size_t>(PQnparams(result)));
  for (std::size_t i = 0; i < types.size(); ++i) {
    types[i] = PQparamtype(result, static_cast<int>(i));
  }
  return types;
}

// A statement that the server has described is one of the cache from here on. Throws:
// std::bad_alloc.
const Prepared* Session::add_described(std::uint32_t number, std::string_view text,
                                       const std::vector<std::uint32_t>& declared,
                                       const PGresult* described) {
  return cache_.add(Prepared::make({.text = text,
                                    .number = number,
                                    .declared = declared,
                                    .params = described_types(described),
                                    .binary_results = has_binary_readers(described),
                                    .bytes = has_bytes(described)}));
}

std::string Session::deallocation_of(const std::string& name) { return kDeallocate + name; }

bool Session::send_deallocation(PGconn* connection, const std::string& deallocation) noexcept {
  return send_deallocate(connection, deallocation);
}

// Null: the statement goes without a name.
const Prepared* Session::prepare() {
  return shares_names_ ? prepare_shared() : prepare_as(declared_types(params_));
}

// Sends Parse and Describe in one round trip, with deallocations around them: before them of what
// was dropped earlier, behind them of what makes room, so that it goes only for a statement that is
// there. Deallocates only outside a transaction: a statement that is gone already would abort one.
const Prepared* Session::prepare_as(const std::vector<std::uint32_t>& types) {
  const std::vector<std::uint32_t> declared = declared_types(params_);
  const std::uint32_t number = cache_.next_number();
  std::string name(cache_.name(number));
  // Made before anything is sent: nothing may throw in the middle of the pipeline.
  std::vector<std::string> deallocations;
  // Room for the statement that makes room, and for `name`.
  cache_.evicted().reserve(cache_.evicted().size() + 2);
  std::string makes_room;
  if (shares_names_ && !closes_names()) cache_.evicted().clear();
  if (PQtransactionStatus(native()) == PQTRANS_IDLE) {
    for (const std::string& old : cache_.evicted()) deallocations.push_back(deallocation_of(old));
    if (const Prepared* const last = cache_.next_to_go()) {
      makes_room.append(kDeallocate).append(cache_.name_of(*last));
    }
  }

  if (!enter_pipeline_mode()) throw_unsent();
  bool sent = true;
  int answers = 1;
  for (const std::string& text : deallocations) {
    // Each has its own sync: one that is gone already does not keep the next from going.
    sent = sent && send_deallocate(native(), text) && PQpipelineSync(native()) == 1;
    ++answers;
  }
  sent = sent &&
         PQsendPrepare(native(), name.c_str(), statement_.c_str(), static_cast<int>(types.size()),
                       types.data()) == 1 &&
         PQsendDescribePrepared(native(), name.c_str()) == 1 &&
         (makes_room.empty() || send_deallocate(native(), makes_room)) &&
         PQpipelineSync(native()) == 1;
  require_sent(sent);
  const Prepare answer = read_prepare(answers);
  if (is_left_inside()) {
    left_inside();
    throw_lost({.message = std::string(broken_reason())});
  }
  // A cancel may have struck any of the deallocations; repeating one in vain does no harm.
  const bool canceled = limits_.has_struck() || target().asked();
  if (!deallocations.empty() && !canceled) cache_.evicted().clear();
  const Prepared* added = nullptr;
  try {
    // Outside a transaction nothing is lost yet.
    const bool useless = is_of_another(answer);
    if (useless) {
      shares_names_ = true;
      next_edition(without_edition(statement_));
    }
    if (!useless || PQtransactionStatus(native()) != PQTRANS_IDLE) {
      require_success(answer.told.get(), false);
    }
    // Added before a limit keeps the statement from being run: the server has it.
    if (!useless) {
      added = add_described(number, statement_, declared, answer.told.get());
    }
    if (useless) {
      cache_.evicted().push_back(std::move(name));
      take_edition();
    }
    if (added != nullptr && !makes_room.empty() && !canceled) cache_.evicted().pop_back();
  } catch (...) {
    if (answer.parsed) cache_.evicted().push_back(std::move(name));
    throw;
  }
  cache_.forget_evicted();
  if (limits_.has_struck()) throw_not_run();
  // The cancel may have struck what made room. While earlier cancels are in doubt, nobody knows.
  if (target().asked() && !in_doubt_) {
    target().note_canceled(false);
    throw_ended(Limit::none, {.message = "the statement was canceled before it was run"});
  }
  return added;
}

// Out of memory, or the connection is lost: nothing that was sent is worth an answer.
void Session::require_sent(bool sent) {
  if (sent) return;
  set_broken(last_words(native()));
  throw_lost({.message = std::string(last_words(native()))});
}

// Reads what has come of Parse and Describe, the first two commands of the last of `parts` (each
// part ends with a Sync), and leaves pipeline mode.
Session::Prepare Session::read_prepare(int parts) {
  Prepare answer;
  ResultPtr& told = answer.told;
  int commands = 0;  // commands of the last part that have been answered
  for (bool ended = false; parts > 0;) {
    ResultPtr result = next_result();
    if (!result) {  // between two commands; or nothing is owed any more
      if (ended || has(Flag::broken) || PQstatus(native()) != CONNECTION_OK) break;
      ended = true;
      ++commands;
      continue;
    }
    ended = false;
    const bool ends = has(Flag::broken);  // the result is the session's last words
    switch (PQresultStatus(result.get())) {
      case PGRES_PIPELINE_SYNC:
        if (--parts > 0) {
          answer = {};
          commands = 0;
        }
        break;
      case PGRES_PIPELINE_ABORTED: break;
      default:
        if (!is_error(result.get())) answer.parsed = true;
        // libpq adds words to the server's last ones. What made room has its own errors.
        if (ends || (commands < 2 && (told == nullptr || !is_error(told.get())))) {
          told = std::move(result);
        }
    }
  }
  if (PQexitPipelineMode(native()) == 0) set_broken(last_words(native()));
  if (has(Flag::broken) && !is_error(told.get())) told.reset();
  return answer;
}

// The prepared statement of that text; null where the text is to be prepared. A statement that may
// not be what its text means is dropped, but only at its second use: the first use goes without a
// name, which costs no round trip.
const Prepared* Session::find_prepared(std::string_view text) {
  const Prepared* const found = cache_.find(text);
  if (found == nullptr) return nullptr;
  switch (cache_.trust(found)) {
    case StatementCache::Trust::yes: return found;
    case StatementCache::Trust::no: options_.prepared = false; break;
    case StatementCache::Trust::no_more:
      if (!shares_names_) cache_.drop(found);  // else prepare_shared() looks into it
      break;
  }
  return nullptr;
}

// Prepares the statement now and returns its parameter types. Empty when it has none, or cannot be
// prepared: then the error that raised the question has to tell.
std::vector<std::uint32_t> Session::types_now(const Prepared* prepared, Stale why) {
  try {
    if (shares_names_) return types_now_shared(prepared, why);
    cache_.drop(prepared);
    const Prepared* const anew = prepare();
    if (anew == nullptr) return types_without_name();  // it is shared after all
    return {anew->params().begin(), anew->params().end()};
  } catch (const QueryError& error) {
    if (error.code() != Errc::query) throw;  // a limit, a cancel, or the connection is lost
    return {};
  }
}

// Sends the statement without a name, as at its first use. Values that were bound in the binary
// form of a type that the parameter no longer has go as text. Dates and times stay binary; the
// server converts them.
void Session::send_as_text(const std::vector<std::uint32_t>& types, bool row_by_row) {
  const std::size_t count = params_.count();
  std::vector<std::string> texts(count);
  std::vector<Oid> declared(params_.types(), params_.types() + count);
  std::vector<const char*> values(params_.values(), params_.values() + count);
  std::vector<int> lengths(params_.lengths(), params_.lengths() + count);
  std::vector<int> formats(params_.formats(), params_.formats() + count);
  for (std::size_t i = 0; i < count; ++i) {
    const Oid type = declared[i];
    if (formats[i] == 0 || values[i] == nullptr || type == oid::kBytea) continue;
    if (i >= types.size() || type == types[i] || !is_spelled(type)) continue;
    texts[i] = spelled(type, {values[i], static_cast<std::size_t>(lengths[i])});
    values[i] = texts[i].c_str();
    lengths[i] = static_cast<int>(texts[i].size());
    declared[i] = 0;
    formats[i] = 0;
  }
  const bool sent = send_sized(statement_.size() + params_.size(0), [&] {
    return PQsendQueryParams(native(), statement_.c_str(), static_cast<int>(count), declared.data(),
                             values.data(), lengths.data(), formats.data(), 0);
  });
  if (!sent) throw_unsent();
  tell_sent();
  if (row_by_row) PQsetSingleRowMode(native());
}

void Session::prepare_only(const Sql& sql) {
  const Verb verb(*this, QueryKind::prepare);
  start(sql, {});
  tell_start();
  const Running running(*this);
  if (cache_.capacity() == 0 || statement_.size() > kLongestCached || prepared_ != nullptr) return;
  const Prepared* const doubted = cache_.find(statement_);
  if (doubted != nullptr && !shares_names_) cache_.drop(doubted);
  prepare();
}

// The text may be translated, the function's name is not.
bool Session::is_of_changed_result(const PGresult* error) noexcept {
  const auto is = [&](int code, std::string_view value) {
    const char* const text = PQresultErrorField(error, code);
    return text != nullptr && text == value;
  };
  return is(PG_DIAG_SQLSTATE, "0A000") && is(PG_DIAG_SOURCE_FUNCTION, "RevalidateCachedQuery");
}

// Whether the error says that the server has changed a statement, or forgotten it: an ALTER TABLE
// has changed its columns, or somebody has deallocated it behind our back.
Stale Session::staleness(const Prepared* prepared, const PGresult* result) const noexcept {
  if (prepared == nullptr || result == nullptr || !is_error(result)) return Stale::no;
  const auto field = [&](int code) {
    const char* text = PQresultErrorField(result, code);
    return std::string_view(text != nullptr ? text : "");
  };
  const std::string_view sqlstate = field(PG_DIAG_SQLSTATE);
  if (is_of_changed_result(result)) return Stale::changed;
  if (sqlstate == "26000") {
    // A pooler that maps names reports a name of its own. The error of a function that misses a
    // statement has a context, and a plain statement is no EXECUTE.
    const bool ours =
        field(PG_DIAG_MESSAGE_PRIMARY).find(cache_.name_of(*prepared)) != std::string_view::npos;
    if (ours) return Stale::gone;
    return prepared->is_plain() && field(PG_DIAG_CONTEXT).empty() ? Stale::lost : Stale::no;
  }
  // A refused value, an expression whose types do not fit, and a type that is gone give these
  // errors before anything is run. The same errors come while a statement runs, but then a plain
  // one leaves nothing behind.
  const bool may_be_of_types =
      sqlstate.starts_with("22") || sqlstate.starts_with("42") || sqlstate == "XX000";
  const bool may_repeat = !prepared->params().empty() && prepared->is_plain();
  return may_be_of_types && may_repeat ? Stale::perhaps : Stale::no;
}

// A lost name was deallocated where nobody saw it, and so were all the others. If the names are the
// pooler's, all texts get another edition; if they are ours, each is prepared again. The second
// time (with a pooler that shares statements, the first time) we take the pooler for one that does
// not map names: each use would find another server session, and leave another name there. So no
// names are used any more. Those that are out stay until the pooler ends its sessions: nobody can
// say which of them a DEALLOCATE would reach.
void Session::forget(const Prepared* prepared, Stale why) {
  if (prepared_ == prepared) prepared_ = nullptr;
  if (shares_names_ && why == Stale::perhaps) return cache_.doubt(prepared);
  if (why == Stale::lost || (shares_names_ && why == Stale::changed)) {
    next_edition(without_edition(prepared->text()));
  }
  if (why != Stale::gone && why != Stale::lost) return cache_.drop(prepared);
  if (lost_a_name_ || (shares_names_ && why == Stale::gone)) {
    cache_.clear();
    cache_.set_capacity(0);
    return;
  }
  if (why == Stale::lost) {
    lost_a_name_ = shares_names_ = true;
    next_edition_of_all();
    cache_.clear();
    return;
  }
  lost_a_name_ = true;
  cache_.drop(prepared);
  cache_.distrust();
}

// After DISCARD ALL and DEALLOCATE ALL there are no prepared statements, and after other commands
// they may not be what their texts mean. Commands inside a function or through native_handle() go
// unnoticed; then staleness() sees the consequence.
void Session::note_command(const PGresult* result, std::string_view sql,
                           const Prepared* prepared) noexcept {
  if (prepared != nullptr && prepared->is_plain()) return;
  const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(result));
  if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
    prepared_ = nullptr;
    cache_.clear();
  } else if (changes_meaning(tag, sql)) {
    cache_.distrust();
    may_be_undone_ = true;
  } else if (tag == "ROLLBACK" && may_be_undone_) {
    cache_.distrust();  // of a rollback to a savepoint; the end of a transaction shows in begin()
  }
}

}  // namespace tidegate::pq
