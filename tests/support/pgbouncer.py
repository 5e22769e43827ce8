#!/usr/bin/env python3
"""A PgBouncer in transaction mode in front of the server that PGHOST and PGPORT name.

usage: pgbouncer.py SERVER_CONNECTIONS

Listens on 127.0.0.1 and on a Unix socket, says the port and the socket's folder when it is ready, and
ends with its standard input. The line "restart" has it killed and started again; it says "restarted"
when it is ready.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time

from temporary_folder import temporary_folder

PATIENCE = 30  # seconds until it must be ready

CONFIG = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
auth_type = trust
auth_file = {folder}/users
ignore_startup_parameters = extra_float_digits
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def start(command, folder, port):
    """Gives the word when it answers, and kills it in the end."""
    with open(folder / "log", "a") as log:
        bouncer = subprocess.Popen([*command, "--quiet", str(folder / "ini")],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + PATIENCE
        while not answers(port):
            if bouncer.poll() is not None or time.monotonic() > give_up:
                sys.exit("pgbouncer did not start:\n" + (folder / "log").read_text())
            time.sleep(0.01)
        yield
    finally:
        bouncer.kill()
        bouncer.wait()


def main():
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    launcher = ["setpriv", "--pdeathsig", "KILL"]  # it has nothing to save
    with temporary_folder("tidegate-bouncer-") as folder:
        port = free_port()
        (folder / "users").write_text(f'"{os.environ["PGUSER"]}" ""\n')
        (folder / "ini").write_text(CONFIG.format(
            host=os.environ["PGHOST"], server_port=os.environ["PGPORT"], port=port,
            connections=int(sys.argv[1]), folder=folder))
        if os.geteuid() == 0:  # it refuses to run as root, like the server
            account = pwd.getpwnam("postgres")
            for path in (folder, folder / "users", folder / "ini"):
                os.chown(path, account.pw_uid, account.pw_gid)
            launcher += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        with contextlib.ExitStack() as running:
            running.enter_context(start([*launcher, program], folder, port))
            print(port, folder, flush=True)
            for line in sys.stdin:
                if line.strip() == "restart":
                    running.close()
                    running.enter_context(start([*launcher, program], folder, port))
                    print("restarted", flush=True)


if __name__ == "__main__":
    main()
