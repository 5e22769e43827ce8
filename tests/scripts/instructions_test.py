#!/usr/bin/env python3
"""instructions_test.py CORE POOL: acquire and release on a warm pool take no more instructions than M4
allows, and hardly more than they did (bench/instructions.json), on a stub and on real connections.
`scripts/bench insn` tells. CORE and POOL: the programs that this build made."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benchlib import instructions  # noqa: E402


def insn(root, *arguments):
    return subprocess.run([root / "scripts/bench", "insn", *arguments], capture_output=True,
                          text=True)


class Judging(unittest.TestCase):
    def test_two_percent_over_the_baseline_pass_and_more_does_not(self):
        self.assertTrue(instructions.judge("core", 102.0, 100.0)[0])
        passed, why = instructions.judge("core", 102.1, 100.0)
        self.assertFalse(passed)
        self.assertIn("+2.1%", why)

    def test_another_compiler_is_held_to_the_limit_alone_and_told_so(self):
        passed, why = instructions.judge("core", 150.0, None)
        self.assertTrue(passed)
        self.assertIn("no baseline for this compiler", why)
        self.assertFalse(instructions.judge("core", 150.1, None)[0])

    def test_the_limit_holds_whatever_the_baseline_says(self):
        self.assertFalse(instructions.judge("core", 151.0, 151.0)[0])

    # The last hundredth of an instruction comes and goes; it was printed as -0.0% at times.
    def test_next_to_no_change_has_no_sign(self):
        self.assertIn("+0.0% of", instructions.judge("core", 91.01, 91.02)[1])
        self.assertIn("+0.0% of", instructions.judge("core", 91.02, 91.01)[1])

    def test_a_gain_is_pointed_out(self):
        self.assertIn("--update", instructions.judge("core", 90.0, 100.0)[1])


class WithBaseline(unittest.TestCase):
    """The program that this build made, against baselines of a copy of the scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        shutil.copytree(REPOSITORY / "scripts", self.root / "scripts",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "bench").mkdir()
        self.baseline = self.root / "bench/instructions.json"

    def test_the_count_repeats_and_an_update_makes_it_the_baseline(self):
        done = insn(self.root, "--update", "--program", PROGRAM)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        (row, counted), = next(iter(json.loads(self.baseline.read_text()).values())).items()
        self.assertEqual(row, "core")
        self.assertGreater(counted, 20)
        self.assertIn("+0.0% of the baseline", insn(self.root, "--program", PROGRAM).stdout)

    # Planted in the code as well: two multiplications and a branch in SlotPool::release(), seven
    # instructions: +7.7 %.
    def test_three_percent_more_than_the_baseline_fails(self):
        insn(self.root, "--update", "--program", PROGRAM)
        known = json.loads(self.baseline.read_text())
        self.baseline.write_text(json.dumps(
            {compiler: {"core": rows["core"] / 1.03} for compiler, rows in known.items()}))
        done = insn(self.root, "--program", PROGRAM)
        self.assertEqual(done.returncode, 3, done)
        self.assertIn("FAIL  +3.0% of the baseline", done.stdout)

    def test_a_baseline_that_is_none_is_named(self):
        self.baseline.write_text("[1]")
        done = insn(self.root, "--program", PROGRAM)
        self.assertEqual(done.returncode, 1)
        self.assertIn("instructions.json is no baseline", done.stderr)

    def test_a_program_that_counts_nothing_is_named(self):
        done = insn(self.root, "--program", "/bin/true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did not say what it counts", done.stderr)
        self.assertIn("there is no program", insn(self.root, "--program", "none").stderr)


class Now(unittest.TestCase):
    def test_the_core_takes_no_more_instructions_than_it_did(self):
        self.expect_pass(PROGRAM)

    # Planted in the code as well: four multiplications in Lease::operator*, six instructions: +4.0 %.
    def test_nor_does_the_pool_on_real_connections(self):
        self.expect_pass(POOL_PROGRAM)

    def expect_pass(self, program):
        done = insn(REPOSITORY, "--program", program)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("PASS", done.stdout)


if __name__ == "__main__":
    PROGRAM, POOL_PROGRAM = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
