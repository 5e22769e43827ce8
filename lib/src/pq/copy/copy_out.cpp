#include <libpq-fe.h>
#include <poll.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/copy/copy_text.hpp"
#include "pq/pipeline.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

struct FreeMemory {
  void operator()(char* memory) const noexcept { PQfreemem(memory); }
};

}  // namespace

struct CopyOut::State {
  explicit State(Session& in) noexcept : verb(in, QueryKind::copy_out), session(in) {}

  Verb verb;  // first, so that it ends last
  Session& session;
  std::unique_ptr<char, FreeMemory> line{};
  std::vector<CopyValue> values{};
  Result result{};  // describes the columns; `values` are its only row
  std::size_t columns = 0;
  std::size_t row = 0;  // how many were read
  bool under_way = false;
};

// The data of a COPY comes without names and types, so the query is described first. That also
// makes the server refuse a text that is not one statement between the parentheses.
CopyOut::CopyOut(Session& session, const Sql& query, const ExecOptions& options)
    : state_(std::make_unique<State>(session)) {
  session.begin(query, options);
  session.tell_start();
  ResultPtr described;
  ResultPtr error;
  {
    const std::string text(query.text());
    Pipeline pipeline(session);
    pipeline.sent(session.send_sized(text.size(), [&] {
      return PQsendPrepare(session.native(), "", text.c_str(), 0, nullptr);
    }));
    pipeline.sent(PQsendDescribePrepared(session.native(), "") == 1);
    pipeline.sync();
    while (pipeline.owed() > 0 && PQstatus(session.native()) == CONNECTION_OK) {
      ResultPtr result = pipeline.next();
      if (result == nullptr) continue;
      if (!is_error(result.get())) {
        described = std::move(result);
      } else if (error == nullptr) {
        error = std::move(result);
      }
    }
  }
  session.require_success(error != nullptr ? error.get() : described.get(), false);

  Result& result = state_->result;
  state_->columns = static_cast<std::size_t>(PQnfields(described.get()));
  result.native = std::move(described);
  result.statement = query.text();
  result.where = query.where();
  result.values = &state_->values;
  // The query may end in a comment.
  session.start_copy(Sql("COPY (" + result.statement + "\n) TO STDOUT", query.where()), options,
                     PGRES_COPY_OUT);
  state_->under_way = true;
}

bool CopyOut::next() {
  State& s = *state_;
  PGconn* connection = s.session.native();
  if (s.verb.ends_all()) stop();
  const NonBlocking mode(connection);
  s.session.strike_if_over();
  for (;;) {
    char* line = nullptr;
    const int size = PQgetCopyData(connection, &line, 1);
    s.line.reset(line);
    if (size > 0) {
      // From the limit on nobody gets rows.
      if (s.session.limits_.has_struck()) continue;
      if (s.session.observed_) s.session.observed()->copied(static_cast<std::size_t>(size));
      take({line, static_cast<std::size_t>(size)});
      return true;
    }
    if (size < 0 || PQstatus(connection) != CONNECTION_OK) break;
    if (s.session.has(Session::Flag::broken)) break;
    s.session.await_socket(POLLIN);
  }
  leave();
  return false;
}

void CopyOut::take(std::span<char> line) {
  State& s = *state_;
  split_copy_line(line, s.values);
  // A line of no columns is one empty value.
  if (s.values.size() != s.columns && s.columns != 0) {
    throw QueryError({.message = "row " + std::to_string(s.row) + " of the COPY has " +
                                 std::to_string(s.values.size()) + " columns, the query has " +
                                 std::to_string(s.columns),
                      .statement = s.result.statement},
                     s.result.where);
  }
  ++s.row;
}

Row CopyOut::row() const noexcept { return {&state_->result, state_->row - 1}; }

// Reads what follows the data, and throws if that is an error.
void CopyOut::leave() {
  state_->under_way = false;
  Session& session = state_->session;
  const Session::LeavingCopy leaving{session};
  session.collect();
  // The server was done before the cancel arrived, but rows were dropped.
  if (session.limits_.has_struck()) {
    session.throw_ended(session.limits_.struck(),
                        {.message = "a limit ended the COPY", .outcome_unknown = true});
  }
}

CopyOut::~CopyOut() { abandon(); }

void CopyOut::stop() {
  abandon();
  if (state_->verb.ends_all()) {
    state_->session.throw_usage("copy_out: its callback has ended the lease or the connection");
  }
}

void CopyOut::abandon() noexcept {
  if (!state_->under_way) return;
  const NonBlocking mode(state_->session.native());
  state_->session.drain_copy_out();
  try {
    leave();
  } catch (...) {
    // It was canceled, or an error followed what was read: nobody asks for that any more.
    if (state_->session.observed_) state_->session.observed()->excuse();
  }
}

}  // namespace tidegate::pq
