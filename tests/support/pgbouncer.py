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
import shutil
import subprocess
import sys

from pooler_process import free_port, start, unprivileged
from temporary_folder import temporary_folder

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


def main():
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = said.split()[1]  # "PgBouncer 1.18.0", and what it is built with
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
        command = [*unprivileged(folder), program, "--quiet", folder / "ini"]
        with contextlib.ExitStack() as running:
            running.enter_context(start(command, folder, port))
            print(port, folder, version, flush=True)
            for line in sys.stdin:
                if line.strip() == "restart":
                    running.close()
                    running.enter_context(start(command, folder, port))
                    print("restarted", flush=True)


if __name__ == "__main__":
    main()
