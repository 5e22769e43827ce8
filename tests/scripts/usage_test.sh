#!/usr/bin/env bash
# Every script explains itself with --help, and answers a wrong flag with its usage and status 2.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" || exit 1

failures=0
expect() { # NAME WANTED_STATUS ACTUAL_STATUS OUTPUT
  if [ "$3" != "$2" ] || ! grep -qi '^usage: ' <<<"$4"; then
    printf '%s: status %s instead of %s, or no usage text:\n%s\n' "$1" "$3" "$2" "$4" >&2
    failures=$((failures + 1))
  fi
}

for script in *; do
  [ -f "$script" ] && [ -x "$script" ] || continue
  output=$("./$script" --help 2>/dev/null)
  expect "$script --help" 0 $? "$output"
  output=$("./$script" --no-such-flag 2>&1 >/dev/null)
  expect "$script --no-such-flag" 2 $? "$output"
done
[ "$failures" = 0 ]
