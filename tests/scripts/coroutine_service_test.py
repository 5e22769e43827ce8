#!/usr/bin/env python3
"""usage: coroutine_service_test.py SERVICE [--rounds N]

examples/05-coroutine-service under load, stopped by SIGTERM: no request that was sent fails, and every
order that was answered for is stored, once. Run by scripts/with-postgres."""

import argparse
import http.client
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

CLIENTS = 16
PATIENCE = 60


class Client(threading.Thread):
    """Orders, one after the other, on a connection that it keeps; until no new one can be had."""

    def __init__(self, port, stopping):
        super().__init__()
        self.port, self.stopping = port, stopping
        self.orders, self.failed = [], []

    def run(self):
        connection = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    if not self.stopping.is_set():
                        self.failed.append("refused before the stop")
                    return
            try:
                connection.request("POST", f"/orders/{random.randint(1, 10)}")
                response = connection.getresponse()
                text = response.read().decode()
            except OSError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                return
            except http.client.HTTPException as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                return
            if response.status != 200:
                self.failed.append(f"{response.status}: {text}")
                return
            self.orders.append(int(text))
            if response.getheader("Connection", "").lower() == "close":
                connection.close()
                connection = None
                if self.stopping.is_set():
                    return  # it has been told


def psql(sql):
    return subprocess.run(["psql", "-XAtqc", sql], check=True, text=True,
                          capture_output=True).stdout.strip()


def one_round(service, seconds):
    """What went wrong, as text, and how many orders there were."""
    before = int(psql("select coalesce(max(id), 0) from orders") if psql(
        "select to_regclass('orders')") else 0)
    process = subprocess.Popen([service, "0"], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        port = int(process.stdout.readline().split()[-1])
        stopping = threading.Event()
        clients = [Client(port, stopping) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(seconds)  # load for a while; nothing depends on how long
        stopping.set()
        process.send_signal(signal.SIGTERM)
        out = process.stdout.read()
        status = process.wait(PATIENCE)
        for client in clients:
            client.join(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    problems = [f"client: {text}" for client in clients for text in client.failed]
    if status != 0:
        problems.append(f"the service ended with {status}: {out}")
    if "drained in" not in out:
        problems.append(f"the pool was not drained: {out}")
    orders = sorted(order for client in clients for order in client.orders)
    if len(set(orders)) != len(orders):
        problems.append("an order was answered for twice")
    stored = [int(row) for row in psql(
        f"select id from orders where id > {before} order by id").split()]
    if stored != orders:
        problems.append(f"{len(orders)} orders were answered for, {len(stored)} are stored")
    return problems, len(orders)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    arguments = parser.parse_args()
    failed, total = 0, 0
    for number in range(1, arguments.rounds + 1):
        problems, orders = one_round(arguments.service, random.uniform(0.1, 0.6))
        total += orders
        failed += bool(problems)
        for problem in problems:
            print(f"round {number}: {problem}")
        if sys.stdout.isatty() or number % 10 == 0:
            print(f"{number} of {arguments.rounds}, {failed} failed, {total} orders", flush=True)
    print(f"{arguments.rounds - failed} passed, {failed} failed, {total} orders")
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    os.environ.setdefault("PGAPPNAME", "coroutine_service_test")
    sys.exit(main())
