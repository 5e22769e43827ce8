#!/usr/bin/env python3
"""What the demo program promises: its last lines, its exit status, an end at any moment.

usage: demo_test.py DEMO     under scripts/with-postgres, or with a server in PGHOST, PGPORT, ...
"""

import re
import signal
import socket
import subprocess
import sys
import unittest

DEMO = sys.argv.pop(1)
PATIENCE = 60  # seconds until a test gives up waiting


def last_lines(output):
    return output.rstrip().splitlines()[-2:]


class Demo(unittest.TestCase):
    def run_demo(self, *arguments):
        return subprocess.run([DEMO, *arguments], capture_output=True, text=True, timeout=PATIENCE)

    def test_it_puts_orders_through_and_loses_none(self):
        done = self.run_demo("--seconds", "1", "--threads", "8", "--pool", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(last_lines(done.stdout), ["failed 0", "lost 0"])
        orders = int(re.search(r"orders (\d+)", done.stdout).group(1))
        self.assertGreater(orders, 0)
        self.assertRegex(done.stdout, r"queries/s +used \d/2 +idle \d +waiting +\d+ +wait p50 .*p99")
        self.assertRegex(done.stdout, r"\ndrained in [\d.]+ \w+\n")

    def end_by(self, how):
        demo = subprocess.Popen([DEMO, "--seconds", "600"], text=True, stdout=subprocess.PIPE)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.kill)
        seen = ""
        while "queries/s" not in seen:
            seen += demo.stdout.readline()
        demo.send_signal(how)
        rest, _ = demo.communicate(timeout=PATIENCE)
        self.assertEqual(demo.returncode, 0)
        self.assertIn('reason "signal": drained', rest)
        self.assertEqual(last_lines(rest), ["failed 0", "lost 0"])

    def test_sigterm_under_load_ends_it_gracefully(self):
        self.end_by(signal.SIGTERM)

    def test_ctrl_c_under_load_ends_it_gracefully(self):
        self.end_by(signal.SIGINT)

    def expect_one_line(self, conninfo, *words):
        done = self.run_demo("--conninfo", conninfo)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("S3cret", done.stderr + done.stdout)

    def test_an_unreachable_server_is_one_line(self):
        self.expect_one_line("host=127.0.0.1 port=1 password=S3cret", "unreachable", "refused")

    def test_a_refusal_is_one_line(self):
        self.expect_one_line("user=no_such_role password=S3cret", "rejects", "no_such_role")

    def test_a_wrong_conninfo_is_one_line(self):
        self.expect_one_line("pool_max_cons=3 password=S3cret", "pool_max_conns")

    def test_a_signal_before_the_first_query_ends_it_well(self):
        with socket.socket() as silent:  # accepts, and never says a word
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            conninfo = f"host=127.0.0.1 port={silent.getsockname()[1]} gssencmode=disable"
            demo = subprocess.Popen([DEMO, "--conninfo", conninfo], text=True,
                                    stdout=subprocess.PIPE)
            self.addCleanup(demo.stdout.close)
            self.addCleanup(demo.kill)
            silent.settimeout(PATIENCE)
            with silent.accept()[0]:
                demo.send_signal(signal.SIGTERM)
                rest, _ = demo.communicate(timeout=PATIENCE)
        self.assertEqual(demo.returncode, 0)
        self.assertEqual(rest, "stopped before the first query\nfailed 0\nlost 0\n")

    def test_wrong_usage_is_status_2(self):
        for arguments in (["--nonsense"], ["--seconds", "x"], ["--pool", "0"]):
            self.assertEqual(self.run_demo(*arguments).returncode, 2)


if __name__ == "__main__":
    unittest.main()
