#!/usr/bin/env python3
"""usage: statement_calls_test.py STATEMENT_CALLS

A statement costs no more system calls than PQexecPrepared: one to send, one to wait, one to receive,
also with a deadline or a stop_token. Counted by strace, as the difference between a long and a short
run, in which everything but the statements is the same.
"""

import shutil
import subprocess
import sys
import tempfile

SHORT, LONG = 50, 250
SKIPPED = 77  # as CMakeLists.txt has it


def calls(program, how, count):
    """How many system calls `count` statements take, the connect and all else included."""
    with tempfile.NamedTemporaryFile() as summary:
        subprocess.run(["strace", "-c", "-U", "calls,name", "-o", summary.name, program, how,
                        str(count)], check=True)
        lines = [line.split() for line in open(summary.name)]
    return sum(int(line[0]) for line in lines
               if len(line) == 2 and line[0].isdigit() and line[1] != "total")


def per_statement(program, how):
    # The least of three: a signal or an answer in two parts costs a call more.
    return min(calls(program, how, LONG) - calls(program, how, SHORT)
               for _ in range(3)) / (LONG - SHORT)


def main():
    if not shutil.which("strace"):
        sys.exit("strace is not installed; scripts/setup installs it")
    if subprocess.run(["strace", "-o", "/dev/null", "true"]).returncode != 0:
        print("skipped: this machine lets nobody trace a process")
        return SKIPPED
    program = sys.argv[1]
    cost = {how: per_statement(program, how) for how in ("libpq", "tidegate", "deadline", "stop")}
    print(", ".join(f"{how}: {count:.2f}" for how, count in cost.items()))
    # Half a call of tolerance would hide nothing: one more per statement is 1.0.
    return 1 if max(cost.values()) > max(cost["libpq"], 3) + 0.5 else 0


if __name__ == "__main__":
    sys.exit(main())
