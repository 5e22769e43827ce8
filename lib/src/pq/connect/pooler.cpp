#include "pq/connect/pooler.hpp"

#include <libpq-fe.h>

#include <string_view>

namespace tidegate::pq {
namespace {

constexpr int kLargestPid = 1 << 22;  // of Linux

std::string_view reported(const PGconn* connection, const char* parameter) noexcept {
  const char* const value = PQparameterStatus(connection, parameter);
  return value != nullptr ? value : "";
}

}  // namespace

Pooler pooler_of(const PGconn* connection) noexcept {
  const int pid = PQbackendPID(connection);
  const std::string_view mode = reported(connection, "pgbouncer.pool_mode");
  const bool between =
      pid <= 0 || pid > kLargestPid || !reported(connection, "pgbouncer.version").empty();
  return {.between = between,
          .forgets = mode == "transaction" || mode == "statement",
          .shares = between && mode != "session"};
}

}  // namespace tidegate::pq
