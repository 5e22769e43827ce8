#!/usr/bin/env bash
# PostgreSQL: DISCARD ALL keeps the seed that somebody gave random().
#
# DISCARD ALL is described as bringing a session back to its initial state, and is what poolers send between two
# clients. A seed set by setseed() is no setting and outlives it: the next user's "random" values are the ones
# that the previous user knows in advance. So it is with gen_random_uuid's neighbours that build on random();
# gen_random_uuid() itself draws elsewhere.
#
# Why a pool's author cares: "reset = discard_all" is the strongest hygiene short of a new connection, and it
# does not separate two users in this. Whoever lends connections to users who do not trust each other, where
# random() makes tokens or chooses samples, has to call setseed(random-from-elsewhere) or reconnect.
. "$(dirname "$0")/lib.bash"

fetch postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5=15.20-0+deb12u1
serve 15
ask() { "$root/usr/lib/postgresql/15/bin/psql" -X -A -t -q "$@"; }

show "PostgreSQL 15.20"
next_user() { ask -c "select setseed(0.5)" -c "discard all" -c "select random(), random()" | tail -n 1; }
first=$(next_user)
expect "what two sessions draw behind DISCARD ALL, after somebody's setseed(0.5)" "$first" "$(next_user)"
expect "a session that nobody has seeded draws the same" no "$([ "$(ask -c "select random(), random()")" = "$first" ] && echo yes || echo no)"
