#!/usr/bin/env python3
"""scripts/model says what holds, what is caught, and what is not; and leaves nothing behind."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

# Two processes that count to two; under MUTANT_LOST they may overwrite each other.
COUNTER = """
byte count, done;
proctype Counter() {
  byte seen;
#ifdef MUTANT_LOST
  seen = count; count = seen + 1;
#else
  atomic { seen = count; count = seen + 1 };
#endif
  done++
}
init { run Counter(); run Counter(); done == 2; assert(count == 2) }
"""

# Stands in for tidegate-models: one scenario, one mutant, and an end as told.
PROGRAM = """#!/bin/sh
[ "$1" = --list ] && { echo scenario lease random; echo mutant hole lease random; exit; }
case "$4" in
  hole) %s ;;
  *) echo "$3 runs"; %s ;;
esac
"""
CAUGHT = "echo failed in run 7; exit 1"


def is_alive(pid):
    try:
        return pathlib.Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Model(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "scripts").mkdir()
        (self.root / "tmp").mkdir()
        (self.root / "stress/models/spin").mkdir(parents=True)
        shutil.copy(SCRIPTS / "model", self.root / "scripts")
        shutil.copytree(SCRIPTS / "benchlib", self.root / "scripts/benchlib")
        self.plant(COUNTER)
        self.plant_program()

    def plant(self, text):
        (self.root / "stress/models/spin/counter.pml").write_text(text)

    def plant_program(self, mutant=CAUGHT, model="exit 0"):
        for name in ("tidegate-models", "tidegate-model-mutants"):
            (self.root / name).write_text(PROGRAM % (mutant, model))
            (self.root / name).chmod(0o755)

    def command(self, *arguments):
        return [self.root / "scripts/model", "--built", self.root, *arguments]

    def model(self, *arguments):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True,
                              env={**os.environ, "TMPDIR": str(self.root / "tmp")})

    def expect(self, status, line, *arguments):
        done = self.model(*arguments)
        self.assertEqual(done.returncode, status, done)
        self.assertIn(line, done.stdout.splitlines())
        return done

    def test_models_that_hold_and_mutants_that_are_caught(self):
        done = self.model()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"(?m)^model counter: ok, \d+ states$")
        for line in ("model core/lease: ok, 20000 runs", "mutant counter/lost: caught",
                     "mutant core/hole: caught", "2 models, 2 mutants: 0 not as they should be"):
            self.assertIn(line, done.stdout.splitlines())

    def test_a_mutant_of_spin_that_is_not_caught_fails(self):
        self.plant(COUNTER.replace("seen = count; count = seen + 1;", "count++;"))
        self.expect(1, "mutant counter/lost: NOT CAUGHT", "counter/lost")

    def test_a_model_of_spin_that_does_not_hold_fails_and_shows_the_run(self):
        self.plant(COUNTER.replace("atomic", ""))
        done = self.expect(1, "model counter: FAILED", "counter")
        self.assertIn("assertion violated", done.stderr)
        self.assertIn("proc  1 (Counter:1)", done.stderr)

    def test_a_model_of_spin_that_is_no_promela_fails(self):
        self.plant("proctype {")
        self.expect(1, "model counter: could not be run", "counter")

    def test_a_mutant_of_the_core_that_is_not_caught_fails(self):
        self.plant_program(mutant="echo 9 runs; exit 0")
        self.expect(1, "mutant core/hole: NOT CAUGHT", "core")

    def test_a_mutant_of_the_core_that_crashes_is_not_caught(self):
        self.plant_program(mutant="kill -SEGV $$")
        done = self.model("core")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("mutant core/hole: could not be run", done.stdout)

    def test_a_core_that_fails_without_its_mutant_has_caught_nothing(self):
        self.plant_program(model=CAUGHT)
        done = self.expect(1, "model core/lease: FAILED", "core")
        self.assertIn("failed in run 7", done.stderr)
        self.assertNotIn("NOT CAUGHT", done.stdout)

    def test_a_name_chooses(self):
        self.assertEqual(self.model("--list", "core").stdout.splitlines(),
                         ["mutant core/hole", "model core/lease"])
        self.assertEqual(self.model("core/hole").stdout.splitlines(),
                         ["mutant core/hole: caught",
                          "0 models, 1 mutants: 0 not as they should be"])

    def test_an_unknown_name_is_wrong_usage(self):
        for name in ("cor", "core/whole"):
            done = self.model(name)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(f"no model or mutant '{name}'", done.stderr)

    def test_programs_that_are_not_there(self):
        (self.root / "tidegate-model-mutants").unlink()
        done = self.model("core")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("tidegate-model-mutants", done.stderr)

    def test_an_interrupt_ends_what_it_started_and_leaves_no_file(self):
        pid_file = self.root / "pid"
        self.plant_program(model=f"echo $$ >{pid_file}.part; mv {pid_file}.part {pid_file}; "
                                 "exec sleep 1000")
        script = subprocess.Popen(self.command("core/lease"), stdout=subprocess.PIPE,
                                  env={**os.environ, "TMPDIR": str(self.root / "tmp")})
        while not pid_file.exists() and script.poll() is None:
            time.sleep(0.01)
        script.send_signal(signal.SIGINT)
        script.communicate(timeout=60)
        self.assertEqual(script.returncode, 128 + signal.SIGINT)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)
        self.assertEqual(list((self.root / "tmp").iterdir()), [])
        self.assertEqual(list((self.root / "build/models-at-work").iterdir()), [])

    def test_a_kill_ends_what_it_started_and_the_next_run_removes_its_files(self):
        # The second of two commands, so that a shell stands between.
        pid_file = self.root / "pid"
        self.plant_program(mutant=f"echo $$ >{pid_file}.part; mv {pid_file}.part {pid_file}; "
                                  "exec sleep 1000", model="exit 0")
        script = subprocess.Popen(self.command("core/hole"), stdout=subprocess.DEVNULL,
                                  env={**os.environ, "TMPDIR": str(self.root / "tmp")})
        while not pid_file.exists() and script.poll() is None:
            time.sleep(0.01)
        script.kill()
        script.wait()
        give_up = time.monotonic() + 60
        while is_alive(pid_file.read_text().strip()) and time.monotonic() < give_up:
            time.sleep(0.01)
        self.assertFalse(is_alive(pid_file.read_text().strip()))
        self.assertEqual(list((self.root / "tmp").iterdir()), [])
        self.plant_program()
        self.assertEqual(self.model("core").returncode, 0)
        self.assertEqual(list((self.root / "build/models-at-work").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
