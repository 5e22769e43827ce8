#!/usr/bin/env bash
# PostgreSQL: one cancel request cancels two statements.
#
# The server signals a session's process twice for one CancelRequest: the process, and then its process group. The
# first signal may end the statement, and the client may have that error and send the next statement, before the
# second one comes: which cancels that, too. Seen with 15.20 (after 298 tries, on a machine of two cores) and 17.12
# (after 8); not with 18.6 (none in 4000).
#
# Why a pool's author cares: "the server has said canceled, so my request is used up" looks like a proof and is none.
# The session is fit for the next user when the connection of the request has ended, which the server does after both
# signals, and one round trip was made after that.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15
compile_c twice <<'C'
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *cancel(void *key) { /* one request, awaited to its end */
  char why[256];
  usleep(3000);
  PQcancel(key, why, sizeof why);
  return NULL;
}

static int canceled(PGconn *session) {
  PGresult *r;
  int was = 0;
  while ((r = PQgetResult(session)) != NULL) {
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (state != NULL && strcmp(state, "57014") == 0) was = 1;
    PQclear(r);
  }
  return was;
}

int main(void) {
  PGconn *session = PQconnectdb("");
  PGcancel *key = PQgetCancel(session);
  int tries, twice = 0;
  if (PQstatus(session) != CONNECTION_OK) return 2;
  for (tries = 0; tries < 20000 && twice == 0; ++tries) {
    pthread_t thread;
    PQsendQuery(session, "select pg_sleep(1)");
    pthread_create(&thread, NULL, cancel, key);
    if (!canceled(session)) { /* the request was faster than the statement */
      pthread_join(thread, NULL);
      continue;
    }
    PQsendQuery(session, "select pg_sleep(0.002)"); /* nobody has asked to cancel this one */
    twice += canceled(session);
    pthread_join(thread, NULL);
  }
  fprintf(stderr, "%d tries\n", tries);
  printf("%s\n", twice > 0 ? "canceled" : "not canceled");
  return 0;
}
C
show "$("$root/usr/lib/postgresql/15/bin/postgres" --version)"
expect "the statement after the one that was canceled" canceled "$("$temp/twice")"
