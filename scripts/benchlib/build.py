"""The build that is measured: preset `bench`, and of it only what a command needs."""

import os
import sys

from benchlib import REPOSITORY
from benchlib.process import Failed, run


def build(target):
    """Builds the target and gives the program's path. Installs what the build lacks."""
    status, _, _ = run([REPOSITORY / "scripts/setup", "--bench"])
    if status != 0:
        print("bench: going on with what is installed", file=sys.stderr)
    print("bench: building", flush=True)
    for step in (["cmake", "--preset", "bench", "--log-level=WARNING"],
                 ["cmake", "--build", "--preset", "bench", "--target", target,
                  "--parallel", os.cpu_count()]):
        status, _, _ = run(step, cwd=REPOSITORY, stdout=sys.stderr)
        if status != 0:
            raise Failed("the build failed")
    return REPOSITORY / "build/bench/bench" / target
