"""How a script ends, and that its child processes never outlive it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

TICK = 0.5  # seconds
PATIENCE = 20  # seconds for a child to clean up after SIGTERM


class Failed(Exception):
    """Ends the script with a message; `status` is its exit status."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


class WrongUsage(Failed):
    """What was asked for cannot be: a name, a metric, an option."""

    def __init__(self, text):
        super().__init__(text, 2)


class Interrupted(Exception):
    """A signal asked the script to end."""

    def __init__(self, number):
        super().__init__(number)
        self.signal = number


# Signals that wait for the end of uninterrupted(); None outside of it.
held = None


def interrupt(number, _frame):
    if held is not None:
        held.append(number)
        return
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)  # while the children clean up
    raise Interrupted(number)


@contextlib.contextmanager
def signals_as_exceptions():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


@contextlib.contextmanager
def uninterrupted():
    """For whoever starts a process and notes it: a signal in between would leave it to nobody. It
    raises at the end. (Python tells signals to the main thread alone.)"""
    global held
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = []
    try:
        yield
    finally:
        came, held = held, None
        if came:
            interrupt(came[0], None)


def run_main(main):
    """Ends the script with the status that main() gives. When nobody reads its output any more, as
    in `| head`, or at a Ctrl-C, it ends as programs do that know nothing of it: without a word."""
    try:
        try:
            sys.exit(main())
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffers is not to be tried again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.dup2(nowhere, sys.stderr.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def run(command, tick=None, **options):
    """Runs a command in a process group of its own and gives its status, and what it wrote to the
    pipes that `options` ask for, whatever bytes those are. When this script is interrupted, the
    whole group ends first. Meanwhile calls `tick` twice a second."""
    child = None
    with contextlib.ExitStack() as reaped:
        try:
            with uninterrupted():
                child = reaped.enter_context(subprocess.Popen(
                    [str(word) for word in command], stdin=subprocess.DEVNULL, encoding="utf-8",
                    errors="replace", process_group=0, **options))
            while True:
                try:
                    out, err = child.communicate(timeout=TICK if tick else None)
                    break
                except subprocess.TimeoutExpired:
                    tick()
        except BaseException:
            if child:
                end_group(child)
            raise
    return child.returncode, out, err


# In front of a command's words: the kernel kills it when this script is gone, even by SIGKILL.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")


def signal_name(number):
    """Also of those that have none, as most real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_group(child):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
