#!/usr/bin/python3
"""scripts/bench peers: one peer's failure is not the others', and what has run is kept.

The peers are small scripts of the test's own, which write what a peer's program writes.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import types
import unittest
import xml.etree.ElementTree
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from benchlib import pages, peers, peers_report, process  # noqa: E402
from support import synthetic_runs  # noqa: E402

PLAN = peers.Plan(rounds=2, seconds=0.01, patience=20)
WRITE_ROWS = """#!/bin/sh
for word; do
  case $word in
    --benchmark_out=*) out=${word#*=} ;;
  esac
done
cat > "$out" <<'JSON'
{"benchmarks": [%s]}
JSON
"""


def rows(**rates):
    return WRITE_ROWS % ", ".join(
        json.dumps({"name": f"{name.replace('__', '/')}/iterations:1/real_time",
                    "items_per_second": rate}) for name, rate in rates.items())


class WithFakes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tidegate-bench-peers-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.programs = {}
        self.fake("pool", rows(lease__1_on_4__pool=100, select__1_on_8__pool=60))

    def fake(self, name, script):
        program = self.folder / f"tidegate-bench-peer-{name}"
        program.write_text(script)
        program.chmod(0o755)
        self.programs[name] = program

    def take(self, plan=PLAN, row_filter=""):
        outcome = peers.Outcome()
        with contextlib.redirect_stderr(io.StringIO()):
            peers.take_rounds(self.programs, plan, row_filter, dict(os.environ), outcome)
        return outcome

    def told(self, outcome):
        arguments = types.SimpleNamespace(markdown=None, plot=None,
                                          results=self.folder / "results")
        with contextlib.redirect_stdout(io.StringIO()) as text:
            peers.report(arguments, PLAN, outcome)
        return text.getvalue()


class AFailingPeer(WithFakes):
    def expect_others(self, outcome, words):
        """The pool's rows are there, and the failure is told with them."""
        self.assertEqual([rows["lease/1_on_4/pool"]["items_per_second"]
                          for rows in outcome.rounds], [100, 100])
        text = self.told(outcome)
        self.assertIn("tidegate::Pool", text)
        self.assertIn(words, text)

    # Planted: take_sample that lets Failed through; then the pool has no second round.
    def test_one_that_ends_with_an_error_spoils_no_other_row(self):
        self.fake("soci", "#!/bin/sh\necho 'no such driver' >&2\nexit 9\n")
        self.expect_others(self.take(), "failed: SOCI connection_pool: ended with status 9: no such "
                                        "driver")

    def test_one_that_crashes_is_named_with_its_signal(self):
        self.fake("poco", "#!/bin/sh\nkill -SEGV $$\n")
        self.expect_others(self.take(), "failed: Poco SessionPool: ended by SIGSEGV")

    def test_one_that_hangs_is_ended(self):
        self.fake("soci", "#!/bin/sh\nexec tail -f /dev/null\n")
        impatient = peers.Plan(rounds=1, seconds=0.01, patience=0.3)
        with self.assertRaisesRegex(process.Failed, "did not end within 0.3 s"):
            peers.take_one("soci", self.programs["soci"], impatient, "", dict(os.environ),
                           self.folder / "out.json")

    def test_one_that_writes_nonsense_is_told_so(self):
        for nonsense in ('{"else": []}', "[]", '{"benchmarks": 5}', '{"benchmarks": [5]}',
                         '{"benchmarks": [{"name": 5}]}', '{"benchmarks": [], "context": 5}',
                         "[" * 100_000):
            with self.subTest(nonsense[:40]):
                self.fake("libpqxx", rows().replace('{"benchmarks": []}', nonsense))
                self.expect_others(self.take(), "no Google Benchmark JSON")

    # Planted: no look at the rates; then the table ends in a TypeError, or divides by an infinity.
    def test_one_whose_rate_is_none_spoils_no_table(self):
        for rate in ("fast", [1], True, -1, 1e-320, 10**400, float("nan"), float("inf")):
            with self.subTest(rate=str(rate)[:20]):
                self.fake("soci", rows(lease__1_on_4__soci=rate))
                self.expect_others(self.take(), "failed: SOCI connection_pool: its row "
                                                "'lease/1_on_4/soci' has no number of items")

    # Planted: names are not looked at; then the pool has 5 operations per second.
    def test_one_that_writes_the_rows_of_another_one(self):
        self.fake("soci", rows(lease__1_on_4__pool=5))
        self.expect_others(self.take(), "a row 'lease/1_on_4/pool', which is none of its own")

    # Planted: a pipe that is decoded strictly; then the first such byte ends everything.
    def test_one_whose_complaint_is_no_text(self):
        self.fake("soci", "#!/bin/sh\nprintf 'caf\\351 closed\\n' >&2\nexit 9\n")
        self.expect_others(self.take(), "ended with status 9: caf\ufffd closed")

    def test_one_that_ends_by_a_signal_without_a_name(self):
        self.fake("soci", "#!/usr/bin/python3\nimport os\nos.kill(os.getpid(), 40)\n")
        self.expect_others(self.take(), "ended by signal 40")

    def test_one_that_cannot_be_run(self):
        self.fake("libpqxx", "#!/no/such/interpreter\n")
        self.expect_others(self.take(), "ended with status 127: timeout: failed to run command")

    def test_a_row_that_failed_says_why_where_its_number_would_be(self):
        self.fake("soci", rows(select__1_on_8__soci=0).replace(
            '"items_per_second": 0', '"error_occurred": true, "error_message": "no answer"'))
        outcome = self.take()
        self.expect_others(outcome, "failed: no answer")
        self.assertIn("60", str(outcome.rounds[0]["select/1_on_8/pool"]))

    # Planted: as many turns as there are rounds; then 3 of 4 are done at the end.
    def test_the_time_that_is_left_knows_of_the_turns_it_has_no_more(self):
        self.fake("soci", "#!/bin/sh\nexit 1\n")
        with contextlib.redirect_stderr(io.StringIO()) as told:
            peers.take_rounds(self.programs, PLAN, "", dict(os.environ), peers.Outcome())
        lines = told.getvalue().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(told.getvalue(), r"of 3: round 1 of 2, soci: failed; about \d+:\d\d left")
        self.assertRegex(lines[-1], r"bench: 3 of 3: round 2 of 2, pool: done; took \d+:\d\d")

    def test_it_is_not_run_again(self):
        count = self.folder / "count"
        self.fake("soci", f"#!/bin/sh\necho >> {count}\nexit 1\n")
        self.take()
        self.assertEqual(count.read_text(), "\n")


class AMissingPeer(WithFakes):
    def test_it_is_skipped_with_what_installs_it(self):
        self.assertEqual(
            next(peer for peer in peers.PEERS if peer.name == "soci").missing(),
            "not installed (Debian package libsoci-dev; scripts/setup --peers)")

    # Planted: setup without Node.js, which took another option.
    def test_setup_installs_what_any_peer_needs(self):
        for name in ("bash", "cat", "dirname", "grep", "id", "sed", "sort", "tail"):
            os.symlink(shutil.which(name), self.folder / name)
        for name, status in (("dpkg-query", 1), ("apt-get", 0)):  # a machine that has nothing
            (self.folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
            (self.folder / name).chmod(0o755)
        for option in ("--peers", "--node"):
            done = subprocess.run([shutil.which("bash"), REPOSITORY / "scripts/setup", "--check",
                                   option], env={"PATH": str(self.folder)}, text=True,
                                  capture_output=True)
            self.assertEqual(done.returncode, 1, done)
            missing = (done.stdout + done.stderr).partition("missing: ")[2].split()
            for peer in peers.PEERS:
                for package in peer.packages.split():
                    self.assertIn(package, missing, option)

    def test_one_that_skips_itself_says_why(self):
        self.fake("pgbouncer", "#!/bin/sh\necho 'skipped: pgbouncer: not today' >&2\nexit 77\n")
        outcome = self.take()
        self.assertEqual(outcome.failed, {})
        self.assertIn("skipped: PgBouncer, connect per request: pgbouncer: not today",
                      self.told(outcome))

    def test_a_filter_that_nobody_matches(self):
        self.fake("pool", "#!/bin/sh\n")
        with self.assertRaisesRegex(process.Failed, "no row matches 'nothing'"):
            self.take(row_filter="nothing")


class TheTable(WithFakes):
    def test_ratios_are_of_one_round_and_the_median_is_told(self):
        rates = ((100, 50), (1000, 100), (10, 8))  # 2, 10 and 1.25 times as long
        rounds = [{"lease/1_on_4/pool": {"items_per_second": own},
                   "lease/1_on_4/soci": {"items_per_second": other}} for own, other in rates]
        self.assertEqual(peers_report.ratios(rounds, "lease/1_on_4", "soci"), [2, 10, 1.25])
        self.assertRegex(peers_report.table(peers.PEERS, rounds, {}),
                         r"SOCI connection_pool +20\.0 ms +2\.00 x +1\.25 \.\. 10\.00")

    # Planted: what has run is kept before it is told; then a full disk takes the table with it.
    def test_a_place_that_takes_no_rounds_leaves_the_table(self):
        outcome = self.take()
        (self.folder / "results").mkdir()
        os.symlink("/dev/full", self.folder / "results/run-001.json")
        with (mock.patch.object(pathlib.Path, "unlink"),
              contextlib.redirect_stdout(io.StringIO()) as text,
              self.assertRaisesRegex(process.Failed, "run-001.json cannot be written: No space")):
            peers.report(types.SimpleNamespace(markdown=None, plot=None,
                                               results=self.folder / "results"), PLAN, outcome)
        self.assertIn("tidegate::Pool", text.getvalue())

    def test_markdown_goes_between_its_markers_and_nowhere_else(self):
        page = self.folder / "page.md"
        begin, end = pages.markers("peers")
        page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
        rounds = [{"lease/1_on_4/pool": {"items_per_second": 1e8}}]
        with contextlib.redirect_stdout(io.StringIO()):
            pages.put(page, "peers", peers_report.markdown(peers.PEERS, rounds, 0.5, "Today."))
        text = page.read_text()
        self.assertTrue(text.startswith(f"before\n{begin}\n| |"), text)
        self.assertTrue(text.endswith(f"{end}\nafter\n"), text)
        self.assertIn("| tidegate::Pool | 10.0 ns |", text)
        self.assertIn("medians of 1 round, 0.5 s for each row.\nToday.\n", text)
        self.assertNotIn("old", text)


    # Planted: the context of the first peer alone; then nobody knows the compiler.
    def test_what_the_first_peer_does_not_tell_of_the_machine_a_later_one_does(self):
        outcome = peers.Outcome()
        outcome.rounds.append({})
        for name, context in (("soci", {"date": "first"}),
                              ("poco", {"date": "second", **synthetic_runs.CONTEXT})):
            self.fake(name, rows().replace(
                '{"benchmarks"', '{"context": %s, "benchmarks"' % json.dumps(context)))
            peers.take_sample(name, self.programs[name], PLAN, "", dict(os.environ),
                              self.folder / f"{name}.json", outcome)
        self.assertEqual(outcome.context, {"date": "first", **synthetic_runs.CONTEXT})


class TheBars(WithFakes):
    """As peers_plot.py draws them."""

    # Planted: a picture that is never drawn, and one without its bars.
    def test_png_and_svg_are_pictures_of_some_size_with_every_peer(self):
        rounds = [{f"{row}/{peer.name}": {"items_per_second": 1e6 * number}
                   for row in peers_report.ROWS for number, peer in enumerate(peers.PEERS, 1)}]
        for suffix in ("png", "svg"):
            with contextlib.redirect_stdout(io.StringIO()):
                peers_report.plot(self.folder / f"bars.{suffix}", peers.PEERS, rounds)
        png = (self.folder / "bars.png").read_bytes()
        self.assertTrue(png.startswith(b"\x89PNG"))
        width, height = struct.unpack(">II", png[16:24])
        self.assertGreater(min(width, height), 800)
        self.assertGreater(len(png), 50_000)
        svg = xml.etree.ElementTree.parse(self.folder / "bars.svg").getroot()
        self.assertTrue(svg.tag.endswith("svg"))
        text = (self.folder / "bars.svg").read_text()
        for words in (*(peer.title for peer in peers.PEERS), *peers_report.ROWS.values(), "0.50 ×"):
            self.assertIn(f"<!-- {words} -->", text)

    def test_a_picture_that_cannot_be_written_is_one_line_and_no_traceback(self):
        os.symlink("/dev/full", self.folder / "bars.png")
        done = subprocess.run(
            [peers_report.plotter(), REPOSITORY / "scripts/benchlib/peers_plot.py",
             self.folder / "bars.png"], input='{"lease": {"soci": [2, "2 x"]}}', text=True,
            capture_output=True)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertIn("bars.png cannot be written: No space left", done.stderr)


class TheCommand(WithFakes):
    """As a user calls it, and with a server where something runs."""

    def bench(self, *arguments, **options):
        return subprocess.Popen(
            [REPOSITORY / "scripts/bench", "peers", "--programs", self.folder, "--quick",
             "--results", self.folder / "results", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def expect_wrong(self, words, *arguments):
        with self.bench(*arguments) as command:
            out, err = command.communicate()
        self.assertEqual(command.returncode, 2, out + err)
        self.assertIn(words, err)

    def test_wrong_arguments_are_refused_before_anything_runs(self):
        page = self.folder / "page.md"
        page.write_text("no markers\n")
        self.expect_wrong(str(page), "--markdown", page)
        self.expect_wrong(".png or .svg", "--plot", "bars.pdf")
        self.expect_wrong("no folder", "--plot", self.folder / "none/bars.png")
        self.expect_wrong("Is a directory", "--markdown", self.folder)
        self.expect_wrong("no folder", "--programs", self.folder / "none")
        self.expect_wrong("no regular expression", "--filter", "(")
        self.expect_wrong("--slow", "--slow")
        self.assertEqual(page.read_text(), "no markers\n")

    def test_a_failed_peer_ends_it_with_1_and_a_missing_one_is_told(self):
        self.fake("soci", "#!/bin/sh\nexit 9\n")
        self.fake("pool", rows(lease__1_on_4__pool=100).replace(
            '{"benchmarks"', '{"context": %s, "benchmarks"' % json.dumps(synthetic_runs.CONTEXT)))
        self.fake("poco", rows(lease__1_on_4__poco=10))  # tells nothing of its machine
        page = self.folder / "new.md"
        with self.bench("--markdown", page) as command:
            out, err = command.communicate()
        self.assertEqual(command.returncode, 1, out + err)
        self.assertIn("failed: SOCI connection_pool: ended with status 9", out)
        self.assertIn("skipped: HikariCP (Java, TCP): not installed (Debian package libhikaricp-java",
                      out)
        text = page.read_text()
        self.assertIn("| tidegate::Pool |", text)
        self.assertIn("medians of 3 rounds, 0.15 s for each row.\n", text)
        self.assertRegex(text, f"kernel 6.1, GNU 12.2.0, Release: `scripts/bench peers "
                               f"--programs {self.folder} --quick --results .* --markdown {page}`")

    # Planted: an interrupt that ends without the report; then nothing is told, and nothing kept.
    def test_ctrl_c_keeps_what_has_run_and_leaves_nothing_behind(self):
        hang_in_the_second_round = (
            f"if [ -e {self.folder}/once ]; then\n"
            f"  echo $$ $PGHOST > {self.folder}/said\n  mv {self.folder}/said {self.folder}/hangs\n"
            f"  exec tail -f /dev/null\nfi\ntouch {self.folder}/once\n")
        self.fake("soci", rows(lease__1_on_4__soci=50).replace(
            "for word", hang_in_the_second_round + "for word"))
        with self.bench() as command:
            give_up = time.monotonic() + 60
            while not (self.folder / "hangs").exists() and time.monotonic() < give_up:
                time.sleep(0.01)
            pid, server = (self.folder / "hangs").read_text().split()
            self.assertTrue(pathlib.Path(server).is_dir())
            os.kill(command.pid, signal.SIGINT)
            out, err = command.communicate(timeout=60)
        self.assertEqual(command.returncode, 130, out + err)
        self.assertRegex(out, r"SOCI connection_pool +20\.0 ms +2\.00 x")
        kept = json.loads((self.folder / "results/run-001.json").read_text())
        self.assertIn("lease/1_on_4/soci", [row["name"] for row in kept["benchmarks"]])
        self.assertFalse(pathlib.Path(server).exists(), "the server is still there")
        self.assertFalse(pathlib.Path(f"/proc/{pid}").exists(), "the peer is still there")


if __name__ == "__main__":
    unittest.main()
