#!/usr/bin/env python3
"""A PgBouncer in transaction mode in front of the server that PGHOST and PGPORT name, or `server`.

usage: pgbouncer.py SERVER_CONNECTIONS [server=HOST:PORT] [SETTING=VALUE...]

Listens on 127.0.0.1 and on a Unix socket, says the port, the socket's folder and its version when it
is ready, and ends with its standard input. One before 1.21 is not told of max_prepared_statements,
which it does not know. The line "restart" has it killed and started again; it says "restarted" when it
is ready.
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
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = said.split()[1]  # "PgBouncer 1.18.0", and what it is built with
    launcher = ["setpriv", "--pdeathsig", "KILL"]  # it has nothing to save
    settings = sys.argv[2:]
    host, server_port = os.environ["PGHOST"], os.environ["PGPORT"]
    if settings and settings[0].startswith("server="):
        host, server_port = settings.pop(0).removeprefix("server=").rsplit(":", 1)
    if tuple(map(int, version.split(".")[:2])) < (1, 21):
        settings = [each for each in settings if not each.startswith("max_prepared_statements=")]
    with temporary_folder("tidegate-bouncer-") as folder:
        port = free_port()
        (folder / "users").write_text(f'"{os.environ["PGUSER"]}" ""\n')
        (folder / "ini").write_text(CONFIG.format(
            host=host, server_port=server_port, port=port,
            connections=int(sys.argv[1]), folder=folder) + "\n".join(settings) + "\n")
        if os.geteuid() == 0:  # it refuses to run as root, like the server
            account = pwd.getpwnam("postgres")
            for path in (folder, folder / "users", folder / "ini"):
                os.chown(path, account.pw_uid, account.pw_gid)
            launcher += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        with contextlib.ExitStack() as running:
            running.enter_context(start([*launcher, program], folder, port))
            print(port, folder, version, flush=True)
            for line in sys.stdin:
                if line.strip() == "restart":
                    running.close()
                    running.enter_context(start([*launcher, program], folder, port))
                    print("restarted", flush=True)


if __name__ == "__main__":
    main()
