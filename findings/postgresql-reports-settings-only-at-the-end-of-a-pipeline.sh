#!/usr/bin/env bash
# PostgreSQL: within a pipeline, results come in an encoding that the client has not been told yet.
#
# Since 14 the server tells changed settings (ParameterStatus) only right before ReadyForQuery, so at a
# pipeline's Sync. A SET inside the pipeline works at once: behind `set client_encoding = 'LATIN1'` texts
# come in Latin 1 while PQclientEncoding() still says UTF8, up to the Sync. So it is with DateStyle,
# TimeZone, standard_conforming_strings and whatever else is reported.
#
# Why a pool's author cares: code that decodes each result as it comes, by what libpq says of the session,
# is wrong within a batch, without an error; and code that looks at such a report to find out what a session
# has become, sees it too late for the statements that are under way. A batch with a SET in it has to be
# decoded by what the statements say, or not at all.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15
compile_c pipeline <<'C'
#include <libpq-fe.h>
#include <stdio.h>

/* What libpq says of the session, and the bytes of the result's first value, if it has one. */
static void tell(PGconn *c, PGresult *r) {
  const char *says = pg_encoding_to_char(PQclientEncoding(c));
  printf("%s", says);
  if (PQntuples(r) > 0) {
    const unsigned char *bytes = (const unsigned char *)PQgetvalue(r, 0, 0);
    printf(" ");
    for (; *bytes != 0; ++bytes) printf("%02x", *bytes);
  }
  printf("\n");
}

int main(void) {
  PGconn *c = PQconnectdb("client_encoding=UTF8");
  PGresult *r;
  int synced = 0;
  if (PQstatus(c) != CONNECTION_OK) return fprintf(stderr, "%s", PQerrorMessage(c)), 2;
  PQenterPipelineMode(c);
  PQsendQueryParams(c, "select chr(233)", 0, NULL, NULL, NULL, NULL, 0);
  PQsendQueryParams(c, "set client_encoding = 'LATIN1'", 0, NULL, NULL, NULL, NULL, 0);
  PQsendQueryParams(c, "select chr(233)", 0, NULL, NULL, NULL, NULL, 0);
  PQpipelineSync(c);
  while (!synced) {
    if ((r = PQgetResult(c)) == NULL) continue;
    synced = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
    tell(c, r);
    PQclear(r);
  }
  PQfinish(c);
  return 0;
}
C
show "libpq 15.20, PostgreSQL 15.20; after each result: what PQclientEncoding() says, and the bytes of an e with acute"
mapfile -t seen < <("$temp/pipeline")
expect "before the SET" "UTF8 c3a9" "${seen[0]}"
expect "at the SET's own result" "UTF8" "${seen[1]}"
expect "behind the SET: Latin 1, called UTF8" "UTF8 e9" "${seen[2]}"
expect "at the Sync" "LATIN1" "${seen[3]}"
