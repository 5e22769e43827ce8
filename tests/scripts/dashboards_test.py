#!/usr/bin/env python3
"""The dashboard and the alerts of docs/dashboards name metrics that a service has, and an alert fires in a
real Prometheus.

usage: dashboards_test.py SERVICE
       under scripts/with-postgres
"""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import service_test

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/dashboards"
PATIENCE = 60  # seconds
# What PromQL adds to the name of a histogram.
PARTS = ("_bucket", "_sum", "_count")


def metrics_in(text):
    return set(re.findall(r"\bdb_client_connection_\w+", text))


def expressions():
    dashboard = json.loads((FOLDER / "grafana.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def labels_in(text):
    """Names of labels, which look like metrics."""
    return set(re.findall(r"([a-z_]+)=[~\"]", text)) | {
        "db_client_connection_pool_name", "db_client_connection_state"}


class Dashboards(unittest.TestCase):
    def setUp(self):
        # More clients than connections: acquires wait all the time.
        self.service = service_test.Service(self, "--threads", "64", "--pool", "1")

    def exposition(self):
        return self.service.ask("GET", "/metrics").content.decode()

    # Seen failing with a name that is misspelled in either.
    def test_every_metric_that_they_name_exists(self):
        known = set(re.findall(r"(?m)^# TYPE (\S+) ", self.exposition()))
        known |= {name + part for name in known for part in PARTS}
        for text in (*expressions(), (FOLDER / "alerts.yml").read_text()):
            named = metrics_in(text) - labels_in(text)
            self.assertEqual(named - known, set(), text)
        self.assertGreater(len(expressions()), 10)

    def test_the_rules_are_rules(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (Debian: prometheus)")
        done = subprocess.run(["promtool", "check", "rules", FOLDER / "alerts.yml"], text=True,
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_real_prometheus_scrapes_the_service_and_its_alert_fires(self):
        if not shutil.which("prometheus"):
            self.skipTest("Prometheus is not installed (Debian: prometheus)")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name)
        # As in production, but sooner.
        rules = (FOLDER / "alerts.yml").read_text()
        (root / "alerts.yml").write_text(rules.replace("for: 1m", "for: 1s").replace("[1m]", "[5s]"))
        (root / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [alerts.yml]\n"
            "scrape_configs:\n"
            "  - job_name: service\n"
            f"    static_configs: [{{targets: ['127.0.0.1:{self.service.port}']}}]\n")
        port = self.start(root)
        self.await_alert(port, "TidegatePoolExhausted")
        seen = self.query(port, "db_client_connection_max")
        self.assertEqual([series["value"][1] for series in seen["data"]["result"]], ["1"])
        down = self.query(port, 'ALERTS{alertname="TidegateServerDown"}')
        self.assertEqual(down["data"]["result"], [])

    def start(self, root):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (root / "log").open("w")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            ["prometheus", f"--config.file={root}/prometheus.yml", f"--storage.tsdb.path={root}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=root)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.log = root / "log"
        return port

    @staticmethod
    def get(port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)

    def query(self, port, expression):
        return self.get(port, "/api/v1/query?query=" + urllib.request.quote(expression))

    def await_alert(self, port, name):
        give_up = time.monotonic() + PATIENCE
        alerts = []
        while time.monotonic() < give_up:
            try:
                alerts = self.get(port, "/api/v1/alerts")["data"]["alerts"]
            except OSError:
                pass  # it is not there yet
            if any(a["labels"]["alertname"] == name and a["state"] == "firing" for a in alerts):
                return
            time.sleep(0.2)
        self.fail(f"{name} does not fire: {alerts}\n{self.log.read_text()[-2000:]}")


if __name__ == "__main__":
    service_test.OPTIONS.service = sys.argv[1]
    unittest.main(argv=sys.argv[:1])
