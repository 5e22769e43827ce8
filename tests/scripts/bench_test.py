#!/usr/bin/env python3
"""scripts/bench refuses wrong flags, and judges targets as it says."""

import contextlib
import io
import pathlib
import subprocess
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from benchlib import targets, verdicts  # noqa: E402


def bench(*arguments):
    return subprocess.run([SCRIPTS / "bench", *arguments], capture_output=True, text=True)


class Usage(unittest.TestCase):
    def expect_wrong(self, words, *arguments):
        done = bench(*arguments)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("usage: scripts/bench", done.stderr)
        self.assertIn(words, done.stderr)

    def test_help_names_every_exit_status(self):
        for arguments in (["--help"], ["micro", "--help"]):
            done = bench(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("exit status:", done.stdout)

    def test_no_command(self):
        self.expect_wrong("COMMAND")

    def test_unknown_command(self):
        self.expect_wrong("'macro'", "macro")

    def test_unknown_flag(self):
        self.expect_wrong("--slow", "micro", "--slow")

    def test_filter_without_a_value(self):
        self.expect_wrong("--filter", "micro", "--filter")

    def test_filter_that_is_no_regular_expression(self):
        self.expect_wrong("no regular expression", "micro", "--filter", "(")


class Judging(unittest.TestCase):
    FASTER = targets.Target("fast in slow", "fast", targets.AT_LEAST, 2, "slow")
    TIME = targets.Target("fast's time in slow's", "fast", targets.AT_MOST, 0.6, "slow",
                          of_rates=False)

    def report(self, target, *samples, failed=None):
        runs = [{name: {"items_per_second": rate} for name, rate in sample.items()}
                for sample in samples]
        with contextlib.redirect_stdout(io.StringIO()) as text:
            verdict, = verdicts.report([target], runs, failed or {})
        return verdict.word, text.getvalue()

    def test_a_ratio_at_the_limit_passes(self):
        word, text = self.report(self.FASTER, {"fast": 20, "slow": 10})
        self.assertEqual(word, verdicts.MET)
        self.assertIn("PASS", text)

    # Planted: HikariCP's select over TCP against ours over the Unix socket.
    def test_a_peer_is_held_against_our_row_of_the_same_kind(self):
        for target in targets.PEERS:
            self.assertEqual(target.row.rpartition("/")[0], target.against.rpartition("/")[0])
        self.assertIn("select_tcp/1_on_8/hikaricp", [target.against for target in targets.PEERS])

    def test_a_ratio_beyond_it_is_a_miss(self):
        word, text = self.report(self.FASTER, {"fast": 19, "slow": 10})
        self.assertEqual(word, verdicts.MISSED)
        self.assertIn("MISS", text)

    def test_times_are_the_inverse_of_rates(self):
        self.assertEqual(self.report(self.TIME, {"fast": 20, "slow": 10})[0], verdicts.MET)
        self.assertEqual(self.report(self.TIME, {"fast": 15, "slow": 10})[0], verdicts.MISSED)

    def test_the_median_of_the_ratios_is_judged_not_one_lucky_sample(self):
        slow = {"fast": 10, "slow": 10}
        self.assertEqual(self.report(self.FASTER, slow, {"fast": 90, "slow": 10}, slow)[0],
                         verdicts.MISSED)

    def test_rows_of_different_samples_are_never_compared(self):
        word, text = self.report(self.FASTER, {"fast": 20}, {"slow": 10})
        self.assertEqual(word, verdicts.NOT_RUN)
        self.assertIn("1 not judged (rows not run)", text)

    def test_any_counter_may_be_compared(self):
        tail = targets.Target("tail in tail", "a", targets.AT_MOST, 0.5, "b", counter="p99_us")
        rows = {"a": {"p99_us": 4, "items_per_second": 1}, "b": {"p99_us": 10, "items_per_second": 1}}
        self.assertEqual(tail.ratio(rows), 0.4)
        self.assertIsNone(tail.ratio({"a": {"p99_us": 4}, "b": {}}))

    def test_a_limit_may_be_one_from_below(self):
        fair = targets.Limit("Jain's index", "a", "jain", 0.98, targets.AT_LEAST)
        self.assertTrue(fair.holds(0.99))
        self.assertFalse(fair.holds(0.97))

    def test_flat_rows_are_the_fastest_in_the_slowest_and_only_all_of_them(self):
        flat = targets.Flat("flat", ("a", "b", "c"), 1.15)
        rates = {"a": 100, "b": 90, "c": 80}
        rows = {name: {"items_per_second": rate} for name, rate in rates.items()}
        self.assertEqual(flat.ratio(rows), 1.25)
        self.assertFalse(flat.holds(1.25))
        self.assertIsNone(flat.ratio(dict(list(rows.items())[:2])))

    # Planted: needs() without the row itself; then the target is one that was not run.
    def test_a_row_that_failed_is_named_and_not_one_that_was_not_run(self):
        word, text = self.report(self.FASTER, {"slow": 10}, failed={"fast": "no server"})
        self.assertEqual(word, verdicts.FAILED)
        self.assertIn("0 of 0 targets met, 1 not judged (failed)\nfailed: fast: no server\n", text)

    def test_a_row_that_failed_in_one_sample_is_named_and_judged_by_the_others(self):
        word, text = self.report(self.FASTER, {"slow": 10}, {"fast": 20, "slow": 10},
                                 failed={"fast": "no server"})
        self.assertEqual(word, verdicts.MET)
        self.assertIn("failed: fast: no server\n", text)


if __name__ == "__main__":
    unittest.main()
