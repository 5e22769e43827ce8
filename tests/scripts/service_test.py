#!/usr/bin/env python3
"""What the example service promises, of threads and of coroutines: no request is lost at its end,
whoever comes at which moment; --naive shows the accident, and --stuck what becomes of leases that do
not come back.

usage: service_test.py [--runs N] [--seed N] SERVICE
       under scripts/with-postgres, or with a server in PGHOST, PGPORT, ...
"""

import argparse
import http.client
import json
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

PATIENCE = 60  # seconds until a test gives up waiting
STAGES = ["lame duck", "stop accepting", "finish in-flight", "stop workers", "close pool"]
CLEAN_END = ["0 failed requests, 0 closed-pool errors", "failed 0", "lost 0"]
OPTIONS = argparse.Namespace()


def last_lines(output):
    return output.rstrip().splitlines()[-3:]


class Service:
    """A service under load, until it is told to stop."""

    def __init__(self, test, *arguments):
        self.process = subprocess.Popen([OPTIONS.service, "--seconds", "600", *arguments],
                                        text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        test.addCleanup(self.process.stdout.close)
        test.addCleanup(self.process.wait)
        test.addCleanup(self.process.kill)
        said = ""
        for line in self.process.stdout:
            said += line
            if line.startswith("http://"):
                break
        test.assertIn("http://127.0.0.1:", said)
        self.port = int(re.search(r"http://127.0.0.1:(\d+)", said).group(1))

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, method, path, connection=None):
        mine = connection or self.connect()
        mine.request(method, path)
        response = mine.getresponse()
        response.content = response.read()
        if not connection:
            mine.close()
        return response

    def begin(self, text):
        """Sends a part of a request, which the service has begun to read when this returns."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: us\r\n\r\n")
        self.receive(connection)  # so the connection was accepted, and a thread is with it
        connection.sendall(text)
        return connection

    def receive(self, connection):
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.content = response.read()
        return response

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)

    def await_refusal(self):
        """Until the stage "stop accepting" is over."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE):
                    pass
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # in the listening socket's last moment
        raise AssertionError("it accepts still")

    def end(self):
        output, _ = self.process.communicate(timeout=PATIENCE)
        return output


class Requests(unittest.TestCase):
    by = []  # arguments

    def setUp(self):
        self.service = Service(self, *self.by)

    def test_an_order_that_was_placed_can_be_looked_at(self):
        placed = self.service.ask("POST", "/orders?product=7&quantity=2")
        self.assertEqual(placed.status, 201)
        found = self.service.ask("GET", placed.getheader("Location"))
        self.assertEqual(found.status, 200)
        order = json.loads(found.content)
        self.assertEqual((order["product"], order["quantity"], order["price_cents"]), (7, 2, 1400))

    def test_health_and_readiness(self):
        self.assertEqual(self.service.ask("GET", "/healthz").status, 200)
        self.assertEqual(self.service.ask("GET", "/readyz").status, 200)

    def test_readiness_has_the_pools_health(self):
        self.assertEqual(json.loads(self.service.ask("GET", "/readyz").content)["ready"], True)
        pool = json.loads(self.service.ask("GET", "/readyz").content)["pool"]
        self.assertIn(pool["state"], ("ok", "busy"))
        self.assertEqual(pool["connect_error"], "")

    def test_prometheus_can_read_the_metrics(self):
        self.service.ask("POST", "/orders?product=7&quantity=2")
        answer = self.service.ask("GET", "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.getheader("Content-Type").startswith("text/plain; version=0.0.4"))
        text = answer.content.decode()
        self.assertRegex(text, r'(?m)^db_client_connection_max\{db_client_connection_pool_name="'
                               r'[^"]+"\} [1-9]')
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (Debian: prometheus)")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                                 capture_output=True)
        # OpenTelemetry's own name, to which Prometheus' linter objects (findings/promtool-refuses-opentelemetrys-name-for-connections.sh).
        objections = [line for line in (checked.stdout + checked.stderr).splitlines()
                      if not line.startswith("db_client_connection_count non-histogram")]
        self.assertEqual(objections, [])

    def test_the_inside_of_the_pool_for_people_and_for_programs(self):
        self.service.ask("POST", "/orders?product=7&quantity=2")  # so there is a connection
        text = self.service.ask("GET", "/debug/pool").content.decode()
        self.assertRegex(text, r'^pool ".+" is (ok|busy): ')
        self.assertRegex(text, r'(?m)^  slot \d+: .*, pid \d+, ')
        inside = json.loads(self.service.ask("GET", "/debug/pool.json").content)
        self.assertGreaterEqual(inside["counted"]["stats"]["created"], 1)
        self.assertEqual(inside["health"]["max"], inside["counted"]["stats"]["max"])

    def test_what_is_wrong_is_said(self):
        for method, path, status in (("POST", "/orders?product=0&quantity=1", 400),
                                     ("POST", "/orders?product=1&quantity=x", 400),
                                     ("POST", "/orders", 400),
                                     ("GET", "/orders/0", 404),
                                     ("GET", "/orders/x", 404),
                                     ("GET", "/nonsense", 404)):
            answer = self.service.ask(method, path)
            self.assertEqual(answer.status, status, path)
            self.assertIn("error", json.loads(answer.content))


class Shutdown(unittest.TestCase):
    by = []

    def expect_clean(self, service):
        output = service.end()
        self.assertEqual(service.process.returncode, 0, output)
        self.assertEqual(last_lines(output), CLEAN_END, output)
        return output

    def test_the_timeline_has_every_stage_in_order(self):
        service = Service(self, *self.by)
        service.stop()
        output = self.expect_clean(service)
        self.assertRegex(output, r"(?m)^shutdown \(SIGTERM\): complete after ")
        ended = r"(?m)^  (\w+(?: [\w-]+)+) +(?:done|overran) +[\d.]+ \w+ of [\d.]+ \w+$"
        stages = re.findall(ended, output)
        self.assertEqual(stages, STAGES)
        self.assertRegex(output, r"\nclosed by .*stop_in_order.*: drained in ")

    def test_the_end_of_the_time_is_as_graceful_as_a_signal(self):
        done = subprocess.run([OPTIONS.service, "--seconds", "1", *self.by], capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(last_lines(done.stdout), CLEAN_END)
        self.assertIn('reason "the time is over"', done.stdout)

    def test_a_request_in_flight_is_answered_when_nobody_else_is_accepted_any_more(self):
        service = Service(self, *self.by)
        form = b"product=5&quantity=1"
        connection = service.begin(
            b"POST /orders HTTP/1.1\r\nHost: us\r\nX-Request-Id: 18446744073709551615\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n" % len(form) + form[:3])
        service.stop()
        service.await_refusal()
        connection.sendall(form[3:])
        answer = service.receive(connection)
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.getheader("Connection"), "close")
        connection.close()
        # None of the service's own clients has seen that answer: so here is what the books say of a
        # request that was read and not answered.
        output = service.end()
        self.assertIn("\n1 failed requests, 0 closed-pool errors\n", output)
        self.assertEqual(service.process.returncode, 1)

    def test_a_lame_duck_says_that_it_is_not_ready(self):
        service = Service(self, *self.by)
        connection = service.begin(b"GET /readyz HTTP/1.1\r\nHost: us\r\n")
        service.stop()
        service.await_refusal()
        connection.sendall(b"\r\n")
        self.assertEqual(service.receive(connection).status, 503)
        connection.close()
        self.expect_clean(service)

    def test_a_kept_alive_connection_without_a_request_does_not_hold_up_the_end(self):
        service = Service(self, *self.by)
        connection = service.connect()
        self.assertEqual(service.ask("GET", "/healthz", connection).status, 200)
        service.stop()
        self.expect_clean(service)
        self.assertEqual(connection.sock.recv(1), b"")
        connection.close()

    def test_a_second_signal_hurries_and_the_report_says_what_it_cut_short(self):
        service = Service(self, *self.by)
        connection = service.begin(b"POST /orders?product=1&quantity=1 HTTP/1.1\r\nHost: us\r\n")
        service.stop()
        service.await_refusal()
        service.stop(signal.SIGINT)
        output = service.end()
        connection.close()
        self.assertEqual(service.process.returncode, 1, output)
        self.assertIn("shutdown (SIGTERM, hurried): INCOMPLETE", output)
        self.assertRegex(output, r"finish in-flight +failed .*requests are still being answered")
        self.assertEqual(last_lines(output)[-1], "lost 0")

    def test_sigterm_at_any_moment_under_full_load_fails_no_request(self):
        moments = random.Random(OPTIONS.seed)
        clean = 0
        for run in range(OPTIONS.runs):
            service = Service(self, *self.by)
            moment = moments.uniform(0, 0.5)
            time.sleep(moment)  # what it is in the middle of then is up to chance
            service.stop()
            output = service.end()
            self.assertGreaterEqual(service.process.returncode, 0, output)
            if (service.process.returncode, last_lines(output)) == (0, CLEAN_END):
                clean += 1
            else:
                print(f"run {run}, SIGTERM after {moment:.3f} s:\n{output}", file=sys.stderr)
        if OPTIONS.runs > 5:
            print(f"{clean} runs of {OPTIONS.runs}", file=sys.stderr)
        self.assertEqual(clean, OPTIONS.runs)


class Naive(unittest.TestCase):
    by = []

    def test_it_shows_the_accident_and_who_caused_it(self):
        service = Service(self, "--naive", *self.by)
        service.stop()
        output = service.end()
        self.assertEqual(service.process.returncode, 0, output)
        self.assertRegex(output, r'\npool "demo" is closed: closed by \S*stop_naively '
                                 r'\(service/stop_naively.cpp:\d+\) on thread ".*" .* ago, '
                                 r'reason "signal",\n')
        self.assertRegex(output, r"\n.*http-server \(service/service.hpp:\d+\), jobs "
                                 r"\(service/service.hpp:\d+\) still attached")
        self.assertRegex(output, r"\nwhat went wrong: \S*stop_naively .* Close it last")
        counts = re.search(r"\n(\d+) failed requests, (\d+) closed-pool errors\n", output)
        self.assertGreater(int(counts.group(1)), 0)
        self.assertGreater(int(counts.group(2)), 0)
        self.assertEqual(last_lines(output)[-1], "lost 0")


class RequestsOfCoroutines(Requests):
    by = ["--async"]


class ShutdownOfCoroutines(Shutdown):
    by = ["--async"]

    def test_a_thousand_clients_have_one_thread(self):
        service = Service(self, *self.by)
        connections = [service.begin(b"GET /orders/1 HTTP/1.1\r\nHost: us\r\n")
                       for _ in range(1000)]
        names = [name.read_text().strip() for name in
                 pathlib.Path(f"/proc/{service.process.pid}/task").glob("*/comm")]
        self.assertEqual([name for name in names if name.startswith("http-")], ["http-loop"])
        for connection in connections:
            connection.sendall(b"\r\n")
        for connection in connections:
            self.assertIn(service.receive(connection).status, (200, 404))
            connection.close()
        service.stop()
        self.expect_clean(service)


class NaiveOfCoroutines(Naive):
    by = ["--async"]


class Stuck(unittest.TestCase):
    def test_it_shows_a_canceled_a_forced_and_an_orphaned_lease(self):
        done = subprocess.run([OPTIONS.service, "--stuck"], capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"closed by .*show_stuck .*: orphaned in ")
        self.assertRegex(done.stdout, r"\nthe lease that slept .*: cancel: .*57014")
        self.assertRegex(done.stdout, r"\nthe lease that waited .*: force: .*connection")
        self.assertIn("\nthe lease that was forgotten, to be reported: still out\n", done.stdout)


    def test_an_unreachable_server_is_one_line(self):
        done = subprocess.run([OPTIONS.service, "--stuck", "--conninfo",
                               "host=127.0.0.1 port=1 password=S3cret pool_acquire_timeout=1s"],
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Ademo: .*refused.*\n\Z")
        self.assertNotIn("S3cret", done.stderr)


class Usage(unittest.TestCase):
    def test_wrong_combinations_are_status_2(self):
        for arguments in (["--naive", "--stuck"], ["--stuck", "--seconds", "1"],
                          ["--stuck", "--async"], ["--stuck", "--threads", "1"], ["--stuck", "--pool", "1"]):
            done = subprocess.run([OPTIONS.service, *arguments], capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("excludes", done.stderr)

    def test_the_script_finds_the_same_combinations_wrong(self):
        demo = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "demo"
        for arguments in (["--naive", "--stuck"], ["--stuck", "--seconds", "1"],
                          ["--async", "--stuck"], ["--pool", "1", "--stuck"],
                          ["--seconds", "0"]):
            done = subprocess.run([demo, *arguments], capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("usage: scripts/demo", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="SIGTERMs under full load (5)")
    parser.add_argument("--seed", type=int, default=1, help="of their moments (1)")
    parser.add_argument("service", help="the program")
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
