#!/usr/bin/env python3
"""The stress programs answer what cannot be run, leave artefacts, and leave nothing else behind.

usage: stress_test.py TIDEGATE_STRESS TIDEGATE_STRESS_PG
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
PROGRAM, PG_PROGRAM = sys.argv[1:3]
PATIENCE = 60


def run(*words, **more):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_PG")}
    return subprocess.run(words, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=PATIENCE, **more)


class WhatCannotBeRun(unittest.TestCase):
    """Says why, ends with 2, and has begun nothing."""

    def refused(self, text, *words):
        done = run(*words)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_an_unknown_scenario_is_answered_with_the_one_that_was_meant(self):
        self.refused("did you mean 'accounting.crowd'?", PROGRAM, "--scenario", "acounting.crowd")

    def test_a_scenario_of_the_other_driver_is_answered_with_that_driver(self):
        self.refused("--driver pg", PROGRAM, "--scenario", "server.down")

    def test_a_scenario_that_the_flags_leave_out_is_named_with_the_flags(self):
        self.refused("--faults net", PG_PROGRAM, "--scenario", "server.down", "--faults", "net")

    def test_a_pool_that_is_too_large_for_the_server(self):
        self.refused("at most 64", PG_PROGRAM, "--scenario", "hygiene", "--pool", "65", "--check")

    def test_a_single_thread_where_two_must_meet(self):
        self.refused("at least 2 threads", PG_PROGRAM, "--scenario", "hygiene", "--threads", "1",
                     "--check")

    def test_no_server(self):
        self.refused("scripts/with-postgres", PG_PROGRAM, "--scenario", "hygiene")

    def test_scripts_stress_refuses_before_it_builds(self):
        for words in ["--driver", "redis"], ["--faults", "earthquake"], ["--seconds", "soon"]:
            done = run(str(SCRIPTS / "stress"), *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words[1], done.stderr)


class Artefacts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def play(self, scenario, *words):
        done = run(PROGRAM, "--scenario", scenario, "--seconds", "0", "--seed", "4711",
                   "--results", str(self.folder), *words)
        return done, json.loads((self.folder / "report.json").read_text())

    def test_of_a_run_that_passed(self):
        done, report = self.play("accounting.tiny-holds")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual((report["verdict"], report["status"], report["seed"]), ("PASS", 0, 4711))
        self.assertEqual(report["scenarios"][0]["name"], "accounting.tiny-holds")
        self.assertGreater(report["scenarios"][0]["acquires"], 0)
        self.assertIn("--seed 4711", report["replay"])
        self.assertIn(f"artefacts: {self.folder}", done.stdout)

    def test_of_a_broken_invariant(self):
        done, report = self.play("control.leak")
        self.assertEqual(done.returncode, 70)
        self.assertEqual((report["verdict"], report["status"]), ("FAIL", 70))
        self.assertEqual(report["unfinished"], "control.leak")
        self.assertIn("broken", report["what"])

    def test_of_an_exception_with_its_words(self):
        done, report = self.play("control.exception")
        self.assertEqual(done.returncode, 70)
        self.assertEqual(report["unfinished"], "control.exception")
        self.assertIn("thrown while everybody was busy", report["what"])
        self.assertIn("seed 4711", done.stdout)
        self.assertIn("replay: ", done.stdout)

    def test_of_a_hang_with_the_stacks_of_all_threads(self):
        done, report = self.play("control.lost-wakeup", "--stall", "1")
        self.assertEqual(done.returncode, 75)
        self.assertEqual(report["verdict"], "FAIL")
        self.assertIn("hang", report["what"])
        self.assertIn("tidegate-keep", (self.folder / "stacks").read_text() + self.names())

    def names(self):
        # eu-stack names threads by number only; then the frames must be there.
        return "tidegate-keep" if "#0" in (self.folder / "stacks").read_text() else ""


class KilledInTheMiddle(unittest.TestCase):
    """No server, no process and no folder outlives it, also one that the run itself has restarted."""

    def leaves_nothing(self, number, scenario, begun):
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)  # for the server's user
            running = subprocess.Popen(
                [SCRIPTS / "with-postgres", PG_PROGRAM, "--scenario", scenario,
                 "--seconds", "100"], stdout=subprocess.PIPE, text=True,
                env=os.environ | {"TMPDIR": place})
            self.assertTrue(any(scenario in line for line in running.stdout))
            give_up = time.monotonic() + PATIENCE
            while not any(pathlib.Path(place).glob(begun)) and time.monotonic() < give_up:
                time.sleep(0.01)
            time.sleep(0.7)  # somewhere in the middle; wherever that is, it must hold
            running.send_signal(number)
            running.wait(PATIENCE)
            self.assertNotEqual(running.returncode, 0)
            give_up = time.monotonic() + PATIENCE
            left = True
            while left and time.monotonic() < give_up:
                left = [*pathlib.Path(place).iterdir(), *self.processes(place)]
                time.sleep(0.01)
            running.stdout.close()
            self.assertFalse(left)

    def processes(self, place):
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and any(
                        place.encode() in (entry / name).read_bytes()
                        for name in ("cmdline", "environ")):
                    yield entry.name
            except OSError:
                pass

    def test_by_terminate(self):
        self.leaves_nothing(signal.SIGTERM, "server.restart-fast", "*")

    def test_by_kill(self):
        self.leaves_nothing(signal.SIGKILL, "server.restart-fast", "*")

    def test_with_a_standby_by_terminate(self):
        self.leaves_nothing(signal.SIGTERM, "server.standby-promoted", "tidegate-standby-*")

    def test_with_a_standby_by_kill(self):
        self.leaves_nothing(signal.SIGKILL, "server.standby-promoted", "tidegate-standby-*")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
