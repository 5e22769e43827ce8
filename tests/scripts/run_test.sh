#!/usr/bin/env bash
# `run` of scripts/lib.bash: gives the command's status, and a signal to a script that waits in it
# ends all that the command started before the script ends.
set -u
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)/lib.bash
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failures=0
expect() { # WHAT WANTED ACTUAL
  if [ "$2" != "$3" ]; then
    printf '%s: %s instead of %s\n' "$1" "$3" "$2" >&2
    failures=$((failures + 1))
  fi
}

cat >"$work/script" <<TEXT
set -euo pipefail
. "$lib"
run "\$@"
TEXT

bash "$work/script" bash -c 'exit 7'
expect "status" 7 $?
output=$(bash "$work/script" bash -c 'echo out; cat' </dev/zero)
expect "output, and an input that is empty" out "$output"

for name in INT TERM HUP; do
  rm -f "$work/pids"
  # Out of a Python process: bash would start a background script with SIGINT ignored.
  python3 - "$name" "$work" <<'PYTHON'
import os, signal, subprocess, sys, time

name, work = sys.argv[1:]
script = subprocess.Popen(["bash", work + "/script", "bash", "-c",
                           f"sleep 1000 & echo $$ $! >{work}/part; mv {work}/part {work}/pids; wait"])
while not os.path.exists(work + "/pids"):
    time.sleep(0.01)
script.send_signal(getattr(signal, "SIG" + name))
sys.exit(script.wait(60) % 256)
PYTHON
  status=$?
  expect "status after $name" $((128 + $(kill -l "$name"))) "$status"
  for pid in $(cat "$work/pids"); do
    state=$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null || echo gone)
    if [ "$state" != gone ] && [ "$state" != Z ]; then
      expect "process $pid after $name" gone "$state"
    fi
  done
done
[ "$failures" = 0 ]
