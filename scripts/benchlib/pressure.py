"""What else the machine does while a sample is taken."""

import os
import pathlib
import re
import resource
import time

TICKS = os.sysconf("SC_CLK_TCK")
QUIET = 0.3  # seconds without others before a sample begins
PATIENCE = 10.0  # seconds that this is waited for


def processor_seconds():
    """Processor time that everybody used so far, and what the hypervisor gave to other machines."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def own_seconds():
    used = 0.0
    for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    return used


def stalled_seconds(file=pathlib.Path("/proc/pressure/cpu")):
    """Time in which somebody waited for a processor (PSI); None where the kernel does not tell."""
    try:
        found = re.search(r"^some .*total=(\d+)", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) / 1e6 if found else None


class Disturbance:
    """What others took between construction and shares(), each as a share of one core."""

    def __init__(self):
        self.began, self.own = time.monotonic(), own_seconds()
        self.busy, self.steal = processor_seconds()

    def shares(self):
        busy, steal = processor_seconds()
        seconds = max(time.monotonic() - self.began, 1e-3)
        others = busy - self.busy - (own_seconds() - self.own)
        return max(0.0, others / seconds), max(0.0, (steal - self.steal) / seconds)


def await_calm(limit, tick=lambda: None):
    """Returns after a moment in which others took, and waited for, less than `limit` of a core; or
    when there was none in time. The pressure says something here only: later it is our own."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        disturbance, stalled = Disturbance(), stalled_seconds()
        time.sleep(QUIET)
        waited = 0 if stalled is None else (stalled_seconds() - stalled) / QUIET
        if max(waited, *disturbance.shares()) <= limit:
            return
        tick()
