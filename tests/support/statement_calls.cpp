// usage: statement-calls HOW COUNT
// Runs COUNT prepared statements, for whoever counts the system calls from outside: by
// PQexecPrepared (libpq), by a Connection (tidegate), with a deadline (deadline) or with a
// stop_token (stop).
#include <libpq-fe.h>

#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <string_view>

#include <tidegate/pq/connect.hpp>

namespace {

using tidegate::ExecOptions;

constexpr const char* kStatement = "select $1::int4";

int with_libpq(int count) {
  PGconn* connection = PQconnectdb("");
  PQclear(PQprepare(connection, "s", kStatement, 0, nullptr));
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const std::string value = std::to_string(i);
    const char* values[] = {value.c_str()};
    PGresult* result = PQexecPrepared(connection, "s", 1, values, nullptr, nullptr, 0);
    if (PQntuples(result) != 1 || PQgetvalue(result, 0, 0) != value) ++wrong;
    PQclear(result);
  }
  PQfinish(connection);
  return wrong;
}

int with_tidegate(int count, const ExecOptions& options) {
  auto outcome = tidegate::pq::connect({}, {}, std::chrono::seconds(30));
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    if (outcome.connection.query_value<int>(options, kStatement, i) != i) ++wrong;
  }
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string_view how = argv[1];
  const int count = std::atoi(argv[2]);
  const std::stop_source stop;
  if (how == "libpq") return with_libpq(count);
  if (how == "tidegate") return with_tidegate(count, {});
  if (how == "deadline") return with_tidegate(count, {.by = std::chrono::minutes(10)});
  if (how == "stop") return with_tidegate(count, {.stop = stop.get_token()});
  return 2;
}
