# What the findings share. Sourced, never run.
#
# A finding is a behaviour of a public server, library or tool, on valid input, that the author of a pool would
# not have sworn to. Each script fetches pinned packages with apt into a folder of its own, runs them from
# there, without tidegate, shows what was seen, and ends with 1 when it is not so any more (2: it cannot be
# run here, for example because the pinned version is gone from the mirrors).

set -euo pipefail
finding=${0##*/}
if [ "${1:-}" = --help ]; then
  echo "usage: findings/$finding"
  echo
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit 0
fi
[ $# = 0 ] || { echo "$finding: takes no argument but --help" >&2; exit 2; }

temp=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-finding.XXXXXX")
chmod 755 "$temp"
root=$temp/root
pids=()
clean_up() {
  for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf --one-file-system "$temp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cannot() { echo "$finding: cannot be run here: $*" >&2; exit 2; }
show() { printf '%s\n' "$*"; }

# expect WHAT WANTED SEEN: the finding still holds in this.
expect() {
  if [ "$2" = "$3" ]; then
    show "as found: $1: $3"
  else
    show "CHANGED: $1: it was '$2' and is '$3'"
    exit 1
  fi
}

# fetch PACKAGE=VERSION...: unpacks them below $root. Nothing is installed.
fetch() {
  mkdir -p "$temp/packages" "$root"
  (cd "$temp/packages" && apt-get -q download "$@" >"$temp/fetch.log" 2>&1) ||
    cannot "apt-get download $* failed: $(tail -n 1 "$temp/fetch.log")"
  local package
  for package in "$temp"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
  local libraries
  libraries=$(dirname "$(find "$root" -name 'libpq.so.5' | head -n 1)" 2>/dev/null) || true
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# A server may not run as root.
as_nobody=()
if [ "$(id -u)" = 0 ]; then as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
unprivileged() { "${as_nobody[@]}" "$@"; }

# serve MAJOR [SETTING=VALUE...]: starts a PostgreSQL server of what was fetched, on a Unix socket in $temp; from
# here on PGHOST, PGPORT, PGUSER and PGDATABASE lead to it.
serve() {
  local bin=$root/usr/lib/postgresql/$1/bin data=$temp/data settings=()
  shift
  install -d -m 700 "$data"
  mkdir -m 777 "$temp/socket"
  if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$data"; fi
  unprivileged "$bin/initdb" -D "$data" -U finder -A trust --no-sync -E UTF8 --locale=C >"$temp/initdb.log" 2>&1 ||
    cannot "initdb failed: $(tail -n 1 "$temp/initdb.log")"
  for setting; do settings+=(-c "$setting"); done
  "${as_nobody[@]}" "$bin/postgres" -D "$data" -k "$temp/socket" -p 5432 -c listen_addresses= -c fsync=off \
      "${settings[@]}" >"$temp/server.log" 2>&1 &
  pids+=($!)
  export PGHOST=$temp/socket PGPORT=5432 PGUSER=finder PGDATABASE=postgres
  local tries=0
  until unprivileged "$bin/pg_isready" -q -h "$PGHOST"; do
    [ $((tries += 1)) -le 200 ] || cannot "the server did not start: $(tail -n 1 "$temp/server.log")"
    sleep 0.05
  done
}

# pool_with POOL_MODE [SETTING=VALUE...]: starts the PgBouncer that was fetched, with one server connection, in front
# of the server; $pooler is a connection string that leads to it.
pool_with() {
  local mode=$1
  shift
  {
    printf '[databases]\n* = host=%s port=%s user=%s\n' "$PGHOST" "$PGPORT" "$PGUSER"
    printf '[pgbouncer]\nunix_socket_dir=%s\nlisten_port=6432\nauth_type=any\npool_mode=%s\n' "$temp/socket" "$mode"
    printf 'default_pool_size=1\n'
    printf '%s\n' "$@"
  } >"$temp/pgbouncer.ini"
  "${as_nobody[@]}" "$root/usr/sbin/pgbouncer" -q "$temp/pgbouncer.ini" >"$temp/pgbouncer.log" 2>&1 &
  pids+=($!)
  # shellcheck disable=SC2034  # read by those who source this
  pooler="host=$temp/socket port=6432 user=$PGUSER dbname=$PGDATABASE"
  local tries=0
  until [ -S "$temp/socket/.s.PGSQL.6432" ]; do
    [ $((tries += 1)) -le 100 ] || cannot "PgBouncer did not start: $(tail -n 1 "$temp/pgbouncer.log")"
    sleep 0.05
  done
}

# compile_c PROGRAM: the C on standard input, with the libpq that was fetched, as $temp/PROGRAM.
compile_c() {
  command -v cc >/dev/null || cannot "there is no C compiler (Debian package gcc)"
  cat >"$temp/$1.c"
  cc -Wall -Werror -o "$temp/$1" "$temp/$1.c" -I "$root/usr/include/postgresql" -L "$LD_LIBRARY_PATH" -lpq
}
