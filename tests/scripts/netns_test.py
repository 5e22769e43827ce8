#!/usr/bin/python3
"""A pool whose network becomes a black hole: a real one, of the kernel, between two network namespaces
that are made for this. Needs root, and skips itself elsewhere.

usage: netns_test.py PROGRAM   (tests/support/black_hole_calls.cpp)
"""

import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds until something must have come
SERVER, CLIENT = "10.213.7.2", "10.213.7.1"
SKIPPED = 77


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def forward():
    """Inside the server's namespace: what comes to its address goes to the server on loopback."""
    upstream = os.environ["TIDEGATE_PG_TCP_HOST"], int(os.environ["PGPORT"])

    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction sees it, too

    listener = socket.create_server((SERVER, 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(upstream)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


class Program:
    """A child that is asked line by line."""

    def __init__(self, *command):
        self.child = subprocess.Popen([str(word) for word in command], text=True, bufsize=1,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.said = b""

    # Seen hanging, when two lines came together: select() knows nothing of what Python has read ahead.
    def line(self):
        output = self.child.stdout.fileno()
        while b"\n" not in self.said:
            if not select.select([output], [], [], PATIENCE)[0]:
                raise AssertionError("it says nothing")
            read = os.read(output, 4096)
            if not read:
                raise AssertionError(f"it has ended, saying {self.said!r}")
            self.said += read
        line, _, self.said = self.said.partition(b"\n")
        return line.decode().strip()

    def lines(self, count):
        """What each call came to: {its name: (outcome, milliseconds)}."""
        words = [self.line().split() for _ in range(count)]
        return {name: (outcome, int(took)) for name, outcome, took in words}

    def go_on(self):
        self.child.stdin.write("\n")

    def end(self):
        self.child.stdin.close()
        self.child.terminate()
        self.child.wait()
        self.child.stdout.close()


class BlackHole(unittest.TestCase):
    def setUp(self):
        self.server, self.client = (f"tidegate-{os.getpid()}-{side}" for side in "sc")
        for namespace in (self.server, self.client):
            ip("netns", "add", namespace)
            self.addCleanup(ip, "netns", "delete", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", self.server, "link", "add", "veth-s", "type", "veth", "peer", "name", "veth-c",
           "netns", self.client)
        for namespace, link, address in ((self.server, "veth-s", SERVER),
                                         (self.client, "veth-c", CLIENT)):
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", link)
            ip("-n", namespace, "link", "set", link, "up")

    def inside(self, namespace, *command):
        program = Program("ip", "netns", "exec", namespace, *command)
        self.addCleanup(program.end)
        return program

    # Seen failing: without the route.
    def test_every_call_ends_in_time_and_a_new_pool_finds_the_server_again(self):
        forwarder = self.inside(self.server, REPOSITORY / "scripts/with-postgres", sys.executable,
                                __file__, "--forward")
        pool = self.inside(self.client, PROGRAM,
                           f"host={SERVER} port={forwarder.line()} user=postgres dbname=postgres")
        self.assertEqual(pool.line(), "ready")
        hole = ["-n", self.server, "route", "add", "blackhole", f"{CLIENT}/32"]
        ip(*hole)  # what the client sends arrives; nothing comes back, not even a refusal
        pool.go_on()
        calls = pool.lines(4)
        self.assertEqual({name: outcome for name, (outcome, _) in calls.items()},
                         {"leased": "timeout", "idle": "unavailable",
                          "close": "drained_after_force", "stuck": "connection_lost"}, calls)
        # In milliseconds; 1 s is for the answer to the cancel. Twice that, for a busy machine.
        for name, bound in (("leased", 1300), ("idle", 4000), ("close", 600)):
            self.assertLess(calls[name][1], 2 * bound, name)
        self.assertEqual(pool.line(), "closed")
        ip(*("delete" if word == "add" else word for word in hole))
        pool.go_on()
        self.assertEqual(pool.lines(1)["again"][0], "ok")
        self.assertEqual(pool.child.wait(PATIENCE), 0)


def main():
    global PROGRAM
    if sys.argv[1] == "--forward":
        forward()
    PROGRAM = sys.argv.pop(1)
    try:
        ip("netns", "add", probe := f"tidegate-{os.getpid()}")
        ip("netns", "delete", probe)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: network namespaces are not to be had here: {error}")
        sys.exit(SKIPPED)
    unittest.main()


if __name__ == "__main__":
    main()
