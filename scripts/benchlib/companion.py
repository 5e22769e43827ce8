"""A program beside this one: a server, as long as it is needed."""

import contextlib
import subprocess

from benchlib.process import PATIENCE, Failed, end_group


@contextlib.contextmanager
def companion(command, **options):
    """Gives the line that it says when it is ready, and ends it by closing its standard input. In a
    process group of its own, which never outlives this script."""
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                          encoding="utf-8", errors="replace", stdout=subprocess.PIPE,
                          process_group=0, **options) as child:
        try:
            line = child.stdout.readline()
            if not line:
                raise Failed(f"{command[0]} did not start")
            yield line
            child.stdin.close()
            child.wait(PATIENCE)
        except BaseException:
            end_group(child)
            raise
