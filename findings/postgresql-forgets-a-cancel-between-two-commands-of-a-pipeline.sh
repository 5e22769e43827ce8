#!/usr/bin/env bash
# PostgreSQL: a cancel that comes between two commands of a pipeline is forgotten, though its transaction is
# under way.
#
# The session is called "active" all the while, and the transaction that the pipeline is cannot be ended by
# anything but its own end. Yet a cancel request that arrives while the server waits for the next command is
# dropped without a trace: PQcancel() says that it went well, and the rest of the pipeline runs and commits.
#
# Why a pool's author cares: whoever cancels a batch, because its deadline has passed or the program ends, does
# so while pieces of it are on their way, and "delivered" means nothing: the request has to be made again until
# an answer has come.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15
compile_c cancel <<'C'
#include <libpq-fe.h>
#include <stdio.h>
#include <unistd.h>

static void end_of_one(PGconn *c) {
  PGresult *r = PQgetResult(c);
  printf("%s ", PQresStatus(PQresultStatus(r)));
  PQclear(r);
  PQgetResult(c);
}

int main(void) {
  PGconn *c = PQconnectdb(""), *other = PQconnectdb("");
  PGcancel *key = PQgetCancel(c);
  char why[256] = "", activity[256];
  PGresult *r;
  int canceled;
  if (PQstatus(c) != CONNECTION_OK || PQstatus(other) != CONNECTION_OK) return 2;
  PQclear(PQexec(c, "create table t (i int)"));
  PQenterPipelineMode(c);
  PQsendQueryParams(c, "insert into t values (1)", 0, NULL, NULL, NULL, NULL, 0);
  PQsendFlushRequest(c);
  PQflush(c);
  end_of_one(c);
  snprintf(activity, sizeof activity, "select state from pg_stat_activity where pid = %d", PQbackendPID(c));
  r = PQexec(other, activity);
  printf("%s ", PQgetvalue(r, 0, 0));
  PQclear(r);
  canceled = PQcancel(key, why, sizeof why);
  sleep(1); /* long after it has arrived */
  printf("PQcancel:%d ", canceled);
  PQsendQueryParams(c, "insert into t values (2)", 0, NULL, NULL, NULL, NULL, 0);
  PQpipelineSync(c);
  end_of_one(c);
  PQclear(PQgetResult(c)); /* the sync */
  r = PQexec(other, "select count(*) from t");
  printf("rows:%s\n", PQgetvalue(r, 0, 0));
  return 0;
}
C
show "PostgreSQL 15.20: an insert, a cancel a second later, another insert, in one pipeline"
expect "how it went" "PGRES_COMMAND_OK active PQcancel:1 PGRES_COMMAND_OK rows:2" "$("$temp/cancel")"
