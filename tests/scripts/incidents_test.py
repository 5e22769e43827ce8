#!/usr/bin/env python3
"""scripts/incidents: each of six incidents says what it is, in the words that docs/operating.md shows.

usage: incidents_test.py PROGRAM
"""

import pathlib
import re
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts/incidents"
PATIENCE = 120  # seconds

# What an operator finds the cause by: a line of the log, of the error, of the health, of the metrics.
WORDS = {
    "exhausted": [
        r"tidegate warning \"orders\" slow_acquire: the acquire at .*incidents.cpp:\d+\) waited ",
        r"error   pool \"orders\": no connection within 250 ms",
        r"cause: exhausted: all 2 are leased; longest .* at .*make_a_report",
        r"health  busy: ",
        r"metric  db_client_connection_timeouts_total.* 1$"],
    "leak": [
        r"leak_suspected: a lease does not end: .*forget_to_give_back",
        r"select 'the last statement of a lease that does not end'",
        r"metric  db_client_connection_tidegate_leaks_suspected_total.* 1$",
        r"leak_returned: "],
    "server-down": [
        r"tidegate warning \"orders\" connect_failed: ",
        r"error   pool \"orders\": no connection within 250 ms|error   .*attempts? in ",
        r"health  down: connects fail for ",
        r"metric  db_client_connection_tidegate_create_errors_total.*sqlstate_class=\"none\"\} [1-9]"],
    "wrong-password": [
        r"connect_failed: .*password authentication failed for user \"careful\"",
        r"error   pool \"orders\": .*password authentication failed",
        r"health  down: ",
        r"metric  db_client_connection_tidegate_create_errors_total.*sqlstate_class=\"28\"\} [1-9]"],
    "slow-statement": [
        r"slow_statement: the statement at .*incidents.cpp:\d+\) took 2\d\d.* ms: select pg_sleep\(0.2\)",
        r"health  ok: "],
    "closed-too-early": [
        r"close_phase: close: fence",
        r"error   pool \"orders\".* closed.*",
        r"on_config_reload",
        r"config reload",
        r"http server",
        r"health  closing: ",
        r"health  closed: ",
        r"metric  db_client_connection_tidegate_acquires_total.*outcome=\"closed\"\} 1$"],
}


class Incidents(unittest.TestCase):
    def run_script(self, *arguments):
        return subprocess.run([SCRIPT, "--program", PROGRAM, *arguments], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)

    def test_each_says_what_it_is(self):
        for name, words in WORDS.items():
            with self.subTest(name):
                done = self.run_script(name)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertTrue(done.stdout.startswith(f"== {name}\n"))
                for word in words:
                    self.assertTrue(re.search(word, done.stdout, re.MULTILINE | re.DOTALL),
                                    f"no {word!r} in\n{done.stdout}")
                self.assertNotIn("wrong\n", done.stdout)
                self.assertNotRegex(done.stdout, r"password ?= ?\w")

    def test_docs_show_each(self):
        page = (REPOSITORY / "docs/operating.md").read_text()
        for name in WORDS:
            self.assertTrue(f"\n### {name}\n" in page, name)

    def test_a_name_that_there_is_not(self):
        done = self.run_script("no-such")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no incident 'no-such'", done.stdout)


if __name__ == "__main__":
    unittest.main()
