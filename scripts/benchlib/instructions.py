"""Instructions per acquire and release on a warm pool, counted by callgrind: no clock, no noise."""

import json
import pathlib
import platform
import re
import shutil
import tempfile

from benchlib import REPOSITORY, build
from benchlib.process import Failed, run

BASELINE = REPOSITORY / "bench/instructions.json"
LIMIT = 150  # M4, with any compiler
TOLERANCE = 1.02  # over the baseline, which is one compiler's
CYCLES = 100_000
COUNTED = "tidegate_counted_cycles"  # the function that makes them, in bench/instructions
REGRESSION = 3
PROGRAMS = ("tidegate-instructions-core", "tidegate-instructions-pool")


def count(program):
    """Gives the program's row, its compiler, and the instructions per cycle."""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed; scripts/setup installs it")
    with tempfile.TemporaryDirectory(prefix="tidegate-callgrind-") as folder:
        out = pathlib.Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                   f"--toggle-collect={COUNTED}", program, CYCLES]
        if program.name.endswith("-pool"):
            command.insert(0, REPOSITORY / "scripts/with-postgres")
        status, told, complaints = run(command, stdout=-1, stderr=-1)
        if status != 0:
            raise Failed(f"{program.name} ended with status {status} in valgrind:\n{complaints}")
        return *read_row(told, program), read_total(out) / CYCLES


def read_row(told, program):
    """A program says one line: its row, a tab, its compiler."""
    found = re.fullmatch(r"(\w+)\t(.+)\n", told)
    if not found:
        raise Failed(f"{program.name} did not say what it counts, but {told!r}")
    return found[1], found[2]


def read_total(out):
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text() if out.exists() else "",
                      re.MULTILINE)
    if not found or int(found[1]) < CYCLES:
        raise Failed(f"callgrind counted next to nothing: is {COUNTED} called in the program?")
    return int(found[1])


def key(compiler):
    return f"{compiler}, {platform.machine()}"


def load_baseline():
    try:
        baseline = json.loads(BASELINE.read_text())
        if all(isinstance(rows, dict) for rows in baseline.values()):
            return baseline
        raise ValueError("it is not {compiler: {row: instructions}}")
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise Failed(f"{BASELINE} is no baseline: {error}") from None


def judge(row, counted, known):
    """(passed, why). `known`: the baseline of this compiler, None where there is none."""
    if counted > LIMIT:
        return False, f"more than {LIMIT}"
    if known is None:
        return True, f"at most {LIMIT}; no baseline for this compiler, so that is all"
    change = round(counted / known - 1, 3) + 0.0  # what rounds to nothing has no sign
    if counted > known * TOLERANCE:
        return False, f"{change:+.1%} of the baseline, {known:.2f}; {TOLERANCE - 1:.0%} are allowed"
    better = "; --update makes it the new one" if counted * TOLERANCE < known else ""
    return True, f"{change:+.1%} of the baseline, {known:.2f}{better}"


def measure(programs, update):
    """Gives the exit status."""
    baseline, passed = load_baseline(), True
    for program in programs:
        row, compiler, counted = count(program)
        if update:
            baseline.setdefault(key(compiler), {})[row] = round(counted, 2)
        good, why = judge(row, counted, baseline.get(key(compiler), {}).get(row))
        passed = passed and good
        print(f"{row:5} {counted:7.2f} instructions  {'PASS' if good else 'FAIL'}  {why}"
              f"  ({key(compiler)})", flush=True)
    if update:
        BASELINE.write_text(json.dumps(baseline, indent=2, sort_keys=True) + "\n")
        print(f"bench: wrote {BASELINE.relative_to(REPOSITORY)}")
    return 0 if passed else REGRESSION


def insn(arguments):
    if arguments.program:
        programs = [pathlib.Path(program).absolute() for program in arguments.program]
        for program in programs:
            if not program.is_file():
                raise Failed(f"there is no program {program}")
    else:
        folder = build.build(*PROGRAMS) / "bench/instructions"
        programs = [folder / program for program in PROGRAMS]
    return measure(programs, arguments.update)
