#!/usr/bin/env python3
"""scripts/fuzz says what was found and how to see it again; and leaves nothing behind."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

# Stand in for a fuzzer.
SOUND = "#!/bin/sh\necho stat::number_of_executed_units: 12345 >&2\n"
FINDS = """#!/bin/sh
for word; do case $word in -artifact_prefix=*) echo x > ${word#*=}crash-abc ;; esac; done
echo '#7 pulse' >&2; echo 'finding: it breaks' >&2; exit 77
"""
BROKEN = "#!/bin/sh\necho cannot open shared object >&2; exit 127\n"
ENDLESS = "#!/bin/sh\necho $$ > pid; exec sleep 600\n"


def is_alive(pid):
    try:
        return pathlib.Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Fuzz(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "scripts").mkdir()
        for name in ("fuzz", "lib.bash", "newest-clang"):
            shutil.copy(SCRIPTS / name, self.root / "scripts")
        shutil.copytree(SCRIPTS / "benchlib", self.root / "scripts/benchlib")
        for target in ("one", "two"):
            (self.root / "stress/fuzz/corpus" / target).mkdir(parents=True)
            self.plant(target, SOUND)

    def plant(self, target, text):
        path = self.root / f"tidegate-fuzz-{target}"
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *arguments):
        return subprocess.Popen(
            [self.root / "scripts/fuzz", "--built", self.root, "--seconds", "1", *arguments],
            cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_script(self, *arguments):
        with self.start(*arguments) as child:
            out, err = child.communicate()
        return child.returncode, out, err

    def test_names_each_target_with_its_executions(self):
        status, out, _ = self.run_script("--jobs", "2")
        self.assertEqual(status, 0)
        self.assertIn("fuzz one: ok, 12345 executions", out)
        self.assertIn("2 targets, 0 with a finding", out)

    def test_a_finding_is_named_with_the_command_that_shows_it_again(self):
        self.plant("two", FINDS)
        status, out, err = self.run_script()
        self.assertEqual(status, 1)
        self.assertIn("fuzz two: FINDING: it breaks", out)
        self.assertIn("again: tidegate-fuzz-two stress-results/fuzz/two/crash-abc", err)
        self.assertIn("1 with a finding two", out)

    def test_a_fuzzer_that_cannot_run_is_no_finding(self):
        self.plant("one", BROKEN)
        status, _, err = self.run_script("--target", "one")
        self.assertEqual(status, 2)
        self.assertIn("cannot be run", err)

    def test_an_unknown_target_is_wrong_usage(self):
        status, _, err = self.run_script("--target", "three")
        self.assertEqual(status, 2)
        self.assertIn("no target 'three'; there are one, two", err)

    def test_without_a_compiler_it_says_what_to_install(self):
        path = self.root / "bin"
        path.mkdir()
        for name in ("bash", "dirname", "env", "python3", "sed", "sort"):
            (path / name).symlink_to(shutil.which(name))
        child = subprocess.run([self.root / "scripts/fuzz"], env={"PATH": str(path)}, text=True,
                               capture_output=True, check=False)
        self.assertEqual(child.returncode, 2)
        self.assertIn("clang++ is not installed", child.stderr)

    def test_a_signal_ends_the_fuzzer_too(self):
        self.plant("one", ENDLESS)
        pid_file = self.root / "stress-results/fuzz/one/pid"
        with self.start("--target", "one") as child:
            while not pid_file.exists() or not pid_file.read_text().strip():
                time.sleep(0.01)
            child.send_signal(signal.SIGTERM)
            child.communicate()
        self.assertEqual(child.returncode, 128 + signal.SIGTERM)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)

    def test_a_kill_ends_the_fuzzer_too(self):
        self.plant("one", ENDLESS)
        pid_file = self.root / "stress-results/fuzz/one/pid"
        with self.start("--target", "one") as child:
            while not pid_file.exists() or not pid_file.read_text().strip():
                time.sleep(0.01)
            child.kill()
            child.communicate()
        give_up = time.monotonic() + 60
        while is_alive(pid_file.read_text().strip()) and time.monotonic() < give_up:
            time.sleep(0.01)
        self.assertFalse(is_alive(pid_file.read_text().strip()))


if __name__ == "__main__":
    unittest.main()
