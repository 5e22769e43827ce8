#!/usr/bin/env python3
"""The live page of the demo, in a real browser: an exhausted pool, a lease that does not end, a server that is
gone and a shutdown are seen there; it asks nobody else for anything, and works at phone width.

usage: inspector_test.py [--screenshots FOLDER] SERVICE
       under scripts/with-postgres
"""

import argparse
import contextlib
import html.parser
import http.client
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

BROWSER = shutil.which("chromium")
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds
OPTIONS = argparse.Namespace()


class Page(html.parser.HTMLParser):
    """The texts of elements with an id, of all that is in them; and the places of slots."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.places, self.open = {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "data-place" in found:
            self.places.append(found["data-place"])
        if tag not in ("meta", "link", "br"):
            self.open.append(found.get("id"))

    def handle_endtag(self, tag):
        if tag not in ("meta", "link", "br"):
            self.open.pop()

    def handle_data(self, data):
        for name in self.open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data


class Demo:
    def __init__(self, test, *arguments, wrapper=()):
        self.process = subprocess.Popen(
            [*wrapper, OPTIONS.service, "--seconds", "600", "--inspect", *arguments], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        test.addCleanup(self.process.stdout.close)
        test.addCleanup(self.process.wait)
        test.addCleanup(self.process.terminate if wrapper else self.process.kill)
        said = ""
        for line in self.process.stdout:
            said += line
            if line.startswith("look at "):
                break
        found = re.search(r"look at http://127.0.0.1:(\d+)/debug/pool/ui", said)
        test.assertTrue(found, said)
        self.port = int(found.group(1))
        self.profile = tempfile.TemporaryDirectory()
        test.addCleanup(self.profile.cleanup)

    def inside(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/debug/pool.json")
            return json.loads(connection.getresponse().read())

    def await_inside(self, test, what):
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            inside = self.inside()
            if what(inside):
                return inside
            time.sleep(0.05)
        return test.fail(f"that did not come: {inside}")

    def browser(self, *arguments, url=None):
        return subprocess.run(
            [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             f"--user-data-dir={self.profile.name}", "--virtual-time-budget=3000", *arguments,
             url or f"http://127.0.0.1:{self.port}/debug/pool/ui"],
            text=True, capture_output=True, timeout=PATIENCE)

    def page(self):
        return Page(self.browser("--dump-dom").stdout)

    def picture(self, name, size="1200,1300"):
        if OPTIONS.screenshots:
            self.browser(f"--screenshot={OPTIONS.screenshots / (name + '.png')}",
                         f"--window-size={size}", "--hide-scrollbars")


@contextlib.contextmanager
def orders_locked():
    """Every statement on the table of orders waits meanwhile."""
    psql = subprocess.Popen(["psql", "-qAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)
    try:
        psql.stdin.write("begin;\nselect format('lock %I.%I in access exclusive mode', schemaname, tablename)"
                         " from pg_tables where tablename = 'purchase' \\gexec\nselect 'locked';\n")
        psql.stdin.flush()
        while psql.stdout.readline().strip() != "locked":
            pass
        yield
    finally:
        psql.stdin.close()
        psql.wait()
        psql.stdout.close()


@unittest.skipUnless(BROWSER, "Chromium is not installed (Debian: chromium)")
class Seen(unittest.TestCase):
    def test_an_exhausted_pool(self):
        demo = Demo(self, "--threads", "64", "--pool", "2")
        demo.await_inside(self, lambda inside: inside["counted"]["stats"]["waiting"] > 0)
        page = demo.page()
        self.assertEqual(page.texts["pool"], 'pool "demo"')
        self.assertIn(page.texts["state"], ("busy", "ok"))
        self.assertRegex(page.texts["reason"], "used")
        self.assertEqual(len(page.places), 2)
        self.assertRegex(page.texts["waits-text"], r"^\d+ so far, half within ")
        self.assertIn("leases so far", page.texts["gauges"])
        demo.picture("inspector-busy")

    def test_leases_that_do_not_end(self):
        demo = Demo(self, "--threads", "4", "--pool", "2")
        with orders_locked():
            demo.await_inside(self, lambda inside: inside["counted"]["stats"]["leaks_suspected"] == 2)
            page = demo.page()
            self.assertEqual(page.places, ["leased", "leased"])
            self.assertIn("leak_suspected", page.texts["events"])
            self.assertIn("purchase", page.texts["leases"])
            self.assertIn("(running)", page.texts["leases"])
            demo.picture("inspector-leak")

    def test_a_server_that_is_gone(self):
        demo = Demo(self, "--threads", "4", "--pool", "2",
                    wrapper=[REPOSITORY / "scripts/with-postgres"])
        # The first connection, which makes the tables, is not kept.
        inside = demo.await_inside(
            self, lambda inside: inside["counted"]["stats"]["created"] > 1
            and inside["slots"][0]["place"] in ("idle", "leased"))
        backend = inside["slots"][0]["backend_pid"]
        postmaster = int(pathlib.Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(postmaster, signal.SIGQUIT)
        demo.await_inside(self, lambda inside: inside["health"]["state"] == "down")
        page = demo.page()
        self.assertEqual(page.texts["state"], "down")
        self.assertRegex(page.texts["reason"], "^connects fail for ")
        self.assertIn("connect_failed", page.texts["events"])
        demo.picture("inspector-down")

    def test_a_shutdown(self):
        demo = Demo(self, "--threads", "4", "--pool", "2")
        with orders_locked():
            demo.await_inside(self, lambda inside: inside["counted"]["stats"]["waiting"] > 0)
            demo.process.send_signal(signal.SIGTERM)
            demo.await_inside(self, lambda inside: inside["health"]["state"] == "closing")
            page = demo.page()
            self.assertEqual(page.texts["state"], "closing")
            self.assertIn("close: lame duck", page.texts["shutdown"])
            demo.picture("inspector-closing")

    def test_at_phone_width_nothing_is_wider_than_the_screen(self):
        demo = Demo(self, "--threads", "8", "--pool", "2")
        demo.await_inside(self, lambda inside: inside["counted"]["stats"]["leased"] > 0)
        # The page with what it would get, and its width as its title.
        copy = pathlib.Path(demo.profile.name) / "copy.html"
        copy.write_text((REPOSITORY / "examples/service/inspector.html").read_text() +
                        f"<script>look = () => {{}}; show({json.dumps(demo.inside())});"
                        "document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`;"
                        "</script>")
        dumped = demo.browser("--dump-dom", "--window-size=390,1400", url=f"file://{copy}").stdout
        width, most = map(int, re.search(r"<title>(\d+) of (\d+)</title>", dumped).groups())
        self.assertLessEqual(width, most)
        demo.picture("inspector-phone", "390,1400")

    # What the page says of itself, and what its rules let it do.
    def test_it_asks_nobody_else_for_anything(self):
        page = (REPOSITORY / "examples/service/inspector.html").read_text()
        self.assertIn("default-src 'none'", page)
        self.assertIn("connect-src 'self'", page)
        self.assertEqual(re.findall(r"(?:src|href)=|https?://|@import|url\(", page), [])


class WithoutTheOption(unittest.TestCase):
    def test_there_is_no_page(self):
        process = subprocess.Popen([OPTIONS.service, "--seconds", "600"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if line.startswith("http://"):
                break
        port = int(re.search(r"127.0.0.1:(\d+)", line).group(1))
        for path, status in (("/debug/pool", 200), ("/debug/pool/ui", 404)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", path)
            self.assertEqual(connection.getresponse().status, status, path)
            connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("service")
    parser.parse_args(namespace=OPTIONS)
    unittest.main(argv=sys.argv[:1])
