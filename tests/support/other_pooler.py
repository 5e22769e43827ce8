#!/usr/bin/env python3
"""An Odyssey, pgagroal or Pgpool-II in front of the server at 127.0.0.1 and PGPORT, or `server`.

usage: other_pooler.py KIND SERVER_CONNECTIONS [server=SOCKET_FOLDER:PORT]

KIND  odyssey-transaction, odyssey-session, pgagroal-performance, pgagroal-session,
      pgpool-streaming_replication or pgpool-raw

Listens on 127.0.0.1, says the port and its version when it is ready, and ends with its standard
input. Says "missing" where the program is not installed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

from pooler_process import free_port, free_port_of_four_digits, start, unprivileged
from temporary_folder import temporary_folder

ODYSSEY = """
daemonize no
unix_socket_dir "{folder}"
unix_socket_mode "0644"
locks_dir "{folder}"
log_to_stdout no
log_file "{folder}/odyssey.log"
log_format "%p %t %l [%i %s] (%c) %m\\n"
log_config no
workers 2
coroutine_stack_size 24
listen {{ host "127.0.0.1" port {port} }}
storage "server" {{ type "remote" host "127.0.0.1" port {server_port} }}
database default {{
  user default {{
    authentication "none"
    storage "server"
    storage_user "{user}"
    pool "{mode}"
    pool_size {connections}
    pool_discard no
    {prepared}
  }}
}}
"""

PGAGROAL = """
[pgagroal]
host = 127.0.0.1
port = {port}
log_type = file
log_path = {folder}/pgagroal.log
max_connections = {room}
idle_timeout = 0
validation = off
pipeline = {mode}
unix_socket_dir = {folder}
pidfile = {folder}/pgagroal.pid

[primary]
host = {folder}
port = {server_port}
"""

PGPOOL = """
backend_clustering_mode = '{mode}'
sr_check_period = 0
listen_addresses = '127.0.0.1'
port = {port}
{sockets_in} = '{folder}'
pcp_listen_addresses = ''
pcp_port = {other_port}
pcp_socket_dir = '{folder}'
wd_ipc_socket_dir = '{folder}'
pid_file_name = '{folder}/pgpool.pid'
logdir = '{folder}'
work_dir = '{folder}'
backend_hostname0 = '127.0.0.1'
backend_port0 = {server_port}
backend_data_directory0 = '{folder}'
num_init_children = {room}
max_pool = 1
enable_pool_hba = off
pool_passwd = ''
"""


class Odyssey:
    program = "odyssey"
    ends_by = signal.SIGINT

    def configure(self, folder, settings, version):
        names = settings["mode"] == "transaction"
        text = ODYSSEY.format(**settings, prepared="pool_reserve_prepared_statement yes" if names else "")
        (folder / "conf").write_text(text)
        return [folder / "conf"]


class Pgagroal:
    program = "pgagroal"
    ends_by = signal.SIGINT

    def configure(self, folder, settings, version):
        # By the server's socket, under either name that it looks for.
        name = f".s.PGSQL.{settings['server_port']}"
        for each in (name, f"{name}.{settings['port']}"):
            (folder / each).symlink_to(f"{settings['sockets']}/{name}")
        (folder / "conf").write_text(PGAGROAL.format(**settings))
        (folder / "hba").write_text("host all all all trust\n")
        return ["-c", folder / "conf", "-a", folder / "hba"]


class Pgpool:
    program = "pgpool"
    ends_by = signal.SIGINT

    def configure(self, folder, settings, version):
        text = PGPOOL.format(**settings, other_port=free_port(),
                             sockets_in="unix_socket_directories" if version >= (4, 4) else "socket_dir")
        (folder / "conf").write_text(text)
        return ["-n", "-f", folder / "conf"]


KINDS = {"odyssey": Odyssey, "pgagroal": Pgagroal, "pgpool": Pgpool}


def version_of(program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return re.search(r"\d+(\.\d+)+", said.stdout + said.stderr).group()


def main():
    name, _, mode = sys.argv[1].partition("-")
    kind = KINDS[name]()
    program = shutil.which(kind.program, path=os.environ["PATH"] + ":/usr/sbin:/usr/bin")
    if not program:
        print("missing", flush=True)
        sys.stdin.read()
        return
    sockets, server_port = os.environ["PGHOST"], os.environ["PGPORT"]
    if sys.argv[3:]:
        sockets, server_port = sys.argv[3].removeprefix("server=").rsplit(":", 1)
    with temporary_folder("tidegate-pooler-") as folder:
        port = free_port_of_four_digits()
        settings = {"folder": folder, "port": port, "sockets": sockets, "server_port": server_port, "mode": mode,
                    "user": os.environ["PGUSER"], "connections": int(sys.argv[2]),
                    "room": int(sys.argv[2]) + 16}  # for the connections of cancels
        version = version_of(program)
        words = kind.configure(folder, settings, tuple(map(int, version.split("."))))
        command = [*unprivileged(folder), program, *words]
        with start(command, folder, port, ends_by=kind.ends_by):
            print(port, version, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
