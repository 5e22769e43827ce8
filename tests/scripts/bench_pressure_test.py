#!/usr/bin/python3
"""scripts/bench: which samples were taken while the machine was calm, and whose work is whose."""

import contextlib
import dataclasses
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benchlib import commands, pressure, processes, samples  # noqa: E402

# Burns 0.3 s of a processor, says its id, and waits until its input ends. STEP: how it gets there.
BURN = """
import os, sys, time
if STEP and os.fork():
    if STEP == "child":
        os.wait()
    os._exit(0)
while time.process_time() < 0.3:
    pass
print(os.getpid(), flush=True)
sys.stdin.read()
"""


class Turns(unittest.TestCase):
    def test_the_same_seed_gives_the_same_order_and_another_one_another(self):
        orders = [samples.schedule(["a", "b"], 12, seed) for seed in (1, 1, 2)]
        self.assertEqual(orders[0], orders[1])
        self.assertNotEqual(orders[0], orders[2])

    def take(self, disturbances, plan):
        """What becomes of samples that are so disturbed, one after the other."""
        shares = iter(disturbances)
        side = samples.Side("side", pathlib.Path(), "")
        with (mock.patch.object(samples, "run_once", side_effect=self.run_once),
              mock.patch.object(pressure, "await_calm") as await_calm,
              mock.patch.object(pressure.Disturbance, "shares", lambda _: next(shares)),
              mock.patch.object(pressure.Disturbance, "look") as look,
              contextlib.redirect_stderr(io.StringIO())):
            taking = samples.Taking([side], plan, "", pathlib.Path(), seed=1)
            taking.go_on()
        self.awaited, self.looks = await_calm.call_count, look.call_count
        return taking.repeated[side], taking.taken[side]

    @staticmethod
    def run_once(_program, _plan, _row_filter, _out, tick):
        tick()
        return []

    def test_a_sample_under_pressure_or_steal_is_repeated_and_the_calm_ones_are_kept(self):
        plan = samples.Plan(3, 0.1, 0.1)
        repeated, taken = self.take([
            (0, 0, 0), (0.5, 0, 0), (0, 0, 0.5), (0, 0.5, 0), (0, 0.01, 0), (0.01, 0, 0)], plan)
        self.assertEqual(repeated, 3)
        self.assertEqual((self.awaited, self.looks), (6, 6))
        kept = samples.best(taken, plan)
        self.assertEqual([(sample.others, sample.waited, sample.steal) for sample in kept],
                         [(0, 0, 0), (0, 0.01, 0), (0.01, 0, 0)])

    # Planted: a plan for e2e whose limits nothing exceeds, for the server was one of the others.
    def test_whole_statements_are_as_calm_as_the_pool_alone(self):
        asked = types.SimpleNamespace(quick=False, runs=None, any_load=False, suite="e2e")
        plan = commands.plan_of(asked)
        self.assertTrue(plan.patient)
        self.assertEqual((plan.calm, plan.steal), (0.1, 0.05))

    def test_a_machine_that_is_never_calm_is_asked_twice_as_often_and_no_more(self):
        plan = samples.Plan(3, 0.1, 0.1)
        _, taken = self.take([(share, 0, 0) for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)], plan)
        self.assertEqual(len(taken), 6)
        kept = samples.best(taken, plan)
        self.assertEqual([sample.others for sample in kept], [0.6, 0.5, 0.4])

    def test_with_any_load_none_is_repeated_and_each_is_known_to_be_disturbed(self):
        plan = samples.Plan(3, 0.1, 0.1, patient=False)
        repeated, taken = self.take([(0.9, 0, 0), (0, 0, 0.9), (0, 0, 0)], plan)
        self.assertEqual((repeated, self.awaited), (0, 0))
        self.assertEqual([sample.is_calm(plan) for sample in taken], [False, False, True])


class Pressure(unittest.TestCase):
    def test_the_kernel_says_how_long_somebody_waited_or_it_does_not(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("some avg10=0.00 avg60=0.71 avg300=4.98 total=2500000\n"
                       "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
            file.flush()
            self.assertEqual(pressure.stalled_seconds(pathlib.Path(file.name)), 2.5)
        self.assertIsNone(pressure.stalled_seconds(pathlib.Path("/no/such/file")))

    @staticmethod
    def moment(**changes):
        still = pressure.Moment(at=0, busy=0, stalled=5.0, started=100,
                                own=processes.Look(0, {1: 2.0, 2: 0.0}))
        return dataclasses.replace(still, **changes)

    def waited(self, waits, **changes):
        after = self.moment(own=processes.Look(0, waits), **changes)
        return pressure.others_waited(self.moment(), after)

    def test_that_somebody_waited_is_others_waiting_unless_it_was_ours(self):
        self.assertEqual(self.waited({1: 2.0, 2: 0.0}, stalled=7.0), 2.0)
        self.assertEqual(self.waited({1: 2.5, 2: 1.0}, stalled=7.0), 0.5)
        self.assertEqual(self.waited({1: 4.0, 2: 4.0}, stalled=7.0), 0.0)

    # Planted: only threads that are there are looked at; then 16 that wait for 2 cores between two
    # looks are others.
    def test_what_threads_waited_that_nobody_saw_is_not_blamed_on_others(self):
        self.assertEqual(self.waited({1: 2.0, 2: 0.0, 3: 1.5}, stalled=7.0, started=101), 0.5)
        self.assertEqual(self.waited({1: 2.0, 2: 0.0, 3: 1.5}, stalled=7.0, started=102), 0.0)
        self.assertEqual(self.waited({1: 2.0}, stalled=7.0), 0.0)

    def test_a_kernel_without_pressure_says_nothing(self):
        self.assertEqual(self.waited({1: 2.0, 2: 0.0}, stalled=None), 0.0)

    def shares(self, *moments):
        """Of a disturbance whose looks are these moments."""
        left = iter(moments)
        with (mock.patch.object(pressure.Disturbance, "now", lambda _: next(left)),
              mock.patch.object(pressure, "processor_seconds", lambda: (0, 0))):
            disturbance = pressure.Disturbance()
            for _ in moments[2:]:
                disturbance.look()
            return disturbance.shares()

    def test_own_work_is_not_that_of_others(self):
        own = processes.Look(2, {1: 2.0, 2: 0.0})
        others, waited, _ = self.shares(self.moment(), self.moment(at=10, busy=3, own=own))
        self.assertAlmostEqual(others, 0.1)
        self.assertEqual(waited, 0)

    # Planted: a last look when the program has ended; then what its server used is others'.
    def test_others_are_judged_until_the_last_look_and_their_waiting_over_all_of_them(self):
        own = processes.Look(2, {1: 2.0, 2: 0.0})
        others, waited, _ = self.shares(
            self.moment(), self.moment(at=5, stalled=6.0), self.moment(at=10, busy=3, own=own),
            self.moment(at=11, busy=4))
        self.assertAlmostEqual(others, 0.1)
        self.assertAlmostEqual(waited, 0.1)


class Own(unittest.TestCase):
    """What processes use is theirs, so that no clock is needed: each has used 0.3 s."""

    def burn(self, step=None):
        """Starts one that is so related, and gives its id once it has used its share."""
        child = self.enterContext(subprocess.Popen(
            [sys.executable, "-c", BURN.replace("STEP", repr(step))], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.addCleanup(child.stdin.close)
        return int(child.stdout.readline())

    def test_children_and_their_children_are_our_own(self):
        own = processes.Own()
        before = own.look().used
        self.burn()
        pid = self.burn("child")
        after = own.look()
        self.assertGreaterEqual(after.used - before, 0.55)  # it is told in hundredths
        self.assertIn(pid, after.waits)

    # Planted: the tree alone; then the server that pg_ctl has restarted is one of the others.
    def test_a_restarted_server_is_our_own_though_nobodys_child(self):
        own = processes.Own()
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        with mock.patch.dict(os.environ, TIDEGATE_PG_DATADIR=str(folder)):
            self.burn()
        before = own.look().used
        first = self.burn("orphan")
        self.assertLess(own.look().used - before, 0.25)
        (folder / "postmaster.pid").write_text(f"{first}\n{folder}\n")
        with_first = own.look()
        self.assertGreaterEqual(with_first.used - before, 0.28)
        self.assertIn(first, with_first.waits)

        # Another one takes its place: what the first has used is not forgotten.
        second = self.burn("orphan")
        (folder / "postmaster.pid").write_text(f"{second}\n")
        os.kill(first, signal.SIGKILL)
        self.assertGreaterEqual(own.look().used - before, 0.56)


if __name__ == "__main__":
    unittest.main()
