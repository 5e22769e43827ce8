#!/usr/bin/env bash
# PgBouncer: in_hot_standby is what the server was when PgBouncer first met it, also after a failover.
#
# A server tells each client at the login whether it is a standby (in_hot_standby, PostgreSQL 14 and later), and
# libpq's target_session_attrs believes that. PgBouncer keeps what it was told at its first login at the server, and
# greets each client with it. A connection to the server that is there when that is promoted brings the news; where
# it has ended before, as in a failover, the next one does not: the clients are told of the old role until somebody
# says RECONNECT. In both directions. Seen with 1.18 and 1.26.1.
#
# Why a pool's author cares: target_session_attrs=read-write never connects to the new primary, or connects to a
# standby again and again, where each write ends in 25006. Whoever wants to know has to ask the server.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1 \
    pgbouncer=1.18.0-1+deb12u1 libevent-2.1-7=2.1.12-stable-8 libc-ares2=1.18.1-3
serve 15
# Stopped and started again as a standby of nobody.
kill -INT "${pids[0]}" && wait "${pids[0]}" || true
unprivileged touch "$temp/data/standby.signal"
"${as_nobody[@]}" "$root/usr/lib/postgresql/15/bin/postgres" -D "$temp/data" -k "$temp/socket" -p 5432 \
    -c listen_addresses= -c fsync=off >"$temp/server.log" 2>&1 &
pids[0]=$!
tries=0
until unprivileged "$root/usr/lib/postgresql/15/bin/pg_isready" -q -h "$PGHOST"; do
  [ $((tries += 1)) -le 200 ] || cannot "the server did not start again: $(tail -n 1 "$temp/server.log")"
  sleep 0.05
done
pool_with transaction
compile_c greeting <<'C'
#include <libpq-fe.h>
#include <stdio.h>

/* What a new client is told at its login, and what the server says when it is asked. */
int main(int argc, char **argv) {
  PGconn *c = PQconnectdb(argv[1]);
  PGresult *r;
  if (argc < 2 || PQstatus(c) != CONNECTION_OK) return 2;
  r = PQexec(c, "select pg_is_in_recovery()");
  printf("in_hot_standby=%s, in recovery: %s\n", PQparameterStatus(c, "in_hot_standby"), PQgetvalue(r, 0, 0));
  return 0;
}
C
compile_c promote <<'C'
#include <libpq-fe.h>

int main(int argc, char **argv) {
  PGconn *c = PQconnectdb(argv[1]);
  return argc == 2 && PQresultStatus(PQexec(c, "select pg_terminate_backend(pid) from pg_stat_activity "
                   "where backend_type = 'client backend' and pid <> pg_backend_pid()")) == PGRES_TUPLES_OK &&
                 PQresultStatus(PQexec(c, "select pg_promote()")) == PGRES_TUPLES_OK ? 0 : 2;
}
C
show "$("$root/usr/sbin/pgbouncer" --version | head -n 1), PostgreSQL 15.20"
direct="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
expect "a client of the standby's" "in_hot_standby=on, in recovery: t" "$("$temp/greeting" "$pooler")"
"$temp/promote" "$direct" || cannot "it was not promoted"
expect "a client of the new primary's, directly" "in_hot_standby=off, in recovery: f" "$("$temp/greeting" "$direct")"
expect "a client of the new primary's, through PgBouncer" "in_hot_standby=on, in recovery: f" "$("$temp/greeting" "$pooler")"
