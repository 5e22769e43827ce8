#!/usr/bin/env python3
"""A PostgreSQL server for one client that answers its first statement over TLS in two records.

usage: tls_server.py all|end

Prints the port it listens on, then serves. The value is 15,000 bytes long. The first record holds the
beginning of the row, the second is as large as a record can be (16 KiB) and holds everything else.
libpq's buffer has 16 KiB, some of them taken by the beginning, so libpq cannot fetch all of the
second record at once: it lacks the last 100 bytes, which hold all of the statement's completion, or
only the end of it.
"""

import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

LARGEST_RECORD = 16 * 1024
VALUE = 15000
BEGINNING = 100  # and so much of the second record is left behind


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def parameter_status(size):
    """What a server may say at any time, as a message of `size` bytes."""
    name = b"name\0"
    return message(b"S", name + b"v" * (size - len(message(b"S", name)) - 1) + b"\0")


def receive(client, size):
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            sys.exit("the client hung up")
        data += part
    return data


def receive_untyped(client):
    (size,) = struct.unpack("!I", receive(client, 4))
    return receive(client, size - 4)


def make_context(folder):
    key, certificate = folder / "key", folder / "certificate"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def main():
    with tempfile.TemporaryDirectory() as folder:
        context = make_context(pathlib.Path(folder))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    plain, _ = listener.accept()
    receive_untyped(plain)  # the request for TLS
    plain.sendall(b"S")
    client = context.wrap_socket(plain, server_side=True)
    receive_untyped(client)  # the startup message
    ready = message(b"Z", b"I")
    client.sendall(message(b"R", struct.pack("!I", 0)) + message(b"K", struct.pack("!II", 1, 1)) +
                   ready)

    while receive(client, 1) != b"S":  # up to the Sync after the statement
        receive_untyped(client)
    receive_untyped(client)
    column = b"value\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0)
    client.sendall(message(b"1") + message(b"2") + message(b"T", struct.pack("!H", 1) + column))
    row = message(b"D", struct.pack("!HI", 1, VALUE) + b"x" * VALUE)
    first, rest = row[:BEGINNING], row[BEGINNING:]
    complete = message(b"C", b"SELECT 1\0")
    if sys.argv[1] == "end":
        end = complete + parameter_status(BEGINNING - len(ready)) + ready
    else:
        end = complete + ready
    client.sendall(first)
    client.sendall(rest + parameter_status(LARGEST_RECORD - len(rest) - len(end)) + end)
    client.recv(1)  # until the client has gone


if __name__ == "__main__":
    main()
