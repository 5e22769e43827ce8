#!/usr/bin/env bash
# libpq: a lost connection forgets its socket and its server process, in the middle of a call.
#
# When PQconsumeInput() or PQgetResult() reads the end of a session, libpq closes the socket itself and resets what
# it knows of the server: from then on PQsocket() is -1, PQbackendPID() is 0 and PQserverVersion() is 0, before
# PQfinish() was called. The host stays, and PQparameterStatus() still has the version. The manual says what
# PQsocket() of a connection that is not open is; of the process number it does not say that it can go.
#
# Why a pool's author cares: (1) the log line that matters most, which connection was lost, reads "server process
# 0", unless the number was kept from the start. (2) The number of the socket is free at once: another thread's
# next open() may get it, while an event loop that registered the old one (epoll keeps a closed descriptor only by
# its number) still has it in its tables: it then watches, or removes, somebody else's. Watch a duplicate.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15
compile_c lost <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char *text(const char *s) { return s != NULL && *s != 0 ? s : "none"; }

static void tell(PGconn *c) {
  printf("pid:%s socket:%s host:%s version:%d reported:%s\n", PQbackendPID(c) > 0 ? "yes" : "0",
         PQsocket(c) >= 0 ? "open" : "-1", PQhost(c) != NULL && *PQhost(c) != 0 ? "yes" : "no",
         PQserverVersion(c) / 10000, text(PQparameterStatus(c, "server_version")));
}

int main(int argc, char **argv) {
  PGconn *c = PQconnectdb("");
  PGconn *other = PQconnectdb("");
  char end[80];
  if (PQstatus(c) != CONNECTION_OK || PQstatus(other) != CONNECTION_OK)
    return fprintf(stderr, "%s", PQerrorMessage(c)), 2;
  if (argc > 1) return printf("%d\n", PQlibVersion()), 0;
  tell(c);
  int number = PQsocket(c);
  snprintf(end, sizeof end, "select pg_terminate_backend(%d)", PQbackendPID(c));
  PQclear(PQexec(other, end));
  struct pollfd wait = {.fd = number, .events = POLLRDHUP};
  poll(&wait, 1, 10000);
  while (PQconsumeInput(c) != 0 && PQstatus(c) == CONNECTION_OK) {}
  tell(c);
  printf("%s\n", open("/dev/null", O_RDONLY) == number ? "reused" : "not reused");
  PQfinish(c);
  PQfinish(other);
  return 0;
}
C
show "libpq $("$temp/lost" version), PostgreSQL 15.20"
mapfile -t seen < <("$temp/lost")
expect "of an open connection" "pid:yes socket:open host:yes version:15 reported:15.20 (Debian 15.20-0+deb12u1)" "${seen[0]}"
expect "of a lost one, before PQfinish()" "pid:0 socket:-1 host:yes version:0 reported:15.20 (Debian 15.20-0+deb12u1)" "${seen[1]}"
expect "the next descriptor that the process opens has the socket's number" "reused" "${seen[2]}"
