#!/usr/bin/python3
"""What scripts/bench micro and e2e publish as curves: the tables beside the targets, the picture. The
samples are synthetic."""

import pathlib
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from benchlib import curves, pages  # noqa: E402
from support import synthetic_runs  # noqa: E402
from support.bench_in_process import Suites  # noqa: E402


def requests(load, contender, per_second, p99_us):
    name = f"{load}/{contender}/iterations:1/real_time"
    return synthetic_runs.row(name, 3e8, items_per_second=per_second, p99_us=p99_us)


def leases(peer, threads, per_second):
    name = f"acquire_release/{peer}/real_time/threads:{threads}"
    return synthetic_runs.row(name, 10, items_per_second=per_second)


class Publishing(Suites):
    def setUp(self):
        super().setUp()
        self.write_page("micro", "gates", "e2e", "barge_window", "lanes")

    def write_page(self, *names):
        self.page.write_text("".join("{}\nold {}\n{}\n".format(
            pages.markers(name)[0], name, pages.markers(name)[1]) for name in names))

    def table(self, name):
        begin, end = pages.markers(name)
        text = self.page.read_text()
        return text[text.index(begin) + len(begin):text.index(end)].strip().splitlines()

    # Seen failing with the window's rows in the place of the mutex's, and with the open loop's p99 in
    # that of full load.
    def test_the_windows_are_a_table_of_their_own(self):
        self.take("e2e", *([requests("oversubscribed", "mutex_vector/clients:32", 40e3, 6000),
                            requests("oversubscribed", "pool/clients:32/window_us:50", rate, 900),
                            requests("open_loop", "pool/clients:32/window_us:50", 30e3, 450),
                            requests("oversubscribed", "pool/clients:128/window_us:1000", 20e3, 7)]
                           for rate in (50e3, 52e3, 60e3)))
        self.expect(0, "the table is in page.md", "e2e", "--markdown", "page.md")
        table = self.table("barge_window")
        self.assertEqual(table[0], "| window | 32 clients on 8 | p99 | p99 at 0.7 of it "
                                   "| 128 clients on 8 | p99 | p99 at 0.7 of it |")
        self.assertIn("| mutex_vector | 40.0 k/s | 6.00 ms | - | - | - | - |", table)
        self.assertIn("| 0 us | - | - | - | - | - | - |", table)
        self.assertIn("| 50 us | 52.0 k/s | 0.90 ms | 0.45 ms | - | - | - |", table)
        self.assertIn("| 1000 us | - | - | - | 20.0 k/s | 0.01 ms | - |", table)
        self.assertTrue(table[-1].startswith("2026-01-02, x86_64, some processor"), table)
        self.assertEqual(self.table("gates"), ["old gates"])

    def test_the_gates_are_a_table_of_their_own(self):
        self.take("micro", [leases("core_gates:1", 2, 32.4e6), leases("core_gates:8", 16, 211e6),
                            leases("two_rmw_shared", 2, 64e6), leases("two_rmw", 1, 233e6)])
        self.expect(0, "the table is in page.md", "micro", "--markdown", "page.md")
        table = self.table("gates")
        self.assertEqual(table[0], "|  | 1 thread | 2 threads | 4 threads | 16 threads |")
        self.assertIn("| 1 gate | - | 32 M/s | - | - |", table)
        self.assertIn("| 8 gates | - | - | - | 211 M/s |", table)
        self.assertIn("| two RMW on one word for all | - | 64 M/s | - | - |", table)
        self.assertIn("| two RMW on a word of each thread | 233 M/s | - | - | - |", table)
        self.assertEqual(self.table("barge_window"), ["old barge_window"])

    # Seen failing with the dashes of rows that were not run, which a run with a filter would leave in
    # the place of figures.
    def test_what_was_not_run_stays_as_it_is(self):
        self.take("micro", [leases("core/pool:4", 1, 1e8)])
        self.expect(0, "0 of 0 targets met", "micro", "--markdown", "page.md")
        self.assertEqual(self.table("gates"), ["old gates"])

    def test_a_page_without_a_place_for_them_gets_the_targets_alone(self):
        self.write_page("micro")
        self.take("micro", [leases("core_gates:1", 1, 1e8)])
        self.expect(0, "the table is in page.md", "micro", "--markdown", "page.md")
        self.assertNotIn("1 gate", self.page.read_text())

    def test_the_document_has_a_place_for_each(self):
        text = (REPOSITORY / "docs/performance.md").read_text()
        for name in (name for of_suite in curves.TABLES.values() for name in of_suite):
            for marker in pages.markers(name):
                self.assertEqual(text.count(marker), 1, marker)

    # Seen failing with a line for the mutex alone.
    def test_the_windows_are_a_picture(self):
        self.take("e2e", [requests("oversubscribed", f"pool/clients:{clients}/window_us:{window}",
                                   5e4 + window, 900) for clients in (32, 128)
                          for window in curves.WINDOWS])
        self.expect(0, "the picture is curve.svg", "e2e", "--plot", "curve.svg")
        drawn = (self.root / "curve.svg").read_text()
        for words in ("Pool, 32 clients on 8", "Pool, 128 clients on 8", "barge_window, us"):
            self.assertIn(f"<!-- {words} -->", drawn)

    # Seen failing with the p99 of the mutex in the row of the pool.
    def test_the_lanes_are_a_table_and_a_picture(self):
        self.take("e2e", *([requests("lanes", "mutex_vector/clients:32/lanes:0", 80e3, 3000),
                            requests("lanes", "pool/clients:32/lanes:0", 60e3, 640),
                            requests("lanes", "pool/clients:32/lanes:2", rate, 480),
                            requests("lanes", "pool/clients:128/lanes:8", 110e3, 2500)]
                           for rate in (140e3, 141e3, 155e3)))
        self.expect(0, "the picture is lanes.svg", "e2e", "--markdown", "page.md",
                    "--plot-lanes", "lanes.svg")
        table = self.table("lanes")
        self.assertEqual(table[0], "|  | 8 clients on 8 | p99 | 32 clients on 8 | p99 "
                                   "| 128 clients on 8 | p99 |")
        self.assertIn("| mutex_vector | - | - | 80.0 k/s | 3.00 ms | - | - |", table)
        self.assertIn("| pool, no lanes | - | - | 60.0 k/s | 0.64 ms | - | - |", table)
        self.assertIn("| 2 lanes | - | - | 141.0 k/s | 0.48 ms | - | - |", table)
        self.assertIn("| 8 lanes | - | - | - | - | 110.0 k/s | 2.50 ms |", table)
        self.assertEqual(self.table("barge_window"), ["old barge_window"])
        drawn = (self.root / "lanes.svg").read_text()
        for words in ("Pool, 32 clients on 8", "mutex_vector, 32", "pool_lanes"):
            self.assertIn(f"<!-- {words} -->", drawn)

    def test_without_such_rows_there_is_none(self):
        self.take("e2e", [synthetic_runs.row("batch/raw/real_time", 10, items_per_second=1e5)])
        for option in ("--plot", "--plot-lanes"):
            self.expect(0, "no curve to plot", "e2e", option, "curve.svg")
            self.assertFalse((self.root / "curve.svg").exists())

    def test_only_the_suite_that_has_the_curve_draws_it(self):
        self.expect(2, "unrecognized arguments: --plot", "micro", "--plot", "curve.svg")


if __name__ == "__main__":
    unittest.main()
