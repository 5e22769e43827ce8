#!/usr/bin/env bash
# PostgreSQL: a client that falls silent in the middle of a pipeline holds its locks, and no timeout ends it.
#
# Behind a statement of a pipeline that was flushed and not synced yet the server waits for the client with a
# transaction open. pg_stat_activity calls that "active", not "idle in transaction", so
# idle_in_transaction_session_timeout does not count; the statement is done, so statement_timeout does not
# either; and idle_session_timeout is for sessions without a transaction. The same client in the same place of
# a BEGIN block is ended in time.
#
# Why a pool's author cares: these three settings are what is recommended against clients that hang with locks
# held. Whoever sends a batch in pieces, or lets user code run between two of its statements, is outside of all
# of them: the pool has to bound that time itself (from PostgreSQL 17 on transaction_timeout does).
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15 idle_in_transaction_session_timeout=300ms statement_timeout=300ms idle_session_timeout=300ms
compile_c silent <<'C'
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static void quietly(PGconn *c, const char *sql) { PQclear(PQexec(c, sql)); }

/* Says nothing for two seconds with a lock held, in a pipeline or in a block; tells what has become of it. */
int main(int argc, char **argv) {
  PGconn *c = PQconnectdb(""), *other = PQconnectdb("options='-c idle_session_timeout=0'");
  struct pollfd server = {PQsocket(c), POLLIN, 0};
  char state[256];
  PGresult *r;
  if (PQstatus(c) != CONNECTION_OK || PQstatus(other) != CONNECTION_OK) return 2;
  if (strcmp(argv[1], "pipeline") == 0) {
    PQenterPipelineMode(c);
    PQsendQueryParams(c, "select pg_advisory_xact_lock(1)", 0, NULL, NULL, NULL, NULL, 0);
    PQsendFlushRequest(c);
    PQflush(c);
    PQclear(PQgetResult(c));
    PQgetResult(c);
  } else {
    quietly(c, "begin");
    quietly(c, "select pg_advisory_xact_lock(1)");
  }
  if (poll(&server, 1, 2000) == 0) { /* the server has said nothing */
    snprintf(state, sizeof state, "select state from pg_stat_activity where pid = %d", PQbackendPID(c));
    r = PQexec(other, state);
    printf("there after 2 s, %s, ", PQgetvalue(r, 0, 0));
    PQclear(r);
  } else {
    printf("ended, ");
  }
  r = PQexec(other, "select pg_try_advisory_lock(1)");
  printf("lock %s\n", PQgetvalue(r, 0, 0)[0] == 't' ? "free" : "held");
  return 0;
}
C
show "PostgreSQL 15.20, all three timeouts at 300 ms"
expect "silent in a BEGIN block" "ended, lock free" "$("$temp/silent" block)"
expect "silent in a pipeline" "there after 2 s, active, lock held" "$("$temp/silent" pipeline)"
