"""`bench peers`: tidegate beside the pools that people could use instead, a process each."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from benchlib import REPOSITORY, files, pages, peers_report, results, targets, verdicts
from benchlib.companion import companion
from benchlib.process import Failed, run, signal_name
from benchlib.progress import Progress

DESCRIPTION = """\
tidegate beside the pools that people could use instead: same server, same statement, same number of
connections, all of them open before the clock starts. Each peer is a process of its own; in a round
all of them run once, in an order drawn anew, and a ratio is that of one round.
"""
EPILOG = """\
What is not installed is skipped, and named; `scripts/setup --peers` installs it.
Each round is kept in bench-results/peers/, as Google Benchmark writes it; Ctrl-C keeps what has run.

exit status: 0 every target was met, 1 a peer failed (the others' rows are there), 2 wrong usage,
             3 a target was missed, 128 + n ended by signal n
"""
PAGE = "peers"  # the name of the table in --markdown's page
RESULTS = REPOSITORY / "bench-results/peers"
BUSY = 0.5  # load average for each core, from which on others disturb
CANNOT_RUN = 77
TIMED_OUT, KILL_AFTER = 124, 5  # of timeout(1)
SERVER_CONNECTIONS = 8  # of PgBouncer: as many as the select rows have
SLOWEST, FASTEST = 1e-6, 1e15  # operations per second that a clock can have seen
SUFFIX = re.compile(r"/iterations:1(/real_time)?$")
SAY_SERVER = """
import json, os, sys
print(json.dumps({k: v for k, v in os.environ.items() if k.startswith(("PG", "TIDEGATE_PG_"))}),
      flush=True)
sys.stdin.read()
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float  # per row
    patience: float  # seconds for one program; then it has failed


FULL = Plan(rounds=7, seconds=0.5, patience=120)
QUICK = Plan(rounds=3, seconds=0.15, patience=90)


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str  # of its program, and of its rows
    title: str
    packages: str = ""  # of Debian, without which it is not built

    def missing(self):
        return (f"not installed (Debian package {self.packages}; scripts/setup --peers)"
                if self.packages else "not built")


PEERS = (
    Peer("pool", "tidegate::Pool"),
    Peer("lanes", "tidegate::Pool with 2 lanes"),
    Peer("core", "tidegate::core::ResourcePool, stubs"),
    Peer("plain", "plain form: one state word and a queue, stubs"),
    Peer("mutex_vector", "mutex + vector + condition variable, libpq"),
    Peer("soci", "SOCI connection_pool", "libsoci-dev"),
    Peer("poco", "Poco SessionPool", "libpoco-dev"),
    Peer("apr_reslist", "apr_reslist, apr_dbd", "libaprutil1-dev libaprutil1-dbd-pgsql"),
    Peer("libpqxx", "libpqxx, mutex + vector", "libpqxx-dev"),
    Peer("pgbouncer", "PgBouncer, connect per request", "pgbouncer"),
    Peer("hikaricp", "HikariCP (Java, TCP)",
         "libhikaricp-java libpostgresql-jdbc-java default-jdk-headless"),
    Peer("node_postgres", "node-postgres (one thread)", "nodejs npm"),
)


class Outcome:
    """What came of all rounds: rows, and why a peer has none."""

    def __init__(self):
        self.rounds = []  # of each {row's name: row}
        self.context = {}
        self.skipped = {}  # {peer's name: why}
        self.failed = {}

    def rows(self):
        return any(self.rounds)


def find_programs(folder):
    return {peer.name: folder / f"tidegate-bench-peer-{peer.name}" for peer in PEERS}


def build_programs(outcome):
    """Builds what can be built here, each for itself: {peer's name: program}."""
    print("bench: building", flush=True)
    if not made("cmake", "--preset", "bench", "--log-level=WARNING"):
        raise Failed("the build cannot be configured")
    folder = REPOSITORY / "build/bench/bench/peers"
    configured = (folder / "programs").read_text().split()
    programs = find_programs(folder)
    for peer in PEERS:
        if peer.name not in configured:
            outcome.skipped[peer.name] = peer.missing()
            del programs[peer.name]
            continue
        if not made("cmake", "--build", "--preset", "bench", "--parallel", os.cpu_count(),
                    "--target", f"tidegate-bench-peer-{peer.name}"):
            outcome.failed[peer.name] = "it does not build"
            del programs[peer.name]
    return programs


def made(*command):
    status, _, _ = run(command, cwd=REPOSITORY, stdout=sys.stderr)
    return status == 0


def take_one(name, program, plan, row_filter, environment, out, tick=None):
    """Runs one peer once and gives its result file's content. Throws Failed, or Skipped."""
    command = ["timeout", f"--kill-after={KILL_AFTER}", str(plan.patience), program,
               f"--benchmark_out={out}", "--benchmark_out_format=json", f"--seconds={plan.seconds}"]
    if row_filter:
        command.append(f"--benchmark_filter={row_filter}")
    status, _, complaints = run(command, tick, env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)
    last = complaints.strip().splitlines()[-1] if complaints.strip() else "and said nothing"
    if status == CANNOT_RUN:
        raise Skipped(last.removeprefix("skipped: "))
    if status == TIMED_OUT:
        raise Failed(f"it did not end within {plan.patience:g} s")
    if status < 0:
        raise Failed(f"ended by {signal_name(-status)}: {last}")
    if status != 0:
        raise Failed(f"ended with status {status}: {last}")
    if not out.exists() or out.stat().st_size == 0:
        return {"benchmarks": []}  # no row matches
    return checked(out, name)


def checked(out, name):
    """The content of a peer's result file, so that nobody has to look again: rows of its own, each
    with a rate that can be divided by, or with none."""
    try:
        result = json.loads(out.read_text())
        rows = result["benchmarks"]
        names = [SUFFIX.sub("", row["name"]) for row in rows]
        rates = [row.get("items_per_second", 0) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Failed(f"its result is no Google Benchmark JSON: {error!r}") from None
    if not isinstance(result.get("context", {}), dict):
        raise Failed("its result is no Google Benchmark JSON: its context is no object")
    for row, row_name, rate in zip(rows, names, rates):
        if not row_name.endswith(f"/{name}"):
            raise Failed(f"its result has a row '{row_name}', which is none of its own")
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not (
                rate == 0 or SLOWEST <= rate <= FASTEST):
            raise Failed(f"its row '{row_name}' has no number of items per second, but "
                         f"{rate!r:.40}")
        row["name"] = row["run_name"] = row_name
    return result


class Skipped(Exception):
    """A peer cannot run here, and says why."""


def take_sample(name, program, plan, row_filter, environment, out, outcome, tick=None):
    """Runs one peer once and adds its rows to the round, or says why it has none. Gives what came
    of it in a word."""
    try:
        result = take_one(name, program, plan, row_filter, environment, out, tick)
    except Skipped as skipped:
        outcome.skipped[name] = str(skipped)
        return "skipped"
    except Failed as failed:
        outcome.failed[name] = str(failed)
        return "failed"
    # The context of the first one, and what it does not know: not all tell the compiler.
    outcome.context = {**result.get("context", {}), **outcome.context}
    outcome.rounds[-1] |= {row["name"]: row for row in result["benchmarks"]}
    return "done"


def take_rounds(programs, plan, row_filter, environment, outcome, seed=1):
    """All samples. A peer that fails or skips itself is left out from then on."""
    drawn = random.Random(seed)
    progress = Progress(plan.rounds * len(programs))
    with tempfile.TemporaryDirectory(prefix="tidegate-peers-") as folder:
        for number in range(1, plan.rounds + 1):
            outcome.rounds.append({})
            order = [name for name in programs
                     if name not in outcome.failed and name not in outcome.skipped]
            drawn.shuffle(order)
            for name in order:
                out = pathlib.Path(folder) / f"{number}-{name}.json"
                progress.begin(f"round {number} of {plan.rounds}, {name}")
                came = take_sample(name, programs[name], plan, row_filter, environment, out,
                                   outcome, progress.tick)
                if came != "done":
                    progress.total -= plan.rounds - number  # it has no turn any more
                progress.end(came)
    progress.close()
    if not outcome.rows() and not outcome.failed:
        raise Failed(f"no row matches '{row_filter}'" if row_filter else "no peer has any row")


@contextlib.contextmanager
def servers(programs):
    """The environment of every peer: PostgreSQL, and PgBouncer before it if somebody wants it."""
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(companion(
            [REPOSITORY / "scripts/with-postgres", sys.executable, "-c", SAY_SERVER]))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment |= json.loads(line)
        if "pgbouncer" in programs:
            with contextlib.suppress(Failed):  # its own row says so
                port, folder = stack.enter_context(companion(
                    [REPOSITORY / "tests/support/pgbouncer.py", SERVER_CONNECTIONS],
                    env=environment)).split()
                environment["TIDEGATE_BENCH_PGBOUNCER"] = f"host={folder} port={port}"
        yield environment


def keep(outcome, place):
    """Puts the rounds in the place of those of the last run."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("run-*.json"):
        old.unlink()
    for number, rows in enumerate(outcome.rounds, 1):
        files.write(place / f"run-{number:03}.json", json.dumps(
            {"context": outcome.context, "benchmarks": list(rows.values())}, indent=2) + "\n")


def failed_rows(outcome):
    return {name: peers_report.why(row) for rows in outcome.rounds for name, row in rows.items()
            if row.get("error_occurred")}


def sound_rows(rows):
    return {name: row for name, row in rows.items() if not row.get("error_occurred")}


def report(arguments, plan, outcome):
    """Everything that is told at the end; true when no target was missed."""
    for reason, peers in (("skipped", outcome.skipped), ("failed", outcome.failed)):
        for peer in PEERS:
            if peer.name in peers:
                print(f"{reason}: {peer.title}: {peers[peer.name]}")
    if not outcome.rows():
        return True
    rounds = [rows for rows in outcome.rounds if rows]
    print(peers_report.table(PEERS, rounds, outcome.failed))
    judged = verdicts.report(targets.PEERS, list(map(sound_rows, rounds)), failed_rows(outcome))
    keep(outcome, arguments.results)  # after the table, which a full disk does not take away
    print(f"bench: {len(rounds)} rounds in {arguments.results}")
    if arguments.markdown:
        caption = pages.caption(str(outcome.context.get("date", results.now())),
                                results.environment_of([outcome.context]), arguments.words)
        pages.put(arguments.markdown, PAGE,
                  peers_report.markdown(PEERS, rounds, plan.seconds, caption))
    if arguments.plot:
        peers_report.plot(arguments.plot, PEERS, rounds)
    return not verdicts.missed(judged)


def main(arguments):
    if arguments.plot and peers_report.plotter() is None:
        raise Failed("--plot needs matplotlib "
                     "(Debian package python3-matplotlib; scripts/setup --peers)")
    results.check_folder(arguments.results)
    outcome = Outcome()
    if arguments.programs:
        programs = find_programs(arguments.programs)
        for peer in PEERS:
            if not programs[peer.name].exists():
                outcome.skipped[peer.name] = peer.missing()
                del programs[peer.name]
    else:
        programs = build_programs(outcome)
    if not programs:
        raise Failed("no peer can be run")
    plan = QUICK if arguments.quick else FULL
    if (load := os.getloadavg()[0]) > BUSY * os.cpu_count():
        print(f"bench: the machine is busy (load average {load:.1f}): the figures will show it",
              file=sys.stderr, flush=True)
    try:
        with servers(programs) as environment:
            take_rounds(programs, plan, arguments.filter, environment, outcome)
    except BaseException:
        if outcome.rows():
            print(f"bench: ended in round {len(outcome.rounds)} of {plan.rounds}")
            report(arguments, plan, outcome)
        raise
    met = report(arguments, plan, outcome)
    if outcome.failed or failed_rows(outcome):
        return 1
    return 0 if met else 3


def folder(text):
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"there is no folder '{text}'")
    return pathlib.Path(text)


def add_command(commands, regular_expression):
    command = commands.add_parser(
        "peers", prog="bench peers", help="The pools that people could use instead.",
        description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="scripts/bench peers [--help] [--plot FILE] [--markdown FILE] [--quick]\n"
              "         [--filter RE] [--programs DIR] [--results DIR]")
    command.add_argument("--filter", metavar="RE", default="", type=regular_expression,
                         help="only rows whose name matches, as 'lease/16.*/(pool|soci)'")
    command.add_argument("--quick", action="store_true",
                         help="three short rounds instead of seven longer ones")
    command.add_argument("--plot", metavar="FILE", type=files.picture,
                         help="bars, as .png or .svg")
    pages.add_argument(command, PAGE)
    command.add_argument("--programs", metavar="DIR", type=folder,
                         help="build nothing: run the tidegate-bench-peer-NAME of that folder")
    command.add_argument("--results", metavar="DIR", type=pathlib.Path, default=RESULTS,
                         help="keep the rounds there instead of in bench-results/peers")
    command.set_defaults(run=main)
