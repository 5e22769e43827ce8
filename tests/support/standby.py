#!/usr/bin/env python3
"""A streaming standby of the server on port PRIMARY_PORT of 127.0.0.1.

usage: standby.py BINDIR PRIMARY_PORT

Listens on 127.0.0.1 and on a Unix socket, says the port and the socket's folder when it answers
queries, and ends with its standard input. The line "promote" makes it a primary; it says "promoted"
once it is one.
"""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time

from temporary_folder import temporary_folder

PATIENCE = 60  # seconds until it must answer


class Standby:
    def __init__(self, programs, folder):
        self.programs = programs
        self.postmaster = None
        self.data = folder / "data"
        self.launcher = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self.launcher += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("PG")}
        self.folder = folder

    def start(self, primary_port):
        self.call("pg_basebackup", "--host=127.0.0.1", f"--port={primary_port}",
                  "--username=postgres", f"--pgdata={self.data}", "--checkpoint=fast",
                  "--no-sync", "--write-recovery-conf")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open(self.folder / "log", "w") as log:
            self.postmaster = subprocess.Popen(
                [*self.launcher, self.programs / "postgres", "-D", self.data, "-p", str(self.port),
                 "-c", f"unix_socket_directories={self.folder}"], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def call(self, program, *words):
        subprocess.run([*self.launcher, self.programs / program, *words], cwd=self.folder,
                       env=self.environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, check=True)

    def in_recovery(self):
        """True, False, or None while it does not answer."""
        asked = subprocess.run(
            [*self.launcher, self.programs / "psql", "-XAtq", f"--host={self.folder}",
             f"--port={self.port}", "--username=postgres", "--command=select pg_is_in_recovery()"],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return {"t": True, "f": False}.get(asked.stdout.strip())

    def await_recovery(self, state):
        give_up = time.monotonic() + PATIENCE
        while self.in_recovery() is not state:
            if self.postmaster.poll() is not None or time.monotonic() > give_up:
                sys.exit("the standby has failed:\n" + (self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self):
        if self.postmaster:
            self.postmaster.send_signal(signal.SIGQUIT)  # nobody needs its data
            self.postmaster.wait()


def main():
    with temporary_folder("tidegate-standby-") as folder:
        standby = Standby(pathlib.Path(sys.argv[1]), folder)
        try:
            standby.start(sys.argv[2])
            standby.await_recovery(True)
            print(standby.port, folder, flush=True)
            for line in sys.stdin:
                if line.strip() == "promote":
                    standby.call("pg_ctl", "promote", "--no-wait", f"--pgdata={standby.data}")
                    standby.await_recovery(False)
                    print("promoted", flush=True)
        finally:
            standby.stop()


if __name__ == "__main__":
    main()
