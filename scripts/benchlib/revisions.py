"""Revisions of this repository, checked out beside each other while they are needed."""

import contextlib
import difflib
import pathlib
import shutil
import subprocess
import tempfile

from benchlib import REPOSITORY
from benchlib.process import Failed, WrongUsage


def git(*words):
    return subprocess.run(["git", *words], cwd=REPOSITORY, text=True, capture_output=True)


def commit_of(ref):
    """The full id of the commit that `ref` names."""
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.strip()
    known = git("for-each-ref", "--format=%(refname:short)").stdout.split()
    near = difflib.get_close_matches(ref, known, cutoff=0.5)
    raise WrongUsage(f"'{ref}' names no revision of this repository" +
                     (f"; did you mean {' or '.join(near)}?" if near else
                      "; a branch, a tag, a commit or HEAD~2 does"))


def apply(patch, checkout):
    done = git("-C", checkout, "apply", patch.absolute())
    if done.returncode != 0:
        raise WrongUsage(f"'{patch}' does not apply: {done.stderr.strip()}")


@contextlib.contextmanager
def checked_out(*commits):
    """Gives a folder for each. Their paths are equally long, and so are the strings that compilers
    make of them."""
    place = REPOSITORY / "build"
    place.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ab-", dir=place))
    roots = []
    try:
        for letter, commit in zip("abcdefgh", commits):
            roots.append(folder / letter)
            done = git("worktree", "add", "--quiet", "--force", "--detach", roots[-1], commit)
            if done.returncode != 0:
                raise Failed(f"git worktree add failed:\n{done.stderr}")
        yield roots
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        git("worktree", "prune")  # forgets those whose folder is gone
