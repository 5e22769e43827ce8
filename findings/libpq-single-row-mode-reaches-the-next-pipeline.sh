#!/usr/bin/env bash
# libpq: single-row mode reaches into the next pipeline.
#
# PQsetSingleRowMode() is documented as concerning the query that was just sent. After such a query has been
# read to its end, the first command of the next pipeline comes row by row, too, though nobody asked: its
# rows arrive in results of their own (PGRES_SINGLE_TUPLE), and the result with PGRES_TUPLES_OK has none.
# A plain query in between ends it.
#
# Why a pool's author cares: streaming one big answer and pipelining a batch are features of different
# users, who share one connection one after the other. Code for batches that takes one result for each
# statement, as most does, keeps the last, which is empty: rows are lost without an error.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1 libpq-dev=15.20-0+deb12u1
serve 15
compile_c rows <<'C'
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One command in a pipeline: prints the status and the number of rows of each of its results. */
static void pipelined(PGconn *c) {
  PGresult *r;
  PQenterPipelineMode(c);
  PQsendQueryParams(c, "select 42", 0, NULL, NULL, NULL, NULL, 0);
  PQpipelineSync(c);
  while ((r = PQgetResult(c)) != NULL) {
    printf("%s:%d ", PQresStatus(PQresultStatus(r)), PQntuples(r));
    PQclear(r);
  }
  PQclear(PQgetResult(c)); /* the sync */
  PQexitPipelineMode(c);
  printf("\n");
}

int main(int argc, char **argv) {
  PGconn *c = PQconnectdb("");
  PGresult *r;
  if (PQstatus(c) != CONNECTION_OK) return fprintf(stderr, "%s", PQerrorMessage(c)), 2;
  if (argc > 1 && strcmp(argv[1], "version") == 0) return printf("%d\n", PQlibVersion()), 0;
  pipelined(c);
  PQsendQueryParams(c, "select 1", 0, NULL, NULL, NULL, NULL, 0);
  PQsetSingleRowMode(c);
  while ((r = PQgetResult(c)) != NULL) PQclear(r);
  if (argc > 1 && strcmp(argv[1], "between") == 0) PQclear(PQexec(c, "select 1"));
  pipelined(c);
  PQfinish(c);
  return 0;
}
C
show "libpq $("$temp/rows" version), PostgreSQL 15.20"
mapfile -t seen < <("$temp/rows")
expect "a pipeline before any of it" "PGRES_TUPLES_OK:1 " "${seen[0]}"
expect "a pipeline after a query in single-row mode" "PGRES_SINGLE_TUPLE:1 PGRES_TUPLES_OK:0 " "${seen[1]}"
mapfile -t seen < <("$temp/rows" between)
expect "the same with a plain query in between" "PGRES_TUPLES_OK:1 " "${seen[1]}"
