"""Samples: one process each, taken while the machine is calm, kept under bench-results/."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from benchlib import REPOSITORY
from benchlib.process import Failed, run

RESULTS = REPOSITORY / "bench-results"


@dataclasses.dataclass(frozen=True)
class Plan:
    samples: int
    min_time: float  # seconds per row
    fixed_time: float  # seconds per row that runs for a fixed time
    # Of one core, what others may use during a sample. The server counts among them: where it works,
    # there is no telling.
    calm: float = 0.1


FULL = Plan(samples=7, min_time=0.2, fixed_time=1.0)
QUICK = Plan(samples=3, min_time=0.05, fixed_time=0.3)


def busy_seconds():
    """Processor time that everybody used so far, and what the hypervisor took away."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Disturbance:
    """How much of one core others used between construction and share()."""

    def __init__(self):
        self.began, self.busy, self.own = time.monotonic(), busy_seconds(), own_seconds()

    def share(self):
        others = busy_seconds() - self.busy - (own_seconds() - self.own)
        return max(0.0, others / (time.monotonic() - self.began))


def take_one(program, plan, row_filter, out):
    """Runs the program once, with a server for the rows that need one. Gives what it skipped."""
    command = [REPOSITORY / "scripts/with-postgres", program, f"--benchmark_out={out}",
               "--benchmark_out_format=json", f"--benchmark_min_time={plan.min_time}",
               f"--seconds={plan.fixed_time}"]
    if row_filter:
        command.append(f"--benchmark_filter={row_filter}")
    status, _, complaints = run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if status != 0:
        raise Failed(f"{program.name} ended with status {status}:\n{complaints}")
    if out.stat().st_size == 0:
        raise Failed(f"no row matches '{row_filter}'")
    return [line for line in complaints.splitlines() if line.startswith("skipped:")]


def take(name, program, plan, row_filter):
    """Takes plan.samples samples, up to twice as many when the machine is not calm, and gives the
    calmest ones, each as {row's name: row}. They replace bench-results/<name>/."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=RESULTS) as folder:
        folder = pathlib.Path(folder)
        taken = []
        began = time.monotonic()
        while calm_ones(taken, plan) < plan.samples and len(taken) < 2 * plan.samples:
            out = folder / f"sample-{len(taken) + 1:03}.json"
            disturbance = Disturbance()
            skipped = take_one(program, plan, row_filter, out)
            taken.append((disturbance.share(), out))
            if len(taken) == 1:
                print(*skipped, sep="\n", end="\n" if skipped else "")
            tell_progress(taken, plan, (time.monotonic() - began) / len(taken))
        taken.sort(key=lambda sample: sample[0])
        for _, out in taken[plan.samples:]:
            out.unlink()
        del taken[plan.samples:]
        for number, (_, out) in enumerate(taken, 1):
            out.rename(folder / f"run-{number:03}.json")
        write_meta(folder / "meta.json", name, plan, row_filter, [share for share, _ in taken])
        place = RESULTS / name
        shutil.rmtree(place, ignore_errors=True)
        folder.chmod(0o755)
        shutil.copytree(folder, place)
        print(f"bench: {len(taken)} samples in {place.relative_to(REPOSITORY)}")
        return [rows_of(file) for file in sorted(place.glob("run-*.json"))]


def calm_ones(taken, plan):
    return sum(share <= plan.calm for share, _ in taken)


def tell_progress(taken, plan, seconds_each):
    share = taken[-1][0]
    left = plan.samples - calm_ones(taken, plan)
    words = f"others used {share:.0%} of a core"
    if share > plan.calm:
        words += "; to be repeated" if len(taken) < 2 * plan.samples else ""
    print(f"bench: sample {len(taken)}: {words}; {left} to go, about {left * seconds_each:.0f} s",
          file=sys.stderr, flush=True)


def rows_of(file):
    with open(file) as text:
        return {row["name"]: row for row in json.load(text)["benchmarks"]}


def write_meta(file, name, plan, row_filter, disturbance):
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, text=True,
                              capture_output=True)
    file.write_text(json.dumps({
        "suite": name, "filter": row_filter, **dataclasses.asdict(plan),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "revision": revision.stdout.strip(), "machine": platform.machine(),
        "kernel": platform.release(), "cores": os.cpu_count(),
        "others_used_of_a_core": [round(share, 3) for share in disturbance]}, indent=2) + "\n")
