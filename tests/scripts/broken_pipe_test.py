#!/usr/bin/env python3
"""A script whose output nobody reads any more (`| head`) ends, without a word of its own: a traceback
says to a person that something is broken, and nothing is."""

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
# By the signal itself, or as a shell tells of it.
ENDED = (-signal.SIGPIPE, 128 + signal.SIGPIPE)


def is_script(path):
    return path.is_file() and os.access(path, os.X_OK)


class WhoseOutputNobodyReads(unittest.TestCase):

    def end_of(self, *command):
        """Its status and what it says on stderr, when the first thing that it writes is in vain."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True,
                                  stdin=subprocess.DEVNULL, timeout=300)
        finally:
            os.close(writing)
        return done

    def expect_quiet(self, *command, statuses=ENDED):
        done = self.end_of(*command)
        self.assertEqual(done.stderr, "", command)
        self.assertIn(done.returncode, statuses, command)

    def test_any_script_that_explains_itself(self):
        scripts = [path for path in sorted(SCRIPTS.iterdir()) if is_script(path)]
        self.assertGreater(len(scripts), 10)
        for script in scripts:
            with self.subTest(script=script.name):
                # Some libraries of options take no notice of what is in vain.
                self.expect_quiet(script, "--help", statuses=(*ENDED, 0))

    def test_a_list_of_mutants(self):
        self.expect_quiet(SCRIPTS / "mutants", "--list")

    def test_a_list_of_fuzz_targets(self):
        self.expect_quiet(SCRIPTS / "fuzz", "--list")

    def test_a_list_of_models(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("tidegate-models", "tidegate-model-mutants"):
                program = pathlib.Path(folder, name)
                program.write_text("#!/bin/sh\necho scenario arm random\n")
                program.chmod(0o755)
            self.expect_quiet(SCRIPTS / "model", "--built", folder, "--list")

    def test_checks(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "lib/src").mkdir(parents=True)
            (root / "lib/CMakeLists.txt").write_text("add_library(x src/a.cpp)")
            (root / "lib/src/a.cpp").write_text("")
            (root / "CMakeLists.txt").write_text("")
            self.expect_quiet(SCRIPTS / "check-listed", root)

    def test_a_ctrl_c_is_no_traceback_either(self):
        code = ("import signal; from benchlib import process;"
                "process.run_main(lambda: signal.raise_signal(signal.SIGINT))")
        done = subprocess.run(["python3", "-c", code], cwd=SCRIPTS, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", ""))

    # A fuzzer that had just been started, and was not noted yet, outlived its script.
    def test_a_signal_waits_until_what_was_started_is_noted(self):
        code = ("import signal; from benchlib import process\n"
                "try:\n"
                "    with process.signals_as_exceptions(), process.uninterrupted():\n"
                "        signal.raise_signal(signal.SIGTERM)\n"
                "        print('noted')\n"
                "    print('never')\n"
                "except process.Interrupted as interrupted:\n"
                "    print(interrupted.signal, process.held)")
        done = subprocess.run(["python3", "-c", code], cwd=SCRIPTS, capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("noted\n15 None\n", ""))

    def test_errors_as_well(self):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run([SCRIPTS / "check-listed", "/nowhere"], stdout=writing,
                                  stderr=writing, stdin=subprocess.DEVNULL, timeout=300)
        finally:
            os.close(writing)
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
