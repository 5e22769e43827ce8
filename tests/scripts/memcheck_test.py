#!/usr/bin/env python3
"""scripts/memcheck says what valgrind's verdict was."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/memcheck"


class Memcheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.program = pathlib.Path(folder.name, "program")

    def run_script(self, source):
        subprocess.run(["g++", "-xc++", "-", "-o", self.program], input=source, text=True, check=True)
        child = subprocess.run([SCRIPT, "--built", self.program], text=True, capture_output=True,
                               check=False, env={**os.environ})
        return child.returncode, child.stdout + child.stderr

    def test_a_sound_program_passes(self):
        status, said = self.run_script("int main() {}")
        self.assertEqual(status, 0, said)
        self.assertIn("memcheck: nothing found", said)

    def test_a_leak_is_found(self):
        status, said = self.run_script("int* volatile p; int main() { p = new int; p = nullptr; }")
        self.assertEqual(status, 1, said)
        self.assertIn("valgrind has found something", said)
        self.assertIn("definitely lost", said)

    def test_a_failed_test_is_told_from_that(self):
        status, said = self.run_script("int main() { return 3; }")
        self.assertEqual(status, 1)
        self.assertIn("the tests ended with status 3", said)


if __name__ == "__main__":
    unittest.main()
