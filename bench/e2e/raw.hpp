// libpq by hand: the limit that no layer above it can beat.
#pragma once

#include <libpq-fe.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

namespace bench {

struct Finish {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using RawConnection = std::unique_ptr<PGconn, Finish>;

struct Clear {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using RawResult = std::unique_ptr<PGresult, Clear>;

inline RawConnection raw_connect(const std::string& conninfo = {}) {
  RawConnection connection(PQconnectdb(conninfo.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection.get()));
  }
  return connection;
}

inline void require(const PGresult* result, ExecStatusType status) {
  if (PQresultStatus(result) != status) throw std::runtime_error(PQresultErrorMessage(result));
}

inline void raw_exec(PGconn* connection, const char* statement) {
  require(RawResult(PQexec(connection, statement)).get(), PGRES_COMMAND_OK);
}

// The statement of the select and batch rows, prepared under that name.
inline void raw_prepare(PGconn* connection, const char* name) {
  require(RawResult(PQprepare(connection, name, "select $1::int4", 1, nullptr)).get(),
          PGRES_COMMAND_OK);
}
inline RawConnection raw_connect_and_prepare(const std::string& conninfo = {}) {
  RawConnection connection = raw_connect(conninfo);
  raw_prepare(connection.get(), "one");
  return connection;
}

// Runs that statement. Needs raw_prepare().
inline int raw_select(PGconn* connection, int value, const char* name = "one") {
  const std::string text = std::to_string(value);
  const char* values[] = {text.c_str()};
  const RawResult result(PQexecPrepared(connection, name, 1, values, nullptr, nullptr, 0));
  require(result.get(), PGRES_TUPLES_OK);
  return static_cast<int>(std::strtol(PQgetvalue(result.get(), 0, 0), nullptr, 10));
}

}  // namespace bench
