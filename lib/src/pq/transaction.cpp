#include <tidegate/pq/transaction.hpp>

#include <algorithm>
#include <chrono>
#include <string>

#include <tidegate/base/error.hpp>

#include "pq/open_transaction.hpp"
#include "pq/pool_access.hpp"
#include "pq/session.hpp"
#include "pq/throw_usage.hpp"

namespace tidegate {
namespace {

using pq::OpenTransaction;

// How long a ROLLBACK may take when the transaction's deadline is near or has passed.
constexpr std::chrono::seconds kRollback{1};

std::string_view isolation_clause(Isolation isolation) noexcept {
  switch (isolation) {
    case Isolation::server_default: break;
    case Isolation::read_uncommitted: return " ISOLATION LEVEL READ UNCOMMITTED";
    case Isolation::read_committed: return " ISOLATION LEVEL READ COMMITTED";
    case Isolation::repeatable_read: return " ISOLATION LEVEL REPEATABLE READ";
    case Isolation::serializable: return " ISOLATION LEVEL SERIALIZABLE";
  }
  return "";
}

std::string begin_statement(const TxOptions& options) {
  std::string text = "BEGIN";
  text += isolation_clause(options.isolation);
  if (options.read_only) text += *options.read_only ? " READ ONLY" : " READ WRITE";
  if (options.deferrable) text += " DEFERRABLE";
  return text;
}

// Whether the server has no transaction open any more.
bool has_ended(const Connection& connection) noexcept {
  return connection.is_open() && connection.transaction_status() == TransactionStatus::idle;
}

// Runs once in a transaction, so it would waste a place in the cache of prepared statements.
Rows control(Connection& connection, std::string_view statement, Location where) {
  return connection.exec(ExecOptions{.prepared = false}, Sql(statement, where));
}

// Rethrows the error under way; says so where the answer to COMMIT is lost.
[[noreturn]] void rethrow_from_commit(Location where) {
  try {
    throw;
  } catch (const QueryError& error) {
    if (!error.outcome_unknown()) throw;
    QueryReport report = error.report();
    report.hint = "the answer to COMMIT is lost: whether it has taken effect is not known";
    switch (error.code()) {
      case Errc::timeout: throw QueryTimeout(std::move(report), where);
      case Errc::canceled: throw QueryCanceled(std::move(report), where);
      default: throw ConnectionLost(std::move(report), where);
    }
  }
}

std::string savepoint(std::uint64_t serial) { return "tidegate_" + std::to_string(serial); }

}  // namespace

Transaction Connection::begin(const TxOptions& options, Location where) {
  pq::Session& session = free_session(where);
  session.settle({.by = options.by}, where);
  const TransactionStatus status = transaction_status();
  if (is_open() && status == TransactionStatus::active) {
    pq::throw_usage("begin: the connection is in the middle of another command", where);
  }
  if (is_open() && status != TransactionStatus::idle) {
    pq::throw_usage(
        "begin: a transaction is open on this connection already; a Transaction's own begin() "
        "makes a savepoint in it",
        where);
  }
  auto shared = std::make_shared<OpenTransaction>(
      OpenTransaction{.session = &session, .serials = {1}, .last_serial = 1, .by = options.by});
  session.enter_transaction(shared);
  Transaction transaction(std::move(shared), 1);  // whatever fails from here on is rolled back
  control(*this, begin_statement(options), where);
  return transaction;
}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    abandon();
    shared_ = std::move(other.shared_);
    serial_ = other.serial_;
  }
  return *this;
}

bool Transaction::open() const noexcept {
  return shared_ != nullptr && shared_->session != nullptr &&
         std::find(shared_->serials.begin(), shared_->serials.end(), serial_) !=
             shared_->serials.end();
}

Connection& Transaction::connection(Location where) const {
  if (!open()) {
    pq::throw_usage(
        "the transaction is over: it was committed, rolled back or moved from, or the lease or "
        "the connection it was begun on has ended",
        where);
  }
  return shared_->session->connection();
}

bool Transaction::is_savepoint() const noexcept { return shared_->serials.front() != serial_; }

// The savepoints inside it end, too; with the outermost ends the session's part in it.
void Transaction::over() noexcept {
  const bool last = !is_savepoint();
  auto& serials = shared_->serials;
  serials.erase(std::find(serials.begin(), serials.end(), serial_), serials.end());
  if (last && shared_->session != nullptr) shared_->session->leave_transaction();
  shared_.reset();
}

Transaction Transaction::begin(Location where) {
  Connection& inside = connection(where);
  const std::uint64_t serial = ++shared_->last_serial;
  shared_->serials.reserve(shared_->serials.size() + 1);
  control(inside, "SAVEPOINT " + savepoint(serial), where);
  shared_->serials.push_back(serial);
  return Transaction(shared_, serial);
}

// Makes sure that the server's state of the transaction may be looked at.
void Transaction::settle(Location where) {
  try {
    shared_->session->settle({}, where);
  } catch (const ConnectionLost&) {
    over();
    throw;
  }
}

void Transaction::commit(Location where) {
  Connection& inside = connection(where);
  settle(where);
  if (has_ended(inside)) {
    over();
    pq::throw_usage("commit: a statement inside the transaction has ended it", where);
  }
  if (is_savepoint()) return release_savepoint(where);
  Rows answer;
  try {
    answer = control(inside, "COMMIT", where);
  } catch (...) {
    // Else nothing was sent, and the transaction can still be rolled back.
    if (has_ended(inside) || !inside.is_open()) over();
    rethrow_from_commit(where);
  }
  over();
  if (answer.command_tag() == "ROLLBACK") {
    throw QueryError({.message = "COMMIT was answered by ROLLBACK: a statement had failed before, "
                                 "so nothing was committed",
                      .statement = "COMMIT"},
                     where);
  }
}

// In a failed transaction the server refuses this; the savepoint can still be rolled back to.
void Transaction::release_savepoint(Location where) {
  control(connection(where), "RELEASE SAVEPOINT " + savepoint(serial_), where);
  over();
}

void Transaction::rollback(Location where) {
  Connection& inside = connection(where);
  shared_->session->refuse_in_verb(where);
  if (is_savepoint()) return rollback_to_savepoint(where);
  if (!shared_->by.is_never()) shared_->by = std::max(shared_->by, Deadline(kRollback));
  try {
    shared_->session->settle({}, where);
    if (!has_ended(inside)) control(inside, "ROLLBACK", where);
  } catch (...) {
    pq::PoolAccess(inside).doom();
    over();
    throw;
  }
  over();
}

void Transaction::rollback_to_savepoint(Location where) {
  Connection& inside = connection(where);
  const std::string name = savepoint(serial_);
  // For these statements only: later ones have the transaction's deadline again.
  const Deadline by = shared_->by;
  if (!by.is_never()) shared_->by = std::max(by, Deadline(kRollback));
  try {
    shared_->session->settle({}, where);
    if (!has_ended(inside)) {
      const std::string both = "ROLLBACK TO SAVEPOINT " + name + "; RELEASE SAVEPOINT " + name;
      inside.exec_script(Sql(both, where));
    }
  } catch (...) {
    // Nobody may commit what should have been undone here: the whole transaction is over.
    pq::PoolAccess(inside).doom();
    serial_ = shared_->serials.front();
    over();
    throw;
  }
  shared_->by = by;
  over();
}

void Transaction::abandon() noexcept {
  if (!open()) return;
  try {
    rollback({});
  } catch (...) {
    // Lost, out of time, or in a callback: nobody uses the connection again, and the server rolls
    // back by itself.
    if (!open()) return;
    shared_->session->set(pq::SessionState::Flag::doomed);
    serial_ = shared_->serials.front();
    over();
  }
}

}  // namespace tidegate
