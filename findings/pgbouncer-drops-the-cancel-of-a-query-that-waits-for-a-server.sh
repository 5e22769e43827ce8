#!/usr/bin/env bash
# PgBouncer: the cancel of a query that waits for a server connection says "done" and does nothing.
#
# With all server connections in use a client's query waits in PgBouncer's queue. A cancel request for it is taken,
# and its connection is closed in good order, so PQcancel() returns 1: but the query keeps its place, and runs when
# its turn comes. Seen with 1.18, 1.24.1 and 1.26.1, in transaction mode.
#
# Why a pool's author cares: this is the moment when deadlines pass, because the pooler is full. Whoever takes
# the answer to the cancel for its effect waits for as long as the queue is, or runs the statement twice; and
# sending the request again helps only once the query has got its server. Before that the only thing that takes
# it back is to close the connection.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1 \
    pgbouncer=1.18.0-1+deb12u1 libevent-2.1-7=2.1.12-stable-8 libc-ares2=1.18.1-3
serve 15
pool_with transaction
compile_c queue <<'C'
#include <libpq-fe.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  PGconn *first = PQconnectdb(argv[1]), *second = PQconnectdb(argv[1]);
  PGcancel *key = PQgetCancel(second);
  char why[256] = "";
  PGresult *r;
  int canceled;
  if (argc < 2 || PQstatus(first) != CONNECTION_OK || PQstatus(second) != CONNECTION_OK) return 2;
  PQsendQuery(first, "select pg_sleep(2)");
  usleep(300000); /* it has the only server connection */
  PQsendQuery(second, "select 42");
  usleep(300000); /* it waits */
  canceled = PQcancel(key, why, sizeof why);
  r = PQgetResult(second);
  printf("PQcancel:%d %s:%s\n", canceled, PQresStatus(PQresultStatus(r)), PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
  return 0;
}
C
show "$("$root/usr/sbin/pgbouncer" --version | head -n 1), PostgreSQL 15.20"
expect "a query that waited was canceled, and then" "PQcancel:1 PGRES_TUPLES_OK:42" "$("$temp/queue" "$pooler")"
