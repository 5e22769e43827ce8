#!/usr/bin/python3
"""scripts/bench micro and e2e: exit status, rows that fail, and the table in a page. The samples
are synthetic."""

import pathlib
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from benchlib import pages, targets  # noqa: E402
from support import synthetic_runs  # noqa: E402
from support.bench_in_process import Suites  # noqa: E402

CORE, LIMIT = (f"acquire_release/core/pool:4/real_time/threads:{threads}" for threads in (2, 1))
RATES = {CORE: 1.9e8, LIMIT: 1e8}  # M2 of the core: met, by 1.9
CLAIM = "core of 4: throughput, 2 threads in 1 thread"


def row(name, rate, error=None):
    failure = {"error_occurred": True, "error_message": error} if error else {}
    return synthetic_runs.row(name, 1e9 / rate, items_per_second=rate, **failure)


class Judging(Suites):
    def test_targets_that_are_met_or_missed(self):
        self.take("micro", [row(*pair) for pair in RATES.items()])
        self.expect(0, "1 of 1 targets met", "micro")
        self.take("micro", [row(CORE, 1.2e8), row(LIMIT, 1e8)])
        self.expect(3, "0 of 1 targets met", "micro")

    # Planted: the status of the targets alone; then it is 0, for nothing was missed.
    def test_a_row_that_failed_in_any_sample_ends_it_with_1_and_is_named(self):
        good = [row(*pair) for pair in RATES.items()]
        self.take("micro", good, [row(CORE, 1, "the pool is closed"), row(LIMIT, 1e8)])
        self.expect(1, f"failed: {CORE}: the pool is closed", "micro")
        self.take("e2e", [row("select/pool/real_time/threads:1", 1, "no server")],
                  [row("batch/raw/real_time", 1e5)])
        done = self.expect(1, "failed: select/pool/real_time/threads:1: no server", "e2e")
        self.assertIn("not judged (failed)", done.stdout)

    def test_rows_that_all_failed_are_named(self):
        self.take("e2e", [row("batch/pool/real_time", 1, "no server")])
        self.expect(1, "all of them failed: batch/pool/real_time: no server", "e2e")

    # Planted: only targets with figures; then the table has one line.
    def test_the_table_has_every_target_and_says_where_it_comes_from(self):
        begin, end = pages.markers("micro")
        self.page.write_text(f"before\n{begin}\nreplaced\n{end}\nafter\n")
        self.take("micro", [row(*pair) for pair in RATES.items()],
                  [row(CORE, 1.7e8), row(LIMIT, 1e8), row("observer/on/real_time", 1, "odd")])
        self.expect(1, "the table is in page.md", "micro", "--markdown", "page.md", "--filter",
                    "core|observer", "--quick")
        text = self.page.read_text()
        self.assertTrue(text.startswith(f"before\n{begin}\n| |"), text)
        self.assertTrue(text.endswith(f"{end}\nafter\n"), text)
        self.assertNotIn("replaced", text)
        self.assertIn(f"| {CLAIM} | ≥ 1.7 | 1.80 | 1.70 .. 1.90 | 2 | met |\n", text)
        self.assertIn("| time with an observer of everything, in that without | ≤ 1.05 | - | - | 0 | "
                      "failed |\n", text)
        for target in targets.MICRO:
            self.assertIn(f"| {target.claim} | ", text)
        self.assertIn(
            "\n2026-01-02, x86_64, some processor, 2 cores, kernel 6.1, GNU 12.2.0, Release: "
            "`scripts/bench micro --markdown page.md --filter 'core|observer' --quick`.\n", text)

    def test_a_page_without_a_place_for_the_table_is_refused(self):
        self.take("micro", [])
        self.page.write_text("".join(pages.markers("e2e")))
        done = self.expect(2, "needs a line <!-- micro: begin -->", "micro", "--markdown",
                           "page.md")
        self.assertEqual(done.stdout, "")

    def test_the_document_has_a_place_for_both_tables(self):
        for name in ("micro", "e2e"):
            pages.page(name)(REPOSITORY / "docs/performance.md")


if __name__ == "__main__":
    unittest.main()
