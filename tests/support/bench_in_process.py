"""scripts/bench in the process of a test, with runs in a folder of the test's own."""

import collections
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benchlib import build, results, samples  # noqa: E402
from support import synthetic_runs  # noqa: E402

LOADER = importlib.machinery.SourceFileLoader("bench", str(REPOSITORY / "scripts/bench"))
BENCH = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", LOADER))
LOADER.exec_module(BENCH)
Done = collections.namedtuple("Done", ("stdout", "stderr"))


class Runs(unittest.TestCase):
    """In a folder of its own. The script is called, not started: scipy takes half a second to
    import."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        self.root = pathlib.Path(folder.name)
        os.chdir(self.root)
        self.results = self.root / "bench-results"
        self.enterContext(mock.patch.object(results, "FOLDER", self.results))

    def run_of(self, name, seed, **how):
        synthetic_runs.write_run(self.results / name, seed, **how)

    def expect(self, status, words, *arguments):
        """Gives what it wrote to its output and to its error output."""
        out, err = io.StringIO(), io.StringIO()
        with (mock.patch.object(sys, "argv", ["bench", *arguments]),
              contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
            try:
                ended = BENCH.main()
            except SystemExit as usage:
                ended = usage.code
        self.assertEqual(ended, status, out.getvalue() + err.getvalue())
        self.assertIn(words, out.getvalue() + err.getvalue())
        return Done(out.getvalue(), err.getvalue())


class Suites(Runs):
    """Nothing is built or measured: the samples are those that take() is given."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(build, "program", return_value=pathlib.Path("p")))
        self.page = self.root / "page.md"

    def take(self, suite, *results):
        """Every sample that is taken meanwhile is one of these."""
        def taken(*_, **__):
            folder = self.results / suite
            folder.mkdir(parents=True, exist_ok=True)
            for number, result in enumerate(results, 1):
                (folder / f"run-{number:03}.json").write_text(json.dumps(
                    {"context": synthetic_runs.CONTEXT, "benchmarks": result}))
            (folder / "meta.json").write_text(json.dumps({"date": "2026-01-02T03:04:05"}))

        self.enterContext(mock.patch.object(samples, "take", taken))
