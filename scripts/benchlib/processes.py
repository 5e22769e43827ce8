"""The processes of this script: all below it, and those of the throw-away server, also when a
benchmark has restarted it and it is nobody's child any more."""

import contextlib
import dataclasses
import os
import pathlib
import resource

TICKS = os.sysconf("SC_CLK_TCK")
PROC = pathlib.Path("/proc")
DATA = b"TIDEGATE_PG_DATADIR="  # of scripts/with-postgres, in the environment of what it runs


@dataclasses.dataclass(frozen=True)
class Look:
    used: float  # processor time in seconds
    waits: dict  # {thread: seconds that it was ready and waited for a processor}, of those alive


def used_by(pid):
    """Seconds of a process, and of its children that it has waited for."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def below(root, found):
    """Adds {process: {thread: seconds it waited}} of `root` and all below it."""
    pending = [root]
    while pending:
        pid = pending.pop()
        waits, children = {}, []
        with contextlib.suppress(OSError, ValueError):  # it ends meanwhile
            for task in (PROC / str(pid) / "task").iterdir():
                waits[int(task.name)] = int((task / "schedstat").read_text().split()[1]) / 1e9
                children += map(int, (task / "children").read_text().split())
        found[pid] = waits
        pending += [child for child in children if child not in found]


class Own:
    def __init__(self):
        self.data = None  # the server's directory, once it is known
        self.orphan, self.orphan_used = None, 0.0
        self.gone = 0.0  # used by orphans that are no more; nobody has waited for them

    def look(self):
        found = {}
        below(os.getpid(), found)
        server = self.server(found)
        used = self.used(found)
        if server != self.orphan:
            self.gone += self.orphan_used
            self.orphan, self.orphan_used = server, 0.0
        if server:
            of_server = {}
            below(server, of_server)
            self.orphan_used = max(self.orphan_used, self.used(of_server))
            found |= of_server
        for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF):
            usage = resource.getrusage(who)
            used += usage.ru_utime + usage.ru_stime
        return Look(used + self.gone + self.orphan_used,
                    {task: waited for waits in found.values() for task, waited in waits.items()})

    @staticmethod
    def used(found):
        seconds = 0.0
        for pid in found:
            if pid != os.getpid():
                with contextlib.suppress(OSError, ValueError):
                    seconds += used_by(pid)
        return seconds

    def server(self, found):
        """The server's first process, if it is alive and not among `found`."""
        for pid in found if self.data is None else ():
            with contextlib.suppress(OSError):
                for word in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                    if word.startswith(DATA):
                        self.data = pathlib.Path(os.fsdecode(word.removeprefix(DATA)))
        with contextlib.suppress(OSError, ValueError, IndexError, TypeError):
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            if pid not in found and (PROC / str(pid)).exists():
                return pid
        return None
