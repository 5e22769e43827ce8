"""A folder that goes with its program, also where SIGTERM or Ctrl-C ends that."""

import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile

ENDING = (signal.SIGTERM, signal.SIGINT)


def ignore_signals():
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def end_by_signal(number, _):
    ignore_signals()  # one end is enough, and nothing may interrupt it
    sys.exit(128 + number)


@contextlib.contextmanager
def temporary_folder(prefix):
    """Makes the two signals an exception, so that everything is undone in its order."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    try:
        try:
            for number in ENDING:
                signal.signal(number, end_by_signal)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            yield folder
        finally:
            ignore_signals()
    finally:
        # Again, should a process that ends have been writing still.
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
