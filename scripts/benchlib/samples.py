"""Samples: one process each, taken in turns while the machine is calm."""

import dataclasses
import pathlib
import random
import subprocess
import tempfile
import time

from benchlib import REPOSITORY, pressure, results
from benchlib.process import Failed, run
from benchlib.progress import Progress


@dataclasses.dataclass(frozen=True)
class Plan:
    samples: int
    min_time: float  # seconds per row
    fixed_time: float  # seconds per row that runs for a fixed time
    # During a sample that counts: of one core, what others may use; of its time, for how long they
    # may wait for one. And what the hypervisor may take away of one.
    calm: float = 0.1
    steal: float = 0.05
    patient: bool = True  # waits for that, and repeats samples without it


FULL = Plan(samples=12, min_time=0.2, fixed_time=1.0)
QUICK = Plan(samples=3, min_time=0.05, fixed_time=0.3)


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the programs that are measured in turns, and the run that its samples become."""
    name: str
    program: pathlib.Path
    revision: str


@dataclasses.dataclass(frozen=True)
class Sample:
    file: pathlib.Path
    at: float  # seconds since the first one
    took: float
    others: float
    waited: float
    steal: float

    def is_calm(self, plan):
        return max(self.others, self.waited) <= plan.calm and self.steal <= plan.steal

    def about(self):
        return {"at_seconds": round(self.at, 1), "took_seconds": round(self.took, 1),
                "others_used_of_a_core": round(self.others, 3),
                "others_waited_share": round(self.waited, 3),
                "stolen_of_a_core": round(self.steal, 3)}


def schedule(sides, samples, seed):
    """Rounds in which every side has one turn, in an order that is drawn anew for each: a machine
    that slows down and speeds up again favours none."""
    draw = random.Random(seed)
    return [side for _ in range(samples) for side in draw.sample(sides, len(sides))]


def best(taken, plan):
    """As many as are wanted, the calmest when there are more, in the order they were taken."""
    calmest = sorted(taken, key=lambda sample: (not sample.is_calm(plan),
                                                sample.steal + sample.others + sample.waited))
    return sorted(calmest[:plan.samples], key=lambda sample: sample.at)


def run_once(program, plan, row_filter, out, tick):
    """Runs the program once, with a server for the rows that need one. Gives what it skipped."""
    command = [REPOSITORY / "scripts/with-postgres", program, f"--benchmark_out={out}",
               "--benchmark_out_format=json", f"--benchmark_min_time={plan.min_time}",
               f"--seconds={plan.fixed_time}"]
    if row_filter:
        command.append(f"--benchmark_filter={row_filter}")
    status, _, complaints = run(command, tick, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if status != 0:
        raise Failed(f"{program.name} ended with status {status}:\n{complaints}")
    if not out.exists() or out.stat().st_size == 0:
        raise Failed(f"no row matches '{row_filter}'" if row_filter else
                     f"{program.name} wrote no result")
    return [line for line in complaints.splitlines() if line.startswith("skipped:")]


class Taking:
    """All samples of one command: a queue of turns, and what came of them so far."""

    def __init__(self, sides, plan, row_filter, folder, seed):
        self.plan, self.row_filter, self.folder = plan, row_filter, folder
        self.turns = schedule(sides, plan.samples, seed)
        self.taken = {side: [] for side in sides}
        self.repeated = dict.fromkeys(sides, 0)
        self.progress = Progress(len(self.turns))
        self.began = time.monotonic()
        self.told = set()

    def go_on(self):
        while self.turns:
            self.take(self.turns.pop(0))
        self.progress.close()

    def take(self, side):
        self.progress.begin(side.name)
        if self.plan.patient:
            pressure.await_calm(self.plan.calm, self.progress.tick)
        began, disturbance = time.monotonic(), pressure.Disturbance()
        out = self.folder / f"{sum(map(len, self.taken.values()))}.json"
        skipped = run_once(side.program, self.plan, self.row_filter, out,
                           lambda: (self.progress.tick(), disturbance.look()))
        others, waited, steal = disturbance.shares()
        sample = Sample(out, began - self.began, time.monotonic() - began, others, waited, steal)
        self.taken[side].append(sample)
        words = (f"others used {others:.0%} of a core and waited {waited:.0%} of the time, "
                 f"{steal:.0%} was stolen")
        again = self.plan.patient and self.repeated[side] < self.plan.samples
        if again and not sample.is_calm(self.plan):
            self.repeated[side] += 1
            self.turns.append(side)
            self.progress.total += 1
            words += ", to be repeated"
        self.progress.end(words)
        for line in skipped:
            if line not in self.told:
                print(line, flush=True)
        self.told.update(skipped)

    def is_complete(self, side):
        return len(self.taken[side]) >= self.plan.samples and side not in self.turns


def take(sides, suite, plan, row_filter, seed):
    """Takes plan.samples samples of each side, in turns. One taken while others kept the machine
    busy is repeated, at most plan.samples times for a side; the calmest are kept. Each side's
    samples become the run of its name, in the place of what had it; also when the rest is never
    taken (Ctrl-C, a program that fails), and then the run says that it is incomplete."""
    results.FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".taking-", dir=results.FOLDER) as folder:
        taking = Taking(list(sides), plan, row_filter, pathlib.Path(folder), seed)
        began = results.now()
        try:
            taking.go_on()
        finally:
            for side in sides:
                kept = best(taking.taken[side], plan)
                if not kept:
                    continue
                complete = taking.is_complete(side)
                place = results.store(
                    side.name, [(sample.file, sample.about()) for sample in kept],
                    {"complete": complete, "suite": suite, "filter": row_filter,
                     "samples_wanted": plan.samples, "min_time": plan.min_time,
                     "fixed_time": plan.fixed_time, "seed": seed,
                     "taken_in_turns_with": [other.name for other in sides if other != side],
                     "date": began, "revision": side.revision,
                     "repeated": taking.repeated[side],
                     "taken_under_pressure": sum(not sample.is_calm(plan) for sample in kept)})
                print(f"bench: {'' if complete else 'incomplete: '}{len(kept)} samples in {place}"
                      f"{f' of {plan.samples}' if not complete else ''}"
                      f"{f', {taking.repeated[side]} repeated' if taking.repeated[side] else ''}",
                      flush=True)
