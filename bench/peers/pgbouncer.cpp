// PgBouncer in transaction mode: each request connects, asks, and goes. The pool is another
// process's, so there is nothing to lease.
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>

#include "e2e/raw.hpp"
#include "peers/peer_program.hpp"

namespace {

constexpr const char* kConninfo = "TIDEGATE_BENCH_PGBOUNCER";  // from scripts/bench peers

class PgBouncerPeer {
 public:
  static constexpr const char* kName = "pgbouncer";
  static std::optional<std::string> missing() {
    if (std::getenv(kConninfo) != nullptr) return std::nullopt;
    return std::string(kConninfo) + " does not say where it is";
  }

  explicit PgBouncerPeer(bench::PoolShape) {}

  // Not prepared: before 1.21 it knows no prepared statements in transaction mode.
  int select(int value) {
    const bench::RawConnection connection(PQconnectdb(std::getenv(kConninfo)));
    if (PQstatus(connection.get()) != CONNECTION_OK) {
      throw std::runtime_error(PQerrorMessage(connection.get()));
    }
    const std::string text = std::to_string(value);
    const char* values[] = {text.c_str()};
    const bench::RawResult result(
        PQexecParams(connection.get(), "select $1::int4", 1, nullptr, values, nullptr, nullptr, 0));
    bench::require(result.get(), PGRES_TUPLES_OK);
    return std::atoi(PQgetvalue(result.get(), 0, 0));
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<PgBouncerPeer>(argc, argv); }
