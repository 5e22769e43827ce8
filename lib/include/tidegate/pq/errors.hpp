// The errors that a query can end with.
#pragma once

#include <memory>
#include <string>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

// What is known about a failed query, from the server's report or, with an empty sqlstate, from
// this library (a NULL where a value was asked for, a lost connection). Plain data.
struct QueryReport {
  std::string severity{};  // "ERROR", "FATAL", "PANIC"; never translated
  std::string sqlstate{};  // five characters; empty when the server did not report this
  std::string message{};
  std::string detail{};
  std::string hint{};
  std::string context{};  // where on the server: the stack of functions, for example
  int position = 0;       // in the statement, in characters, from 1; 0 = not given
  std::string schema{};
  std::string table{};
  std::string column{};
  std::string constraint{};
  std::string statement{};       // its text; never a parameter
  bool outcome_unknown = false;  // QueryError::outcome_unknown()
};

// A statement failed, or its result is not what was asked for. The connection stays usable.
// what(): `ERROR 42P01: relation "x" does not exist (statement: select ...) at src/repo.cpp:41`,
// then the detail, hint and context that the server gave, a line each.
// Copies share the report, so copying does not throw.
class TIDEGATE_API QueryError : public Error {
 public:
  explicit QueryError(QueryReport report, Location where = {});
  QueryError(const QueryError&) = default;
  QueryError& operator=(const QueryError&) = default;
  ~QueryError() override;

  const std::string& sqlstate() const noexcept { return report_->sqlstate; }
  const std::string& severity() const noexcept { return report_->severity; }
  const std::string& message() const noexcept { return report_->message; }
  const std::string& detail() const noexcept { return report_->detail; }
  const std::string& hint() const noexcept { return report_->hint; }
  int position() const noexcept { return report_->position; }
  const std::string& schema() const noexcept { return report_->schema; }
  const std::string& table() const noexcept { return report_->table; }
  const std::string& column() const noexcept { return report_->column; }
  const std::string& constraint() const noexcept { return report_->constraint; }
  const std::string& statement() const noexcept { return report_->statement; }
  const QueryReport& report() const noexcept { return *report_; }
  // The statement, or a part of it, was sent, but its answer did not come, or was not awaited to
  // its end: the statement may have taken effect, and may still run. Code that takes it for "not
  // done" books twice. False: the answer came (a sqlstate says that the statement failed), or the
  // statement was not sent. If a transaction's COMMIT was not sent, the server rolls back either
  // way.
  bool outcome_unknown() const noexcept { return report_->outcome_unknown; }

 protected:
  QueryError(Errc code, QueryReport report, Location where);

 private:
  std::shared_ptr<const QueryReport> report_;
};

// The query's deadline passed. With outcome_unknown() the server did not answer its cancel within
// drain_bound, and the connection is given up. Else the query was canceled or, with an empty
// sqlstate, not run. Code: timeout.
class TIDEGATE_API QueryTimeout : public QueryError {
 public:
  explicit QueryTimeout(QueryReport report, Location where = {});
  ~QueryTimeout() override;
};

// The query's stop_token was triggered; outcome_unknown() as for QueryTimeout. Code: canceled.
class TIDEGATE_API QueryCanceled : public QueryError {
 public:
  explicit QueryCanceled(QueryReport report, Location where = {});
  ~QueryCanceled() override;
};

// The connection broke, or the server ended the session; outcome_unknown() unless the connection
// was broken before anything was sent. It is not usable any more. Code: connection_lost.
class TIDEGATE_API ConnectionLost : public QueryError {
 public:
  explicit ConnectionLost(QueryReport report, Location where = {});
  ~ConnectionLost() override;
};

// Exactly one row was asked for and there is none. Code: query.
class TIDEGATE_API NoRows : public QueryError {
 public:
  explicit NoRows(QueryReport report, Location where = {});
  ~NoRows() override;
};

// Exactly one row was asked for and there are more. Code: query.
class TIDEGATE_API TooManyRows : public QueryError {
 public:
  explicit TooManyRows(QueryReport report, Location where = {});
  ~TooManyRows() override;
};

}  // namespace tidegate
