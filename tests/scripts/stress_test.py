#!/usr/bin/env python3
"""The stress programs answer what cannot be run, leave artefacts, and leave nothing else behind.

usage: stress_test.py TIDEGATE_STRESS TIDEGATE_STRESS_PG
"""

import json
import os
import pathlib
import re
import shutil
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

    def test_more_threads_than_can_be_had(self):
        limited = ["prlimit", "--as=900000000", PROGRAM, "--seconds", "0", "--scenario"]
        self.refused("accounting.crowd needs 25000 threads at once", *limited, "accounting.crowd")
        self.refused("--threads 1024 needs up to", *limited, "accounting.mix", "--threads", "1024")
        self.refused("accounting.crowd needs", *limited, "accounting", "--check")

    def test_no_server(self):
        self.refused("scripts/with-postgres", PG_PROGRAM, "--scenario", "hygiene")

    def test_scripts_stress_refuses_before_it_builds(self):
        for words in ["--driver", "redis"], ["--faults", "earthquake"], ["--seconds", "soon"]:
            done = run(str(SCRIPTS / "stress"), *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words[1], done.stderr)


CMAKE = '''#!/bin/sh
[ "$1" = --build ] || exit 0
echo built >> built
for word; do case $word in tidegate-stress*) name=$word ;; esac; done
mkdir -p "$2/stress"
cp ../program "$2/stress/$name"
'''
# Stands in for the stress programs: says how it was called.
PROGRAM_DOUBLE = '#!/bin/sh\necho "${0##*/} $*"\n'
POSTGRES = '#!/bin/sh\n[ "$1" = --find ] && exit 0\necho with-postgres\nexec "$@"\n'


class TheScript(unittest.TestCase):
    """scripts/stress in a tree of its own, with a PATH of stand-ins."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = pathlib.Path(folder.name)
        self.root = self.place / "tree"
        for name in ("scripts", "stress/pg", "stress/close", "stress/accounting", "stress/control",
                     "stress-results/7"):
            (self.root / name).mkdir(parents=True)
        (self.root / "stress-results/7/log").write_text("earlier")
        (self.root / "stress/pg/a.cpp").write_text('"close.server-down" "server.down"')
        (self.root / "stress/close/a.cpp").write_text('"close.race"')
        for name in ("stress", "lib.bash"):
            shutil.copy(SCRIPTS / name, self.root / "scripts")
        self.plant("program", PROGRAM_DOUBLE)
        self.plant("tree/scripts/with-postgres", POSTGRES)
        for name in ("bash", "cat", "dirname", "env", "grep", "mkdir", "nproc", "rm", "cp", "sh", "tee",
                     "od", "tr"):
            (self.place / "bin").mkdir(exist_ok=True)
            (self.place / "bin" / name).symlink_to(shutil.which(name))
        self.plant("bin/cmake", CMAKE)
        self.plant("bin/g++", "#!/bin/sh\nexit 0\n")
        self.plant("bin/clang++", "#!/bin/sh\nexit 0\n")

    def plant(self, name, text):
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def stress(self, *words):
        return subprocess.run([self.root / "scripts/stress", "--seed", "7", *words], text=True,
                              env={"PATH": str(self.place / "bin")}, capture_output=True,
                              timeout=PATIENCE, check=False)

    def refused(self, text, *words):
        done = self.stress(*words)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(text, done.stderr)
        self.assertFalse((self.root / "built").exists(), "it was built before it was looked for")
        self.assertEqual((self.root / "stress-results/7/log").read_text(), "earlier")

    def test_without_clang(self):
        (self.place / "bin/clang++").unlink()
        self.refused("no clang++ is installed", "--compiler", "clang++", "--scenario", "close.race")

    def test_without_a_compiler_at_all(self):
        (self.place / "bin/g++").unlink()
        self.refused("g++ is not installed", "--scenario", "close.race")

    def test_without_the_runtime_of_a_sanitizer(self):
        self.plant("bin/g++", "#!/bin/sh\ncase $* in *-fsanitize=*) exit 1 ;; esac\n")
        for kind in ("--tsan", "--asan"):
            self.refused("its runtime is missing", kind, "--scenario", "close.race")

    def test_without_a_server_where_one_is_needed(self):
        self.plant("tree/scripts/with-postgres", "#!/bin/sh\nexit 2\n")
        for words in (["--scenario", "server.down"], ["--scenario", "close.server-down"],
                      ["--driver", "pg"], ["--driver", "all", "--scenario", "close"],
                      ["--faults", "all", "--scenario", "close"]):
            self.refused("there is no PostgreSQL server here", *words)

    def runs(self, program, *words):
        done = self.stress("--seconds", "1", *words)
        self.assertEqual(done.returncode, 0, done)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split()[0], f"{program}", done)  # the --check
        self.assertTrue((self.root / "stress-results/7/log").exists())
        return done

    def test_a_scenario_finds_its_driver(self):
        for scenario, program, driver in (("close.race", "tidegate-stress", "fake"),
                                          ("close.server-down", "tidegate-stress-pg", "pg"),
                                          ("server.down", "tidegate-stress-pg", "pg"),
                                          ("server", "tidegate-stress-pg", "pg")):
            done = self.runs(program, "--scenario", scenario)
            self.assertIn(f"--driver {driver} --faults all --scenario {scenario}", done.stdout)
            self.assertEqual("with-postgres" in done.stdout.splitlines(), driver == "pg", done)

    def test_what_is_for_both_runs_both_where_there_is_a_server(self):
        for words in ["--scenario", "close"], ["--scenario", "all"], []:
            done = self.runs("tidegate-stress-pg", *words)
            self.assertIn("--driver all", done.stdout)
            self.assertIn("with-postgres", done.stdout.splitlines())

    def test_what_is_for_both_runs_one_where_there_is_none_and_says_so(self):
        self.plant("tree/scripts/with-postgres", "#!/bin/sh\nexit 2\n")
        done = self.runs("tidegate-stress", "--scenario", "close")
        self.assertIn("--driver fake", done.stdout)
        self.assertIn("no PostgreSQL server is installed", done.stderr)


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

    def test_of_a_crash_in_a_later_round_with_the_command_that_crashes_again(self):
        done, report = self.play("control.crash", "--repeat", "64", "--stall", "77")
        self.assertEqual((done.returncode, report["status"]), (70, 70), done.stdout)
        self.assertIn("SIGSEGV", report["what"])
        seed = int(re.search(r"seed of this round (\d+)", done.stdout)[1])
        self.assertGreater(seed, 4711)
        again = re.search(r"this scenario alone: \S+ (.*)", done.stdout)[1].split()
        for words in (["--repeat", "1"], ["--stall", "77"], ["--seed", str(seed)]):
            at = again.index(words[0])
            self.assertEqual(again[at:at + 2], words)
        done = run(PROGRAM, *again)
        self.assertEqual(done.returncode, 70)
        self.assertNotIn("this scenario alone", done.stdout)
        self.assertIn("--repeat 64", report["replay"])

    def test_the_single_actor_goes_first(self):
        names = run(PROGRAM, "--list").stdout.split()
        self.assertEqual([name for name in names if name.startswith("accounting.")][0],
                         "accounting.alone")

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
        # The pool as it is: nobody is told that a slot was granted, so it is out for ever.
        for line in r"gate 0: open, waiting, leases \d+", r"slot 0: out", r"waiters \d+, of which":
            self.assertRegex(done.stdout, line)
        waiting = re.search(r"waiting (\d+), things 1 of 1", done.stdout)
        self.assertGreater(int(waiting[1]), 0, done.stdout)
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
