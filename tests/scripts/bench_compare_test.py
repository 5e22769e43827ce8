#!/usr/bin/python3
"""scripts/bench compare, list and show: verdicts, exit status, pictures, and what they say about
results that are none. The runs are synthetic."""

import errno
import json
import math
import os
import pathlib
import random
import sys
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from benchlib import judge, noise, rows  # noqa: E402
from support import synthetic_runs  # noqa: E402
from support.bench_in_process import Runs  # noqa: E402


def drawn(seed, n, slower=1.0):
    draw = random.Random(seed)
    return [10 * slower * draw.gauss(1, synthetic_runs.SPREAD) for _ in range(n)]


def judged(a, b, rows_judged=1, floor=0.03):
    return judge.judge([("row", "time", a, b, floor)] * rows_judged)[0]


class Statistics(unittest.TestCase):
    # Each try has twenty rows. Planted: p as it is, without Holm's correction: 16 of 20.
    def test_the_same_twice_is_called_the_same_in_nineteen_of_twenty_tries(self):
        clean = 0
        for seed in range(20):
            pairs = [(f"row {i}", "time", drawn(f"a {seed} {i}", 12),
                      drawn(f"b {seed} {i}", 12), 0.0) for i in range(20)]
            clean += all(one.verdict == judge.SAME for one in judge.judge(pairs))
        self.assertGreaterEqual(clean, 19)

    # Planted: verdict_of() with the sides swapped.
    def test_ten_percent_more_time_is_slower_and_ten_percent_less_is_faster(self):
        self.assertEqual(judged(drawn(1, 12), drawn(2, 12, 1.1)).verdict, judge.SLOWER)
        self.assertEqual(judged(drawn(1, 12, 1.1), drawn(2, 12)).verdict, judge.FASTER)

    def test_more_items_per_second_are_faster(self):
        pair = ("row", "items_per_second", drawn(1, 12), drawn(2, 12, 1.1), 0.03)
        self.assertEqual(judge.judge([pair])[0].verdict, judge.FASTER)

    def test_a_change_below_the_noise_floor_is_none_however_sure(self):
        self.assertEqual(judged(drawn(1, 40), drawn(2, 40, 1.1), floor=0.2).verdict, judge.SAME)

    def test_three_samples_are_few(self):
        self.assertEqual(judged([10, 11, 12], [20, 21, 22]).verdict, judge.FEW)
        self.assertEqual(judged(drawn(1, 12), [20, 21, 22]).verdict, judge.FEW)

    def test_five_samples_are_enough_for_one_row_and_few_for_two(self):
        self.assertEqual(judged(drawn(1, 5), drawn(2, 5, 2)).verdict, judge.SLOWER)
        self.assertEqual(judged(drawn(1, 5), drawn(2, 5, 2), rows_judged=2).verdict, judge.FEW)

    # The example of Holm's paper in numbers that can be followed. Planted: without the running
    # maximum the third one is 0.03.
    def test_holm_corrects_the_smallest_most_and_keeps_the_order(self):
        corrected = judge.holm([0.01, 0.03, 0.02, 0.02, 0.8])
        for got, wanted in zip(corrected, [0.05, 0.08, 0.08, 0.08, 0.8]):
            self.assertAlmostEqual(got, wanted)
        self.assertEqual(judge.holm([0.6, 0.6]), [1.0, 1.0])

    def test_the_interval_of_twelve_reaches_from_the_third_to_the_tenth(self):
        estimate = judge.Estimate.of(range(1, 13))
        self.assertEqual((estimate.median, estimate.low, estimate.high), (6.5, 3, 10))

    def test_the_interval_holds_the_true_median_as_often_as_it_says(self):
        draw = random.Random(1)
        hits = 0
        for _ in range(2000):
            estimate = judge.Estimate.of([draw.random() for _ in range(12)])
            hits += estimate.low <= 0.5 <= estimate.high
        self.assertGreater(hits / 2000, 0.94)

    def test_samples_that_are_all_equal_are_no_change(self):
        self.assertEqual(judged([5.0] * 12, [5.0] * 12).verdict, judge.SAME)
        self.assertEqual(judged([0.0] * 12, [0.0] * 12).change, 0)
        self.assertEqual(judged([0.0] * 12, [1.0] * 12).change, math.inf)

    def test_the_floor_of_noise_is_near_what_the_noise_does(self):
        floors = [noise.floor_in_turns(drawn(f"{seed}", 24)) for seed in range(15)]
        # 1.96 deviations of the difference of two medians of 12, of which each is 1.25 / sqrt(12).
        wanted = 1.96 * 1.25 * math.sqrt(2 / 12) * synthetic_runs.SPREAD
        self.assertAlmostEqual(judge.median_of(floors), wanted, delta=wanted / 3)

    def test_a_drift_is_seen_between_the_halves(self):
        self.assertAlmostEqual(judge.drift([10] * 6 + [12] * 6), 0.2)


class Metrics(unittest.TestCase):
    def test_the_time_of_one_operation_is_that_of_the_wall_clock_where_items_are_counted(self):
        row = {"name": "r", "real_time": 3, "time_unit": "us", "items_per_second": 5e8}
        self.assertEqual(rows.metrics_of(row)["time"], 2)
        self.assertEqual(rows.metrics_of(row)["real_time"], 3000)

    def test_a_percentile_finds_every_counter_of_that_kind(self):
        names = {"time", "wait_p99_us", "wait_p999_us", "p99_ms", "jain"}
        self.assertEqual(rows.select(["p99"], names), ["p99_ms", "wait_p99_us"])
        self.assertEqual(rows.select(["jain", "time"], names), ["jain", "time"])

    def test_repetitions_count_as_one_and_failures_and_aggregates_as_none(self):
        result = {"benchmarks": [
            {"name": "r", "run_type": "iteration", "real_time": value} for value in (1, 2, 9)
        ] + [{"name": "r_mean", "run_type": "aggregate", "real_time": 4},
             {"name": "broken", "run_type": "iteration", "error_occurred": True, "real_time": 1}]}
        self.assertEqual(rows.metrics_by_row(result),
                         {"r": {"real_time": 2, "time": 2}})
        self.assertEqual(rows.failures(result), {"broken": "it does not say why"})

    def test_values_have_three_digits_and_a_unit(self):
        for value, text in ((12.34, "12.3 ns"), (999.6, "1.00 us"), (1.5e6, "1.50 ms"),
                            (123.4, "123 ns"), (2e9, "2.00 s")):
            self.assertEqual(rows.text_of("time", value), text)
        self.assertEqual(rows.text_of("wait_p99_us", 2300), "2.30 ms")
        self.assertEqual(rows.text_of("jain", 0.98123), "0.981")


class Comparing(Runs):
    def test_a_run_that_is_ten_percent_slower_is_a_regression_where_that_is_asked_for(self):
        self.run_of("a", 1)
        self.run_of("slow", 2, slower=1.1)
        done = self.expect(0, "SLOWER", "compare", "a", "slow")
        self.assertRegex(done.stdout, r"geometric mean, 7 rows +\+\d")
        self.expect(3, "SLOWER", "compare", "a", "slow", "--fail-on-regression")
        self.expect(0, "faster", "compare", "slow", "a", "--fail-on-regression")

    def test_the_same_twice_is_none(self):
        self.run_of("a", 1)
        self.run_of("b", 2)
        done = self.expect(0, " ~", "compare", "a", "b", "--fail-on-regression")
        self.assertNotIn("SLOWER", done.stdout)
        self.assertNotIn("faster", done.stdout)

    def test_three_runs_are_two_tables_against_the_first(self):
        for seed, name in enumerate("abc"):
            self.run_of(name, seed)
        done = self.expect(0, "", "compare", "a", "b", "c")
        self.assertEqual(done.stdout.count("verdict"), 2)

    def test_quick_runs_are_few(self):
        self.run_of("a", 1, samples=3)
        self.run_of("b", 2, samples=3, slower=2)
        done = self.expect(0, "few: 7 rows with too few samples (3)", "compare", "a", "b",
                           "--fail-on-regression")
        self.assertNotIn("SLOWER", done.stdout)

    # Planted: only runs of unlike numbers of samples; then nothing is said.
    def test_runs_that_were_sampled_differently_are_told_so_above_the_table(self):
        full, quick = ({"min_time": 0.2, "fixed_time": 1.0}, {"min_time": 0.05, "fixed_time": 0.3})
        for seed, (name, meta) in enumerate((("a", full), ("b", full), ("c", quick), ("old", {}))):
            self.run_of(name, seed, meta=meta)
        words = "were sampled differently, as with and without --quick: 0.2 and 0.05 s for a row, "
        done = self.expect(0, words, "compare", "a", "c")
        self.assertLess(done.stdout.index(words), done.stdout.index("verdict"))
        for other in ("b", "old"):
            self.assertNotIn("sampled differently",
                             self.expect(0, "", "compare", "a", other).stdout)

    def test_a_threshold_above_the_change_hides_it(self):
        self.run_of("a", 1)
        self.run_of("slow", 2, slower=1.1)
        done = self.expect(0, "not by more than threshold and noise floor", "compare", "a", "slow",
                           "--threshold", "30%", "--fail-on-regression")
        self.assertNotIn("SLOWER", done.stdout)

    def test_the_noise_floor_of_a_calibration_hides_what_is_below_it(self):
        self.run_of("a", 1)
        self.run_of("slow", 2, slower=1.1)
        floors = {row: {"time": {"in_turns": 0.3, "apart": 0.3}}
                  for row in (*synthetic_runs.ROWS, synthetic_runs.EXHAUSTED)}
        environment = {what: synthetic_runs.CONTEXT[f"tidegate_{what}"]
                       for what in ("machine", "cores", "kernel")}
        stored = self.results / "noise.json"
        stored.write_text(json.dumps({"environment": environment, "rows": floors}))
        done = self.expect(0, " ~", "compare", "a", "slow", "--fail-on-regression")
        self.assertNotIn("not known", done.stdout)
        # Another machine's floor says nothing about this one.
        stored.write_text(json.dumps({"environment": {**environment, "machine": "other"},
                                      "rows": floors}))
        self.expect(3, "noise floor of this machine is not known", "compare", "a", "slow",
                    "--fail-on-regression")

    # Planted: without the drift as a floor every row is SLOWER, by 22 %.
    def test_a_machine_that_became_slower_within_a_run_is_no_change_of_the_program(self):
        self.run_of("a", 1, samples=24)
        self.run_of("b", 2, samples=24)
        for number in range(9, 25):
            file = self.results / f"b/run-{number:03}.json"
            result = json.loads(file.read_text())
            for row in result["benchmarks"]:
                row["real_time"] *= 1.15 if number <= 12 else 1.3
            file.write_text(json.dumps(result))
        done = self.expect(0, "the drift within each run", "compare", "a", "b", "--metric",
                           "real_time")
        self.assertNotIn("SLOWER", done.stdout)

    def test_percentiles_are_judged_when_asked_for(self):
        self.run_of("a", 1)
        self.run_of("slow", 2, slower=1.2)
        done = self.expect(0, "wait_p99_us", "compare", "a", "slow", "--metric", "time,p99")
        self.assertIn("geometric mean of wait_p99_us, 1 rows", done.stdout)

    def test_json_has_what_the_table_has(self):
        self.run_of("a", 1)
        self.run_of("slow", 2, slower=1.2)
        self.expect(0, "", "compare", "a", "slow", "--json", "out.json")
        comparison, = json.loads((self.root / "out.json").read_text())["comparisons"]
        first = comparison["rows"][0]
        self.assertEqual((comparison["run"], first["verdict"], first["a"]["n"]),
                         ("slow", "SLOWER", 12))
        self.assertLess(first["p_uncorrected"], first["p"])
        self.assertLess(first["a"]["low"], first["a"]["median"])

    def test_rows_of_one_run_only_are_named(self):
        self.run_of("a", 1)
        self.run_of("b", 2, rows={"new": 5.0})
        self.expect(0, "only in 'b': new", "compare", "a", "b")

    def test_an_incomplete_run_is_compared_and_said_to_be_incomplete(self):
        self.run_of("a", 1)
        self.run_of("b", 2, samples=7, meta={"complete": False, "samples_wanted": 12})
        self.expect(0, "'b' is incomplete: 7 of 12 samples", "compare", "a", "b")


class NotComparable(Runs):
    def test_another_machine_compiler_flags_or_build_type(self):
        self.run_of("a", 1)
        for what in ("machine", "kernel", "cores", "compiler", "flags", "build_type"):
            self.run_of(what, 2, slower=1.2, context={f"tidegate_{what}": "other"})
            with self.subTest(what):
                done = self.expect(4, f"{what.replace('_', ' ')} differs", "compare", "a", what)
                self.assertIn("SLOWER", done.stdout)  # the table is there
        self.expect(0, "differs", "compare", "a", "flags", "--force")
        self.expect(3, "differs", "compare", "a", "flags", "--force", "--fail-on-regression")

    def test_a_run_that_was_rebuilt_between_its_samples(self):
        self.run_of("a", 1)
        self.run_of("b", 2)
        file = self.results / "b/run-002.json"
        file.write_text(json.dumps(synthetic_runs.sample(
            random.Random(1), context={"tidegate_flags": "-O0"})))
        self.expect(4, "-O0 and -O3", "compare", "a", "b")

    def test_runs_without_a_row_in_common(self):
        self.run_of("a", 1)
        self.run_of("b", 2)
        for file in (self.results / "b").glob("run-*.json"):
            file.write_text(file.read_text().replace('"name": "', '"name": "other_'))
        self.expect(4, "nothing to compare", "compare", "a", "b")


class BadInput(Runs):
    def setUp(self):
        super().setUp()
        self.run_of("before", 1)
        self.run_of("after", 2)
        self.sample = self.results / "after/run-003.json"

    def expect_bad(self, text, words):
        self.sample.write_text(text)
        done = self.expect(1, words, "compare", "before", "after")
        self.assertIn("run-003.json", done.stderr)
        self.expect(1, words, "show", "after")

    def test_empty(self):
        self.expect_bad("", "is empty")

    def test_truncated(self):
        self.expect_bad(self.sample.read_text()[:500], "is no JSON, or was cut off")

    def test_foreign(self):
        for text in ('{"answer": 42}', "[]", "42", '{"context": {}, "benchmarks": [1]}'):
            with self.subTest(text):
                self.expect_bad(text, "no result of Google Benchmark")
        self.expect_bad("[" * 100_000, "is no JSON")

    def test_rows_that_are_not_what_they_should_be(self):
        for row, words in (({"name": 5}, "row 1 has the name 5"),
                           ({"name": []}, "row 1 has the name []"),
                           ({"name": "r", "time_unit": ["ns"]}, "row 1 has the time_unit ['ns']"),
                           ({"name": "r", "time_unit": "h"}, "row 1 has the time_unit 'h'")):
            with self.subTest(row):
                self.expect_bad(json.dumps({"context": {}, "benchmarks": [row]}),
                                f"no result of Google Benchmark: {words}")

    def test_a_value_that_cannot_be_calculated_with_is_none(self):
        values = {"real_time": 10**400, "cpu_time": math.nan, "jain": True, "p99_us": "5"}
        self.assertEqual(rows.metrics_of({"name": "r", **values}), {})
        self.assertEqual(rows.metrics_of({"name": "r", "items_per_second": 5e-324}),
                         {"items_per_second": 5e-324})

    def test_binary(self):
        self.sample.write_bytes(b"\xff\xfe\x00")
        self.expect(1, "cannot be read", "compare", "before", "after")

    def test_no_rows(self):
        for file in (self.results / "after").glob("run-*.json"):
            file.write_text(json.dumps({"context": {}, "benchmarks": []}))
        self.expect(1, "has no rows", "compare", "before", "after")

    def test_no_samples(self):
        for file in (self.results / "after").glob("run-*.json"):
            file.unlink()
        self.expect(1, "'after' has no samples", "compare", "before", "after")

    def test_a_description_that_is_cut_off(self):
        (self.results / "after/meta.json").write_text("{")
        self.expect(1, "meta.json", "compare", "before", "after")
        self.expect(0, "before", "list")  # and hides none of the others

    # Planted: values that are taken as they come; then each is a traceback of its own.
    def test_a_description_of_something_else(self):
        meta = self.results / "after/meta.json"
        for what, value in (("taken_in_turns_with", None), ("taken_in_turns_with", [5]),
                            ("date", 5), ("complete", "no"), ("samples_wanted", [])):
            with self.subTest(what, value=value):
                meta.write_text(json.dumps({what: value}))
                done = self.expect(1, f'"{what}" is ', "compare", "before", "after")
                self.assertIn("removed, the samples can still be compared", done.stderr)
                self.expect(0, "cannot be read", "list")

    def test_a_run_that_nobody_described_is_compared_all_the_same(self):
        (self.results / "after/meta.json").unlink()
        self.expect(0, "verdict", "compare", "before", "after")

    def test_unknown_metric(self):
        done = self.expect(2, "no row has the metric 'p98'", "compare", "before", "after",
                           "--metric", "p98")
        self.assertIn("wait_p99_us", done.stderr)

    def test_unknown_name_suggests_a_near_one(self):
        self.expect(2, "no run 'bfore' in bench-results; did you mean before?", "compare", "bfore",
                    "after")
        self.expect(2, "there are: ", "show", "zzz")
        self.expect(2, "is no name for a run", "compare", "../before", "after")

    def test_options_that_cannot_be(self):
        for words, arguments in (
                ("is no percentage, as 3% is", ["--threshold", "3"]),
                ("a picture is .png or .svg", ["--plot", "ab.gif"]),
                ("there is no folder nowhere", ["--plot", "nowhere/ab.png"]),
                ("there is no folder nowhere", ["--json", "nowhere/ab.json"]),
                ("no list of names", ["--metric", "p99,,p50"])):
            with self.subTest(arguments):
                self.expect(2, words, "compare", "before", "after", *arguments)
        self.expect(2, "usage: scripts/bench compare", "compare", "before")

    # Planted: no look at them before; then the picture and the table are there first, and a
    # traceback is.
    def test_files_that_cannot_be_written(self):
        (self.root / "folder.png").mkdir()
        for words, arguments in (
                ("'folder.png' cannot be written: Is a directory", ["--json", "folder.png"]),
                ("'folder.png' cannot be written: Is a directory", ["--plot", "folder.png"]),
                ("cannot be written: File name too long", ["--json", "a" * 300])):
            with self.subTest(arguments[0]):
                done = self.expect(2, words, "compare", "before", "after", *arguments)
                self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir()), ["bench-results", "folder.png"])

    def test_a_disk_that_is_full(self):
        for option, name in (("--json", "out.json"), ("--plot", "out.png")):
            os.symlink("/dev/full", name)
            done = self.expect(1, "", "compare", "before", "after", option, name)
            self.assertEqual(done.stderr,
                             f"bench: {name} cannot be written: No space left on device\n")
            self.assertIn("verdict", done.stdout)

    def test_any_other_complaint_of_the_system_is_one_line(self):
        complaint = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "bench-results/x")
        with mock.patch.object(noise, "load", side_effect=complaint):
            done = self.expect(1, "", "compare", "before", "after")
        self.assertEqual(done.stderr, "bench: bench-results/x: No space left on device\n")

    def test_a_noise_floor_that_is_none(self):
        environment = {what: synthetic_runs.CONTEXT[f"tidegate_{what}"]
                       for what in ("machine", "cores", "kernel")}
        for text in ("{}", *(json.dumps({"environment": environment, "rows": rows_of_it})
                             for rows_of_it in (5, {"r": 5}, {"r": {"time": 0.3}},
                                                {"r": {"time": {"in_turns": 0.3}}},
                                                {"r": {"time": {"in_turns": [], "apart": 1}}}))):
            with self.subTest(text):
                (self.results / "noise.json").write_text(text)
                self.expect(1, "scripts/bench calibrate writes it anew", "compare", "before",
                            "after")


class Pictures(Runs):
    def test_png_and_svg_are_written_and_show_every_row_and_both_runs(self):
        self.run_of("left", 1)
        self.run_of("right", 2)
        self.expect(0, "", "compare", "left", "right", "--plot", "ab.png")
        png = (self.root / "ab.png").read_bytes()
        self.assertTrue(png.startswith(b"\x89PNG"))
        self.assertGreater(len(png), 20_000)
        self.expect(0, "", "compare", "left", "right", "--plot", "ab.svg")
        svg = (self.root / "ab.svg").read_text()
        for words in ("left", "right", "acquire_release/core/pool:4/threads:16", "99.9 %"):
            self.assertIn(f"<!-- {words}", svg)


    # Planted: runs beside as many colours as there are; then the last two are not in the picture.
    def test_more_runs_than_colours_are_all_in_the_picture(self):
        names = [f"number-{number}" for number in range(8)]
        for seed, name in enumerate(names):
            self.run_of(name, seed)
        self.expect(0, "", "compare", *names, "--plot", "ab.svg")
        svg = (self.root / "ab.svg").read_text()
        for name in names:
            self.assertIn(f"<!-- {name} -->", svg)


class Showing(Runs):
    def test_list_and_show(self):
        self.expect(0, "no runs in bench-results", "list")
        self.run_of("before", 1, meta={"date": "2026-01-02T03:04:05", "revision": "abc1234"})
        self.expect(0, "before  2026-01-02 03:04", "list")
        done = self.expect(0, "revision: abc1234", "show", "before", "--metric", "time,p99")
        self.assertIn("compiler: GNU 12.2.0", done.stdout)
        self.assertIn("wait_p99_us", done.stdout)


if __name__ == "__main__":
    unittest.main()
