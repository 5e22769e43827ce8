#include <libpq-fe.h>

#include <memory>
#include <string>
#include <utility>

#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/copy_text.hpp"
#include "pq/non_blocking.hpp"
#include "pq/pipeline.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

struct FreeMemory {
  void operator()(char* memory) const noexcept { PQfreemem(memory); }
};

}  // namespace

struct CopyOut::State {
  explicit State(Session& in) noexcept : session(in) {}

  Session& session;
  std::unique_ptr<char, FreeMemory> line{};
  std::vector<CopyValue> values{};
  Result result{};  // describes the columns; `values` are its only row
  std::size_t row = 0;
  bool under_way = false;
};

// The data of a COPY comes without names and types, so the query is described first. That also
// makes the server refuse what would not be one statement between the parentheses.
CopyOut::CopyOut(Session& session, const Sql& query, const ExecOptions& options)
    : state_(std::make_unique<State>(session)) {
  session.begin(query, options);
  ResultPtr described;
  ResultPtr error;
  {
    const std::string text(query.text());
    Pipeline pipeline(session);
    pipeline.sent(PQsendPrepare(session.native(), "", text.c_str(), 0, nullptr) == 1);
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
  const NonBlocking mode(connection);
  for (;;) {
    char* line = nullptr;
    const int size = PQgetCopyData(connection, &line, 1);
    if (size > 0) {
      s.line.reset(line);
      split_copy_line({line, static_cast<std::size_t>(size)}, s.values);
      const auto columns = static_cast<std::size_t>(PQnfields(s.result.native.get()));
      // A line of no columns is one empty value.
      if (s.values.size() != columns && columns != 0) {
        throw QueryError({.message = "row " + std::to_string(s.row) + " of the COPY has " +
                                     std::to_string(s.values.size()) + " columns, the query has " +
                                     std::to_string(columns),
                          .statement = s.result.statement},
                         s.result.where);
      }
      ++s.row;
      return true;
    }
    if (size == 0 && PQstatus(connection) == CONNECTION_OK) {
      s.session.await_data(Deadline::never());
      continue;
    }
    s.under_way = false;
    s.session.collect();
    return false;
  }
}

Row CopyOut::row() const noexcept { return {&state_->result, state_->row - 1}; }

CopyOut::~CopyOut() {
  if (!state_->under_way) return;
  Session& session = state_->session;
  const NonBlocking mode(session.native());
  session.end_copy(PGRES_COPY_OUT);
  try {
    session.collect();
  } catch (...) {
    // An error behind what was read: nobody asked for that any more.
  }
}

}  // namespace tidegate::pq
