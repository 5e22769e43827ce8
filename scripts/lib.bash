# What the bash scripts share. Sourced, never run.

# shellcheck disable=SC2034  # read by those who source this
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=${0##*/}

say() { printf '%s: %s\n' "$script" "$*"; }
fail() { printf '%s: %s\n' "$script" "$2" >&2; exit "$1"; }

# Wrong usage: says what is wrong, shows the usage text, and ends with status 2.
wrong_usage() { printf '%s: %s\n' "$script" "$1" >&2; usage >&2; exit 2; }

# run COMMAND...: runs it in a process group of its own, and gives its status. So a signal to this
# script, or Ctrl-C, ends the whole group, compilers and all, before the script itself ends.
job=
run() {
  local status=0
  set -m
  "$@" </dev/null &
  job=$!
  set +m
  wait "$job" || status=$?
  job=
  return "$status"
}

end_by_signal() {
  trap '' INT TERM HUP
  if [ -n "$job" ]; then
    kill -s TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
  exit "$1"
}
trap 'end_by_signal 129' HUP
trap 'end_by_signal 130' INT
trap 'end_by_signal 143' TERM

# fix_addresses "$@": starts the script again with address randomisation off where it goes too far:
# g++'s ThreadSanitizer cannot place its shadow where the kernel moves mappings by more than 28 bits.
fix_addresses() {
  if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] &&
      [ -z "${TIDEGATE_FIXED_ADDRESSES:-}" ] && setarch -R true 2>/dev/null; then
    TIDEGATE_FIXED_ADDRESSES=1 exec setarch -R "$0" "$@"
  fi
}
