#!/usr/bin/python3
"""scripts/bench run, ab and calibrate: samples take turns, are repeated, and survive Ctrl-C. The
benchmark program and the checkouts are stand-ins."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from benchlib import samples  # noqa: E402
from benchlib.progress import Progress  # noqa: E402

# Writes a result file that is as slow as SLOWER says; logs each start; does not end while HOLD_AT
# is the number of its start; fails at FAIL_AT.
PROGRAM = f"""#!/usr/bin/python3 -S
import os, pathlib, random, sys, json, time
sys.path.insert(0, {str(REPOSITORY / 'tests')!r})
from support import synthetic_runs

root = pathlib.Path({{root!r}})
with open(root / "starts", "a") as starts:
    starts.write({{name!r}} + chr(10))
    started = starts.tell() // (len({{name!r}}) + 1)
if started == int(os.environ.get("HOLD_AT", 0)):
    (root / "pid").write_text(str(os.getpid()))
    while True:
        time.sleep(100)
if started == int(os.environ.get("FAIL_AT", 0)):
    sys.exit("the server has gone")
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
if options.get("benchmark_filter") == "nothing":
    sys.exit()
print("skipped: soci: not installed", file=sys.stderr)
result = synthetic_runs.sample(random.Random(started), slower={{slower}})
pathlib.Path(options["benchmark_out"]).write_text(json.dumps(result))
"""


class Scripts(unittest.TestCase):
    """A copy of the scripts; the server is not needed, and nothing is installed."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.scripts = self.root / "scripts"
        self.scripts.mkdir()
        shutil.copy(REPOSITORY / "scripts/bench", self.scripts)
        shutil.copytree(REPOSITORY / "scripts/benchlib", self.scripts / "benchlib",
                        ignore=shutil.ignore_patterns("__pycache__"))
        self.write(self.scripts / "with-postgres", '#!/bin/sh\nexec "$@"\n')
        self.write(self.scripts / "setup", "#!/bin/sh\n")
        self.program = self.write(self.root / "program", self.program_text("p"))
        self.results = self.root / "bench-results"

    @staticmethod
    def write(file, text):
        file.write_text(text)
        file.chmod(0o755)
        return file

    def program_text(self, name, slower=1.0):
        return PROGRAM.format(root=str(self.root), name=name, slower=slower)

    def start(self, *arguments, **environment):
        return subprocess.Popen([self.scripts / "bench", *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **environment})

    def expect(self, status, words, *arguments, **environment):
        started = self.start(*arguments, **environment)
        out, err = started.communicate()
        self.assertEqual(started.returncode, status, out + err)
        self.assertIn(words, out + err)
        self.assertNotIn("Traceback", err)
        return out + err

    def run_program(self, status, words, *arguments, **environment):
        return self.expect(status, words, "run", *arguments, "--any-load", "--program",
                           str(self.program), **environment)

    def starts(self):
        return (self.root / "starts").read_text().split()

    def meta(self, name):
        return json.loads((self.results / name / "meta.json").read_text())

    def interrupt(self, *arguments, **environment):
        """Starts the script, waits for the program that does not end, interrupts the script as
        Ctrl-C does, and gives what it said."""
        started = self.start(*arguments, **environment)
        pid = self.root / "pid"
        while not (pid.exists() and pid.read_text()):
            self.assertIsNone(started.poll(), "ended too soon")
            time.sleep(0.01)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate()
        self.assertEqual(started.returncode, 130, out + err)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        return out + err


class Running(Scripts):
    def test_a_run_has_a_file_for_each_process_and_says_how_it_was_taken(self):
        said = self.run_program(0, "12 samples in bench-results/a", "a", "--seed", "7")
        self.assertEqual(len(self.starts()), 12)
        self.assertEqual(said.count("skipped: soci"), 1)
        files = sorted(file.name for file in (self.results / "a").iterdir())
        self.assertEqual(files, ["meta.json", *(f"run-{n:03}.json" for n in range(1, 13))])
        meta = self.meta("a")
        self.assertTrue(meta["complete"])
        self.assertEqual((meta["seed"], meta["suite"], len(meta["samples"])), (7, "micro", 12))
        self.assertEqual(meta["environment"]["compiler"], "GNU 12.2.0")
        self.assertEqual([file for file in self.results.iterdir() if file.name != "a"], [])

    def test_quick_takes_three(self):
        self.run_program(0, "3 samples", "a", "--quick")
        self.assertEqual(len(self.starts()), 3)

    def test_a_name_that_is_taken_is_not_lost(self):
        self.run_program(0, "2 samples", "a", "--runs", "2")
        self.run_program(2, "there is a run 'a' already", "a", "--runs", "3")
        self.assertEqual(len(self.starts()), 2)
        self.run_program(0, "3 samples", "a", "--runs", "3", "--replace")

    # Planted: any name; then the next scripts/bench micro takes the run away.
    def test_a_name_that_another_command_would_replace(self):
        for name in ("micro", "e2e", "peers", "calibration-micro", "ab-a-123456789", "noise.json"):
            with self.subTest(name):
                self.run_program(2, "is a name that scripts/bench itself uses", name, "--replace")
        self.assertFalse(self.results.exists())
        self.run_program(0, "3 samples in bench-results/micro2", "micro2", "--quick")

    def test_what_cannot_be_asked_for(self):
        self.run_program(2, "is no name for a run", "../a")
        self.run_program(2, "is no positive number", "a", "--runs", "0")
        self.run_program(2, "is no regular expression", "a", "--filter", "(")
        self.expect(2, "there is no program", "run", "a", "--program", "none")
        self.assertFalse((self.root / "starts").exists())

    # Planted: no look at the folder; then it is seen when the program is built, by a traceback.
    def test_results_that_cannot_be_kept_are_not_taken(self):
        self.results.write_text("")
        for command in (["run", "a"], ["calibrate"], ["ab", "HEAD", "HEAD"], ["micro"], ["e2e"],
                        ["peers", "--programs", str(self.root)]):
            with self.subTest(command[0]):
                place = self.results / "peers" if command[0] == "peers" else self.results
                self.expect(1, f"bench: {place} cannot be written: ", *command)
        self.assertFalse((self.root / "build").exists())

    def test_a_filter_without_rows(self):
        self.run_program(1, "no row matches 'nothing'", "a", "--filter", "nothing")
        self.assertFalse((self.results / "a").exists())

    def test_a_program_that_fails_leaves_what_was_finished(self):
        said = self.run_program(1, "the server has gone", "a", FAIL_AT="3")
        self.assertIn("incomplete: 2 samples in bench-results/a of 12", said)
        self.assertFalse(self.meta("a")["complete"])

    def test_ctrl_c_keeps_finished_samples_and_says_that_the_run_is_incomplete(self):
        said = self.interrupt("run", "a", "--any-load", "--program", str(self.program),
                              HOLD_AT="4")
        self.assertIn("incomplete: 3 samples in bench-results/a of 12", said)
        self.assertFalse(self.meta("a")["complete"])
        self.assertEqual(len(list((self.results / "a").glob("run-*.json"))), 3)
        self.assertEqual([file for file in self.results.iterdir() if file.name != "a"], [])
        self.expect(0, "3 of 12", "list")
        self.expect(0, "incomplete", "show", "a")

    def test_ctrl_c_during_the_first_sample_leaves_nothing(self):
        self.interrupt("run", "a", "--any-load", "--program", str(self.program), HOLD_AT="1")
        self.assertEqual(list(self.results.iterdir()), [])

    # Planted: the samples of one side alone are compared with those of the try before.
    def test_tries_are_comparisons_of_a_program_with_itself_in_turns(self):
        said = self.expect(0, "in 2 of 2 tries every verdict was ~", "calibrate", "--tries", "2",
                           "--any-load", "--seed", "1", "--runs", "7", "--program",
                           str(self.program))
        self.assertEqual(len(self.starts()), 28)
        self.assertIn("try 2 of 2: ~ for all 7 rows", said)
        for letter, other in ("ab", "ba"):
            meta = self.meta(f"calibration-{letter}")
            self.assertEqual(meta["taken_in_turns_with"], [f"calibration-{other}"])
        self.assertFalse((self.results / "noise.json").exists())

    # The order of a seed is known, and so is each start of b: those are slower by half.
    def test_a_try_that_sees_a_change_is_named_and_counted(self):
        order = samples.schedule(["a", "b"], 7, 1 + 1)  # the first try's seed is the next one
        of_b = [start for start, side in enumerate(order, 1) if side == "b"]
        self.program = self.write(self.root / "odd", self.program_text(
            "p", f"1.5 if started in {of_b} else 1.0"))
        said = self.expect(3, "in 1 of 2 tries every verdict was ~", "calibrate", "--tries", "2",
                           "--any-load", "--seed", "1", "--runs", "7", "--program",
                           str(self.program))
        self.assertRegex(said, r"try 1 of 2: acquire_release/core/pool:4/threads:1 SLOWER, \+\d")

    def test_tries_with_too_few_samples_are_none(self):
        self.expect(1, "4 samples of each side are too few for 7 rows", "calibrate", "--tries", "2",
                    "--any-load", "--runs", "4", "--program", str(self.program))

    def test_a_calibration_takes_twice_as_many_and_keeps_the_noise_floor(self):
        self.expect(0, "in turns", "calibrate", "--any-load", "--runs", "6", "--program",
                    str(self.program))
        self.assertEqual(len(self.starts()), 12)
        stored = json.loads((self.results / "noise.json").read_text())
        floors = stored["rows"]["acquire_release/core/pool:4/real_time/threads:1"]["time"]
        self.assertLess(0.01, floors["in_turns"])
        self.assertLessEqual(floors["in_turns"], floors["apart"])
        self.expect(1, "too few samples for a noise floor", "calibrate", "--any-load", "--runs",
                    "4", "--program", str(self.program))


class Revisions(Scripts):
    """Two commits of a repository whose preset `bench` copies a stand-in to where the program
    would be."""

    def setUp(self):
        super().setUp()
        (self.root / "CMakePresets.json").write_text(json.dumps({
            "version": 5, "configurePresets": [{
                "name": "bench", "generator": "Ninja",
                "binaryDir": "${sourceDir}/build/${presetName}"}],
            "buildPresets": [{"name": "bench", "configurePreset": "bench"}]}))
        (self.root / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.24)\nproject(stand-in NONE)\n"
            "file(COPY tidegate-bench-micro DESTINATION bench)\n"
            "add_custom_target(tidegate-bench-micro)\n")
        (self.root / ".gitignore").write_text("/build/\n/bench-results/\n/starts\n/pid\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("old", 1.0)
        self.commit("new", 1.2)

    def git(self, *words):
        return subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *words],
                              cwd=self.root, check=True, capture_output=True, text=True).stdout

    def commit(self, name, slower):
        self.write(self.root / "tidegate-bench-micro", self.program_text(name, slower))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", name)
        self.git("tag", name)

    def expect_nothing_left(self):
        self.assertEqual(len(self.git("worktree", "list").splitlines()), 1)
        self.assertEqual(list((self.root / "build").glob("*")), [])

    def test_both_revisions_are_built_and_take_turns_in_the_order_of_the_seed(self):
        said = self.expect(3, "SLOWER", "ab", "old", "new", "--any-load", "--runs", "8", "--seed",
                           "1", "--fail-on-regression")
        self.assertNotIn("noise floor of this machine is not known", said)
        starts = self.starts()
        for turn in range(0, 16, 2):
            self.assertEqual(sorted(starts[turn:turn + 2]), ["new", "old"])
        self.assertEqual(starts, samples.schedule(["old", "new"], 8, 1))
        self.assertNotEqual(starts, ["old", "new"] * 8)
        self.expect_nothing_left()

    # Planted: the patch is applied to A, or to none.
    def test_a_patch_makes_b_another_one_and_no_other_checkout(self):
        name = "tidegate-bench-micro"
        program = self.root / name
        program.write_text(self.program_text("new", 1.5))
        (self.root / "slower.patch").write_text(self.git("diff"))
        self.git("checkout", name)
        self.expect(3, "SLOWER", "ab", "new", "new", "--patch-b", str(self.root / "slower.patch"),
                    "--any-load", "--runs", "8", "--fail-on-regression")
        b, = self.results.glob("ab-b-*")
        self.assertRegex(self.meta(b.name)["revision"], "with slower.patch$")
        self.assertEqual(self.git("status", "--short", name), "")
        self.expect_nothing_left()
        self.expect(2, "slower.patch' does not apply", "ab", "new", "old", "--patch-b",
                    str(self.root / "slower.patch"))
        self.expect_nothing_left()

    def test_the_planted_slowdown_of_the_library_applies_to_it(self):
        done = subprocess.run(
            ["git", "apply", "--check", REPOSITORY / "tests/scripts/planted_slowdown.patch"],
            cwd=REPOSITORY, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_same_revision_twice_is_no_regression(self):
        self.expect(0, " ~", "ab", "old", "old", "--any-load", "--runs", "8",
                    "--fail-on-regression")
        self.expect_nothing_left()

    def test_ctrl_c_removes_the_checkouts_and_keeps_the_samples(self):
        said = self.interrupt("ab", "old", "new", "--any-load", HOLD_AT="3")
        self.assertEqual(said.count("incomplete: "), 2)
        self.expect_nothing_left()

    def test_a_revision_that_is_none_suggests_a_near_one(self):
        self.expect(2, "'mian' names no revision of this repository; did you mean main?", "ab",
                    "mian", "new")
        self.expect(2, "a picture is .png or .svg", "ab", "old", "new", "--plot", "x.gif")
        self.assertFalse((self.root / "build").exists())

    def test_a_revision_that_does_not_build(self):
        (self.root / "CMakeLists.txt").write_text("message(FATAL_ERROR broken)")
        self.commit("broken", 1.0)
        self.expect(1, "the build failed", "ab", "old", "broken")
        self.expect_nothing_left()


class Bar(unittest.TestCase):
    def test_the_time_left_is_what_the_steps_took_so_far(self):
        now = [0.0]
        terminal = mock.Mock()
        terminal.isatty.return_value = True
        progress = Progress(4, terminal, lambda: now[0])
        progress.begin("a")
        now[0] = 10.0
        progress.end("")
        self.assertEqual(progress.bar(), "[######..................] 1/4 a, about 0:30 left")
        now[0] = 14.0  # into the second one
        self.assertIn("0:26 left", progress.bar())


if __name__ == "__main__":
    unittest.main()
