#!/usr/bin/env bash
# Pgpool-II: in its mode "raw" a write that was answered for is undone when its session ends.
#
# "raw" is Pgpool-II's mode for one server that it does nothing to. What comes by the simple protocol (PQexec) is
# handed on, and is committed. What comes by the extended one (PQexecParams, a driver's every statement) Pgpool-II
# 4.3.5 runs in a transaction that it begins itself, and leaves open: the answer is "INSERT 0 1", and "ready" behind
# it says that a transaction is open. Nobody commits it. Whatever follows in the session is in it, too, and a
# client that does not look at the transaction status never knows. In the mode "streaming_replication" it is
# committed.
#
# Why a pool's author cares: a pool sees an open transaction when the lease ends, takes it for one that its user has
# left open, and rolls it back. Each write is lost, none has failed. A statement that was sent outside a transaction
# and leaves one open, though it was no BEGIN, has to be an error there and then.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1 \
    pgpool2=4.3.5-1+deb12u1 libpgpool2=4.3.5-1+deb12u1 libmemcached11=1.1.4-1 libhashkit2=1.1.4-1
serve 15
mkdir -m 777 "$temp/pgpool"

# pgpool_in MODE PORT: starts Pgpool-II in front of the server; $pooler is a connection string that leads to it.
pgpool_in() {
  local folder=$temp/pgpool/$1
  mkdir -m 777 "$folder"
  cat >"$folder/conf" <<TEXT
backend_clustering_mode = '$1'
backend_hostname0 = '$PGHOST'
backend_port0 = $PGPORT
listen_addresses = ''
port = $2
socket_dir = '$folder'
pcp_listen_addresses = ''
pcp_socket_dir = '$folder'
pid_file_name = '$folder/pid'
logdir = '$folder'
num_init_children = 4
sr_check_period = 0
enable_pool_hba = off
pool_passwd = ''
TEXT
  "${as_nobody[@]}" "$root/usr/sbin/pgpool" -n -f "$folder/conf" >"$folder/log" 2>&1 &
  pids+=($!)
  pooler="host=$folder port=$2 user=$PGUSER dbname=$PGDATABASE"
  local tries=0
  until [ -S "$folder/.s.PGSQL.$2" ]; do
    [ $((tries += 1)) -le 100 ] || cannot "Pgpool-II did not start: $(tail -n 1 "$folder/log")"
    sleep 0.05
  done
}

compile_c write <<'C'
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

/* One INSERT by either protocol, its tag and the transaction status behind it; and what another session, at the
   server itself, finds when this one has ended. */
int main(int argc, char **argv) {
  const char *states[] = {"idle", "active", "in a transaction", "in a failed transaction", "unknown"};
  PGconn *direct = argc == 4 ? PQconnectdb(argv[2]) : NULL;
  PGconn *c = argc == 4 ? PQconnectdb(argv[1]) : NULL;
  PGresult *r;
  if (c == NULL || PQstatus(c) != CONNECTION_OK || PQstatus(direct) != CONNECTION_OK) return 2;
  PQclear(PQexec(direct, "set client_min_messages = warning; drop table if exists written; create table written (n int)"));
  r = strcmp(argv[3], "extended") == 0
          ? PQexecParams(c, "insert into written values (1)", 0, NULL, NULL, NULL, NULL, 0)
          : PQexec(c, "insert into written values (1)");
  printf("%s, %s, ", PQcmdStatus(r), states[PQtransactionStatus(c)]);
  PQfinish(c);
  printf("%s stored\n", PQgetvalue(PQexec(direct, "select count(*) from written"), 0, 0));
  return 0;
}
C
direct="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
show "$("$root/usr/sbin/pgpool" --version 2>&1 | head -n 1), PostgreSQL 15.20"
expect "an INSERT directly, by the extended protocol" "INSERT 0 1, idle, 1 stored" "$("$temp/write" "$direct" "$direct" extended)"
pgpool_in streaming_replication 6433
expect "through Pgpool-II in streaming_replication" "INSERT 0 1, idle, 1 stored" "$("$temp/write" "$pooler" "$direct" extended)"
pgpool_in raw 6434
expect "through Pgpool-II in raw, by the simple protocol" "INSERT 0 1, idle, 1 stored" "$("$temp/write" "$pooler" "$direct" simple)"
expect "through Pgpool-II in raw, by the extended one" "INSERT 0 1, in a transaction, 0 stored" \
    "$("$temp/write" "$pooler" "$direct" extended)"
