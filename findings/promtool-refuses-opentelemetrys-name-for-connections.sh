#!/usr/bin/env bash
# promtool refuses OpenTelemetry's own name for the number of connections.
#
# OpenTelemetry's conventions for database clients call the number of a pool's connections
# "db.client.connection.count"; in Prometheus' spelling that is db_client_connection_count. Prometheus keeps
# the suffix _count for the parts of histograms and summaries, so `promtool check metrics` objects to the gauge
# and ends with status 3, as for a metric that is really wrong; the scrape itself takes it. One line of valid
# input shows it; with any other name the same line passes.
#
# Why a pool's author cares: whoever exports the conventional names, as dashboards and collectors expect them,
# cannot have "promtool check metrics" among the tests without an exception for this one name. And a pool that
# also has a histogram of that stem would overwrite its own gauge.
. "$(dirname "$0")/lib.bash"

version=2.42.0+ds-5+deb12u1
fetch prometheus=$version
promtool=$root/usr/bin/promtool
"$promtool" --version | head -n 1

check() { # NAME: the status, and what is said
  local said status=0
  said=$(printf '# HELP %s Connections.\n# TYPE %s gauge\n%s{state="idle"} 2\n' "$1" "$1" "$1" |
           "$promtool" check metrics 2>&1) || status=$?
  show "$status ${said:-nothing}"
}
expect "a gauge with OpenTelemetry's name" \
  '3 db_client_connection_count non-histogram and non-summary metrics should not have "_count" suffix' \
  "$(check db_client_connection_count)"
expect "the same gauge with another name" "0 nothing" "$(check db_client_connection_number)"
