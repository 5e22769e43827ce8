#!/usr/bin/env python3
"""bench_memory_test.py PROGRAM: a pool takes no more memory than E7 allows. PROGRAM is the benchmark of
whole statements; what it counts here are bytes, so neither its flags nor the machine's load matter."""

import json
import pathlib
import subprocess
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benchlib import targets  # noqa: E402

ROWS = "memory/"


class Memory(unittest.TestCase):
    # Seen failing with room for four parameters from the start: 1,081 bytes a slot.
    def test_no_slot_and_no_gate_takes_more_than_its_limit(self):
        done = subprocess.run(
            [REPOSITORY / "scripts/with-postgres", PROGRAM, f"--benchmark_filter={ROWS}",
             "--benchmark_format=json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done)
        rows = {row["name"]: row for row in json.loads(done.stdout)["benchmarks"]}
        limits = [target for target in targets.E2E if target.row.startswith(ROWS)]
        self.assertGreater(len(limits), 3)
        for limit in limits:
            with self.subTest(limit.claim):
                self.assertLessEqual(limit.ratio(rows), limit.factor)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
