"""The build that is measured: preset `bench`, and of it only what a command needs."""

import importlib
import os
import sys

from benchlib import REPOSITORY
from benchlib.process import Failed, run


def install():
    """Installs what benchmarks and their comparison need and this machine lacks."""
    status, _, _ = run([REPOSITORY / "scripts/setup", "--bench"], stdout=sys.stderr)
    if status != 0:
        print("bench: going on with what is installed", file=sys.stderr)


def library(name, package):
    """Imports a Python module of Debian's `package`; installs it first where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        install()
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Failed(f"{package} is not installed; scripts/setup --bench installs it") from None


def build(*targets, root=REPOSITORY):
    """Builds the targets of the checkout at `root`, and gives the build's directory. Installs what
    it lacks."""
    install()
    print(f"bench: building {', '.join(targets)}", file=sys.stderr, flush=True)
    for step in (["cmake", "--preset", "bench", "--log-level=WARNING"],
                 ["cmake", "--build", "--preset", "bench", "--parallel", os.cpu_count(),
                  "--target", *targets]):
        status, _, _ = run(step, cwd=root, stdout=sys.stderr)
        if status != 0:
            raise Failed("the build failed")
    return root / "build/bench"


def program(suite, root=REPOSITORY):
    """Builds the suite's program in the checkout at `root`, and gives its path."""
    name = f"tidegate-bench-{suite}"
    return build(name, root=root) / "bench" / name
