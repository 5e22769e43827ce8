// Control: two threads on one connection. ThreadSanitizer, which does not see into libpq, must end
// this run with 66: by the integer that each use of a connection writes (SessionState::mark_use).
#include <optional>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "scenario.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

// What they ask for is only read, of the lease, of the connection and in libpq: elsewhere that
// passes, and here nothing but that integer gives it away.
void play(Run& run) {
  run.next_pass();
  MainActor self(run);
  PgPool pool(PgPool::quick("two-on-a-connection", 1), {});
  std::optional<PgPool::Held> held;
  Team team(2, run.seed(), [&](Actor&) {
    for (int i = 0; i < 100; ++i) static_cast<void>(held->lease->transaction_status());
  });
  held = pool.acquire(self, Deadline::never());
  team.round();
  pool.release(self, std::move(*held));
  pool.audit_and_close(self);
}

const Registered registered({"control.two-on-a-connection",
                             "two threads on one connection: 66 under TSan", play, Driver::pg});

}  // namespace
}  // namespace tidegate::stress
