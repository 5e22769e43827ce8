#!/usr/bin/env python3
"""A PostgreSQL server for one client that answers its first statement over TLS with one large value.

usage: tls_server.py SIZE

Prints the port it listens on, then serves. It writes the answer by one call, so that the TLS records
are as large as they can be (16 KiB), as PostgreSQL does from version 17 on.
"""

import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


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
    size = int(sys.argv[1])
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
    client.sendall(message(b"1") + message(b"2") + message(b"T", struct.pack("!H", 1) + column) +
                   message(b"D", struct.pack("!HI", 1, size) + b"x" * size) +
                   message(b"C", b"SELECT 1\0") + ready)
    client.recv(1)  # until the client has gone


if __name__ == "__main__":
    main()
