#!/usr/bin/env python3
"""What scripts/with-postgres promises: the environment, the exit status, and leaving nothing."""

import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "with-postgres"
PATIENCE = 60  # seconds until a test gives up waiting

# Prints what the tests look at, then waits for a signal and says which one came, how often.
WAITING_COMMAND = r"""
trap 'echo got INT' INT; trap 'echo got TERM; exit 5' TERM
echo "$TIDEGATE_PG_PID ${TIDEGATE_PG_DATADIR%/data} $$"
while :; do sleep 0.05; done
"""


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class WithPostgres(unittest.TestCase):
    def run_script(self, *arguments, **options):
        return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True,
                              timeout=PATIENCE, **options)

    def start_waiting(self, **options):
        """Starts the script with a command that waits, and learns what it started."""
        script = subprocess.Popen([SCRIPT, "bash", "-c", WAITING_COMMAND], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options)
        self.addCleanup(script.stdout.close)
        self.addCleanup(script.wait)
        self.addCleanup(script.kill)
        server, folder, command = script.stdout.readline().split()
        self.assertTrue(alive(server))
        self.assertTrue(os.path.isdir(folder))
        return script, server, folder, command

    def expect_nothing_left(self, server, folder):
        give_up = time.monotonic() + PATIENCE
        while (alive(server) or os.path.exists(folder)) and time.monotonic() < give_up:
            time.sleep(0.02)
        self.assertFalse(alive(server), "the server still runs")
        self.assertFalse(os.path.exists(folder), "its directory is still there")

    def test_command_has_a_server_over_socket_and_tcp_and_nothing_is_left_of_it(self):
        foreign = {"PGSERVICE": "elsewhere", "PGPASSWORD": "x", "PGOPTIONS": "-c bad=1",
                   "TIDEGATE_PG_CA": "/old"}
        done = self.run_script("bash", "-c", """
            set -e
            psql -Atc 'select inet_server_addr() is null'
            psql -h "$TIDEGATE_PG_TCP_HOST" -Atc 'select inet_server_port() = '"$PGPORT"
            psql -Atc 'show data_directory' | grep -Fxq "$TIDEGATE_PG_DATADIR" && echo datadir
            test "$(head -1 "$TIDEGATE_PG_DATADIR/postmaster.pid")" = "$TIDEGATE_PG_PID" && echo pid
            psql -Atc 'show max_connections'
            echo "$PGUSER $PGDATABASE"
            echo "${PGSERVICE-}${PGPASSWORD-}${PGOPTIONS-}${TIDEGATE_PG_CA-}"
            echo "$TIDEGATE_PG_PID ${TIDEGATE_PG_DATADIR%/data}"
        """, env=os.environ | foreign)
        self.assertEqual(done.stderr, "")
        *lines, traces = done.stdout.splitlines()
        self.assertEqual(lines, ["t", "t", "datadir", "pid", "200", "postgres postgres", ""])
        server, folder = traces.split()
        self.assertFalse(alive(server))
        self.assertFalse(os.path.exists(folder))

    def test_exit_status_is_the_commands(self):
        self.assertEqual(self.run_script("bash", "-c", "kill -KILL $$").returncode, 128 + 9)
        self.assertEqual(self.run_script("/no/such/command").returncode, 127)

    def test_wrong_usage_is_status_2_and_starts_nothing(self):
        for arguments in [], ["--nonsense", "true"], ["--server-arg"], ["--keep"]:
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("usage: scripts/with-postgres", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help_names_the_environment(self):
        done = self.run_script("--help")
        self.assertEqual(done.returncode, 0)
        for word in "PGHOST", "TIDEGATE_PG_CA", "--server-arg", "--ssl", "--keep", "exit status":
            self.assertIn(word, done.stdout)

    def test_missing_server_is_status_2_and_names_the_setup_script(self):
        python = subprocess.run(["python3", "-c", "import sys; print(sys.executable)"],
                                capture_output=True, text=True, check=True).stdout.strip()
        with tempfile.TemporaryDirectory() as programs:
            fake = pathlib.Path(programs) / "pg_config"
            fake.write_text("#!/bin/sh\necho /nonexistent\n")
            fake.chmod(0o755)
            # Not even a server in the usual place: find it nowhere.
            source = SCRIPT.read_text().replace('"/usr/lib/postgresql"', '"/nonexistent"')
            done = subprocess.run([python, "-c", source, "true"], capture_output=True, text=True,
                                  env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}",
                                                    "PYTHONPATH": str(SCRIPT.parent)})
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("scripts/setup", done.stderr)

    def test_server_arguments_reach_the_server(self):
        done = self.run_script("--server-arg", "-c max_connections=17", "--server-arg=-c",
                               "--server-arg", "work_mem=5MB", "psql", "-Atc",
                               "show max_connections; show work_mem")
        self.assertEqual(done.stdout.split(), ["17", "5MB"], done.stderr)

    def test_server_that_cannot_start_is_status_3_and_shows_its_log(self):
        done = self.run_script("--server-arg=-c nonsense=1", "true")
        self.assertEqual(done.returncode, 3)
        self.assertIn('unrecognized configuration parameter "nonsense"', done.stderr)

    def test_ssl_server_has_a_certificate_that_verifies_by_name_and_by_address(self):
        done = self.run_script("--ssl", "bash", "-c", """
            for host in localhost 127.0.0.1; do
                psql "host=$host sslmode=verify-full sslrootcert=$TIDEGATE_PG_CA" \
                     -Atc 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
            done
        """)
        self.assertEqual(done.stdout.split(), ["t", "t"], done.stderr)

    def test_keep_leaves_the_directory_and_says_where(self):
        done = self.run_script("--keep", "bash", "-c",
                               'echo "$TIDEGATE_PG_PID ${TIDEGATE_PG_DATADIR%/data}"')
        server, folder = done.stdout.split()
        self.assertFalse(alive(server))
        self.assertTrue(os.path.isdir(folder))
        self.assertIn(f"kept {folder}", done.stderr)
        subprocess.run(["rm", "-rf", folder], check=True)

    def test_a_server_that_the_command_restarted_is_gone_too(self):
        done = self.run_script("bash", "-c", """
            run() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
            cd /
            run "$TIDEGATE_PG_BINDIR/pg_ctl" restart -m immediate -D "$TIDEGATE_PG_DATADIR" \
                -l "$TIDEGATE_PG_LOG" >/dev/null
            psql -Atc 'select 1' >/dev/null
            pid=$(head -1 "$TIDEGATE_PG_DATADIR/postmaster.pid")
            test "$pid" != "$TIDEGATE_PG_PID" || exit 9
            echo "$pid ${TIDEGATE_PG_DATADIR%/data}"
        """)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.expect_nothing_left(*done.stdout.split())

    def test_signals_reach_the_command_once_and_the_server_waits_for_it(self):
        script, server, folder, _ = self.start_waiting()
        script.send_signal(signal.SIGINT)
        self.assertEqual(script.stdout.readline(), "got INT\n")
        self.assertTrue(alive(server), "the server must outlive the command")
        script.send_signal(signal.SIGTERM)
        self.assertEqual(script.stdout.read(), "got TERM\n")
        self.assertEqual(script.wait(PATIENCE), 5)
        self.expect_nothing_left(server, folder)

    def test_signals_reach_what_the_command_started_too(self):
        script = subprocess.Popen([SCRIPT, "bash", "-c", "sleep 1000 & echo $!; wait"], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with script:
            grandchild = script.stdout.readline().strip()
            self.assertTrue(alive(grandchild))
            script.send_signal(signal.SIGTERM)
            self.assertEqual(script.wait(PATIENCE), 128 + signal.SIGTERM)
        self.assertFalse(alive(grandchild))

    def test_signal_to_the_whole_group_reaches_the_command_once(self):
        script, server, folder, _ = self.start_waiting(start_new_session=True)
        script.send_signal(signal.SIGINT)  # as `timeout` does it
        os.killpg(script.pid, signal.SIGINT)
        time.sleep(0.3)  # for a second one to show itself
        os.killpg(script.pid, signal.SIGTERM)
        self.assertEqual(script.stdout.read(), "got INT\ngot TERM\n")
        self.assertEqual(script.wait(PATIENCE), 5)
        self.expect_nothing_left(server, folder)

    def test_ctrl_c_on_a_terminal_reaches_the_command_once(self):
        script, terminal = pty.fork()
        if script == 0:
            os.execv(SCRIPT, [SCRIPT, "bash", "-c", WAITING_COMMAND])
        with open(terminal, "r+b", buffering=0) as terminal:
            server, folder, _ = terminal.readline().decode().split()
            terminal.write(b"\x03")
            self.assertEqual(terminal.readline(), b"^Cgot INT\r\n")
            time.sleep(0.3)  # for a second one to show itself
            os.kill(script, signal.SIGTERM)
            self.assertEqual(terminal.readline(), b"got TERM\r\n")
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(script, 0)[1]), 5)
        self.expect_nothing_left(server, folder)

    def test_nothing_is_left_after_sigint_even_where_the_caller_ignores_it(self):
        started = f"""'{SCRIPT}' bash -c 'echo "$TIDEGATE_PG_PID ${{TIDEGATE_PG_DATADIR%/data}}"
                                          exec sleep 1000' &
                      echo $!; wait $!; echo status $?"""
        shell = subprocess.Popen(["bash", "-c", started], text=True, stdout=subprocess.PIPE)
        with shell:
            script = int(shell.stdout.readline())
            server, folder = shell.stdout.readline().split()
            os.kill(script, signal.SIGINT)
            self.assertIn("status 130", shell.stdout.read())
        self.expect_nothing_left(server, folder)

    def test_nothing_is_left_after_sigkill(self):
        script, server, folder, command = self.start_waiting()
        script.kill()
        self.assertEqual(script.wait(PATIENCE), -signal.SIGKILL)
        self.expect_nothing_left(server, folder)
        give_up = time.monotonic() + PATIENCE
        while alive(command) and time.monotonic() < give_up:
            time.sleep(0.02)
        self.assertFalse(alive(command), "the command still runs")

    def test_interrupted_while_it_starts_it_leaves_nothing(self):
        for number, delay in (signal.SIGINT, 0.3), (signal.SIGTERM, 0.8), (signal.SIGKILL, 0.5):
            with self.subTest(number=number), tempfile.TemporaryDirectory(dir="/tmp") as place:
                os.chmod(place, 0o777)
                script = subprocess.Popen([SCRIPT, "sleep", "1000"], stderr=subprocess.DEVNULL,
                                          env=os.environ | {"TMPDIR": place})
                time.sleep(delay)
                script.send_signal(number)
                self.assertIn(script.wait(PATIENCE), (128 + number, -number))
                give_up = time.monotonic() + PATIENCE
                while os.listdir(place) and time.monotonic() < give_up:
                    time.sleep(0.02)
                self.assertEqual(os.listdir(place), [])


if __name__ == "__main__":
    unittest.main()
