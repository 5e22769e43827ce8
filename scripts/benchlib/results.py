"""Runs: bench-results/NAME/{meta.json,run-001.json,...}, one file of Google Benchmark's for each
sample."""

import dataclasses
import datetime
import difflib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from benchlib import REPOSITORY, rows
from benchlib.process import Failed, WrongUsage

FOLDER = REPOSITORY / "bench-results"
# What must agree before two runs can be compared, by its name in the context of the files. Where a
# program does not tell about its machine, it is an older revision's.
OF_THE_BUILD = ("build_type", "compiler", "flags")
OF_THE_MACHINE = ("machine", "cores", "kernel")
UNKNOWN = "unknown"
OWN_NAMES = re.compile(r"micro|e2e|peers|noise\.json|(calibration|ab)-.*", re.IGNORECASE)
ONLY_DESCRIBES = "it only describes the run: removed, the samples can still be compared"
# What is asked of a run's description, where it has that: how it is told, and what it must be.
DESCRIBED = {
    "date": ("a date", lambda value: isinstance(value, str)),
    "complete": ("true or false", lambda value: isinstance(value, bool)),
    "taken_in_turns_with": ("a list of names", lambda value: isinstance(value, list) and
                            all(isinstance(name, str) for name in value)),
    **{what: ("a number", rows.is_number)
       for what in ("samples_wanted", "min_time", "fixed_time", "repeated",
                    "taken_under_pressure")}}


@dataclasses.dataclass(frozen=True)
class Run:
    name: str
    meta: dict
    samples: list  # of each process {row's name: {metric: value}}, in the order they were taken
    failed: dict  # {row's name: why} of rows that reported an error
    environment: dict

    def values(self, row, metric):
        return [sample[row][metric] for sample in self.samples if metric in sample.get(row, {})]

    def metrics(self):
        return {metric for sample in self.samples for row in sample.values() for metric in row}

    def row_names(self):
        return list(dict.fromkeys(name for sample in self.samples for name in sample))


def names():
    """Of all runs, oldest first."""
    folders = [file.parent for file in FOLDER.glob("[!.]*/run-*.json")]
    by_age = sorted(set(folders), key=lambda folder: folder.stat().st_mtime)
    return [folder.name for folder in by_age]


def check_name(name):
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise WrongUsage(f"'{name}' is no name for a run: letters, digits, '.', '_', '+' and '-', "
                         "the first no sign")


def check_new_name(name):
    """Of a run that somebody wants to keep: the other commands replace theirs without a word."""
    check_name(name)
    if OWN_NAMES.fullmatch(name):
        raise WrongUsage(f"'{name}' is a name that scripts/bench itself uses, and would replace: "
                         "take another one")


def check_folder(folder=None):
    """Complains before anything is built and measured that could not be kept."""
    folder = folder or FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".try-", dir=folder).cleanup()
    except OSError as error:
        raise Failed(f"{folder} cannot be written: {error.strerror}") from None


def folder_of(name):
    check_name(name)
    folder = FOLDER / name
    if not folder.is_dir():
        known = names()
        near = difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else (
            f"there are: {', '.join(known)}" if known else
            f"there are none yet; scripts/bench run {name} takes one")
        raise WrongUsage(f"no run '{name}' in {FOLDER.name}; {hint}")
    return folder


def meta_of(folder):
    file = folder / "meta.json"
    if not file.exists():
        return {}
    try:
        meta = json.loads(file.read_text())
        if not isinstance(meta, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise Failed(f"{file} is no JSON, or was cut off ({error}); {ONLY_DESCRIBES}") from None
    for what, (words, accepts) in DESCRIBED.items():
        if what in meta and not accepts(meta[what]):
            raise Failed(f"{file}: \"{what}\" is {meta[what]!r:.40}, not {words}; "
                         f"{ONLY_DESCRIBES}")
    return meta


def load(name):
    folder = folder_of(name)
    files = sorted(folder.glob("run-*.json"))
    if not files:
        raise Failed(f"run '{name}' has no samples (run-001.json, ...); take it again")
    results = [rows.read(file) for file in files]
    samples = [rows.metrics_by_row(result) for result in results]
    failed = {}
    for result in results:
        failed = rows.failures(result) | failed
    if not any(samples):
        raise Failed(f"run '{name}' has no rows: " + (
            "all of them failed: " + "; ".join(f"{row}: {why}" for row, why in failed.items())
            if failed else "its filter matched none"))
    return Run(name, meta_of(folder), samples, failed,
               environment_of([result["context"] for result in results]))


def environment_of(contexts):
    """{what: value} over the samples of a run; several values where they do not agree."""
    found = {}
    for what in (*OF_THE_BUILD, *OF_THE_MACHINE):
        values = {str(context.get(f"tidegate_{what}", UNKNOWN)) for context in contexts}
        found[what] = " and ".join(sorted(values))
    return found


def differences(runs):
    """[(what, values of the runs)]: why they cannot be compared."""
    found = []
    for what in (*OF_THE_BUILD, *OF_THE_MACHINE):
        values = [run.environment[what] for run in runs]
        known = set(values) - ({UNKNOWN} if what in OF_THE_MACHINE else set())
        if len(known) > 1 or any(" and " in value for value in known):
            found.append((what, values))
    return found


def revision_of(checkout):
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=checkout, text=True,
                              capture_output=True)
    except OSError:
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def store(name, samples, meta):
    """Writes a run in one step, in the place of one that has the name. `samples`: of each its file
    and what is known about how it was taken, in the order they were taken."""
    FOLDER.mkdir(exist_ok=True)
    fresh = FOLDER / f".{name}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        described = []
        for number, (file, about) in enumerate(samples, 1):
            kept = fresh / f"run-{number:03}.json"
            shutil.move(file, kept)
            described.append({"file": kept.name, **about})
        contexts = [rows.read(fresh / sample["file"])["context"] for sample in described]
        (fresh / "meta.json").write_text(json.dumps(
            {"name": name, **meta, "environment": environment_of(contexts),
             "samples": described}, indent=2) + "\n")
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        fresh.rename(FOLDER / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return pathlib.Path(FOLDER.name) / name
