"""What else the machine does while a sample is taken."""

import dataclasses
import pathlib
import re
import time

from benchlib import processes
from benchlib.processes import TICKS

QUIET = 0.3  # seconds without others before a sample begins
PATIENCE = 10.0  # seconds that this is waited for


def processor_seconds():
    """Processor time that everybody used so far, and what the hypervisor gave to other machines."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def started():
    """How many processes and threads the machine has started so far."""
    with open("/proc/stat") as stat:
        return next(int(line.split()[1]) for line in stat if line.startswith("processes "))


def stalled_seconds(file=pathlib.Path("/proc/pressure/cpu")):
    """Time in which somebody waited for a processor (PSI); None where the kernel does not tell."""
    try:
        found = re.search(r"^some .*total=(\d+)", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) / 1e6 if found else None


@dataclasses.dataclass(frozen=True)
class Moment:
    at: float
    busy: float  # of everybody
    stalled: float | None
    started: int
    own: processes.Look


class Disturbance:
    """What others took between construction and shares(). What is own is known by looks that are
    taken meanwhile: the server at the end has no parent that waits for it, and takes with it what
    it used. So others are judged until the last look."""

    def __init__(self):
        self.own = processes.Own()
        self.began, (_, self.steal) = time.monotonic(), processor_seconds()
        self.first = self.last = self.now()
        self.waited = 0.0

    def now(self):
        return Moment(time.monotonic(), processor_seconds()[0], stalled_seconds(), started(),
                      self.own.look())

    def look(self):
        now = self.now()
        self.waited += others_waited(self.last, now)
        self.last = now

    def shares(self):
        """What others used, for how long they alone waited, and what was stolen: of one core, or of
        the time."""
        if self.last is self.first:
            self.look()
        seconds = max(self.last.at - self.first.at, 1e-3)
        others = (self.last.busy - self.first.busy) - (self.last.own.used - self.first.own.used)
        stolen = processor_seconds()[1] - self.steal
        return (max(0.0, others / seconds), self.waited / seconds,
                max(0.0, stolen / max(time.monotonic() - self.began, 1e-3)))


def others_waited(before, after):
    """Seconds between two moments in which somebody waited for a processor, and nobody of ours: at
    least, for ours may have waited at the same time as each other. A thread that came and went is
    not seen, and may have waited all the time: then it is none."""
    ours, known = after.own.waits, before.own.waits
    fresh = ours.keys() - known.keys()
    unseen = after.started - before.started > len(fresh) or known.keys() - ours.keys()
    if unseen or before.stalled is None or after.stalled is None:
        return 0.0
    own = sum(waited - known.get(task, 0.0) for task, waited in ours.items())
    return max(0.0, after.stalled - before.stalled - own)


def await_calm(limit, tick=lambda: None):
    """Returns after a moment in which others took, and waited for, less than `limit` of a core; or
    when there was none in time."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        disturbance, stalled = Disturbance(), stalled_seconds()
        time.sleep(QUIET)
        waited = 0 if stalled is None else (stalled_seconds() - stalled) / QUIET
        if max(waited, *disturbance.shares()) <= limit:
            return
        tick()
