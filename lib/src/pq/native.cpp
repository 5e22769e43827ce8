#include "pq/native.hpp"

#include <libpq-fe.h>

namespace tidegate::pq {

void FinishConnection::operator()(pg_conn* connection) const noexcept { PQfinish(connection); }

TransactionStatus transaction_of(const PGconn* connection) noexcept {
  switch (PQtransactionStatus(connection)) {
    case PQTRANS_IDLE: return TransactionStatus::idle;
    case PQTRANS_ACTIVE: return TransactionStatus::active;
    case PQTRANS_INTRANS: return TransactionStatus::in_transaction;
    case PQTRANS_INERROR: return TransactionStatus::in_failed_transaction;
    case PQTRANS_UNKNOWN: break;
  }
  return TransactionStatus::unknown;
}

NonBlocking::NonBlocking(PGconn* connection) noexcept
    : connection_(connection), blocking_(PQisnonblocking(connection) == 0) {
  if (blocking_) PQsetnonblocking(connection_, 1);
}

NonBlocking::~NonBlocking() {
  if (blocking_) PQsetnonblocking(connection_, 0);
}

std::string_view last_words(const PGconn* connection) noexcept {
  std::string_view text = PQerrorMessage(connection);
  text = text.substr(0, text.find('\n'));
  return text.empty() ? "the connection is lost" : text;
}

}  // namespace tidegate::pq
