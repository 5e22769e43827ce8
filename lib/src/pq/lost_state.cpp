// Tells a session what it loses behind a pooler that says that each transaction gets another
// session of the server (PgBouncer from 1.26 on, in transaction and statement mode).
#include <string>

#include "pq/plain_sql.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

constexpr const char* kWhy =
    "the pooler (pgbouncer.pool_mode) gives each transaction another session of the server";

}  // namespace

void Session::refuse_to_listen() const {
  throw_usage(std::string("no notification ever comes here: ") + kWhy);
}

// A notice, as if from the server: what works within a transaction is nobody's mistake.
void Session::warn_of_lost_state(std::string_view sql) {
  const char* what = nullptr;
  switch (leaves_behind(sql)) {
    case Leaves::nothing: return;
    case Leaves::subscription: refuse_to_listen(); break;
    case Leaves::setting: what = "this setting"; break;
    case Leaves::lock: what = "this advisory lock"; break;
    case Leaves::table: what = "this temporary table"; break;
    case Leaves::statement: what = "this prepared statement"; break;
  }
  if (what == nullptr) return;
  const std::string message =
      std::string(what) + " is lost, and another client's, when its transaction ends: " + kWhy;
  notify({.severity = "WARNING", .sqlstate = "01000", .message = message});
}

}  // namespace tidegate::pq
