"""What the scripts that start a pooler beside a test share."""

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time

PATIENCE = 30  # seconds until it must be ready


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_port_of_four_digits():
    """One that every pooler here is well with."""
    for port in random.sample(range(5500, 9999), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    sys.exit("no port of four digits is free")


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unprivileged(folder):
    """The words in front of a pooler's command, which may not run as root; gives it the folder.

    What is started so dies with this process: it has nothing to save.
    """
    launcher = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() != 0:
        return launcher
    account = pwd.getpwnam("postgres")
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return [*launcher, "--reuid=postgres", "--regid=postgres", "--init-groups"]


@contextlib.contextmanager
def start(command, folder, port, *, ends_by=None):
    """Runs `command`. Gives the word when it answers on `port`; in the end kills it and its children.

    ends_by: a signal on which it ends by itself, and takes along what outlives processes (semaphores).
    """
    with open(folder / "log", "a") as log:
        pooler = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, cwd=folder, start_new_session=True)
    try:
        give_up = time.monotonic() + PATIENCE
        while not answers(port):
            if pooler.poll() is not None or time.monotonic() > give_up:
                sys.exit("the pooler did not start:\n" + (folder / "log").read_text())
            time.sleep(0.01)
        yield
    finally:
        if ends_by:
            pooler.send_signal(ends_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                pooler.wait(PATIENCE / 10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pooler.pid, signal.SIGKILL)
        pooler.wait()
