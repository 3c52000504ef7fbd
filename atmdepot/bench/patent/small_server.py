"""The web server of regime B: `python -m atmdepot.bench.patent.small_server JSON`, with a `Serving` as JSON.

Few processes, each with one request at a time, as NCSA httpd 1.5 had them, and a short listen queue. A request takes a
fixed amount of processor time, and some waiting. `/NAME?cost=N` takes N times as much of both.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import msgspec
from msgspec import Struct

from atmdepot.lab import namespaces
from atmdepot.lab.pages import SIZES, page

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_COST = 100
_NS_A_US, _NS_A_S = 1000, 1e9
_KB = 1024
_LONGEST = 8192
"""Octets of a request's head."""

_PATIENCE = 30.0
_REQUEST = re.compile(rb"GET /([0-9A-Za-z]+)(?:\?cost=([0-9]{1,3}))? HTTP/1\.[01]\r\n")


class Serving(Struct, frozen=True):
    """The server's name, port and size; processor time is the machine's, not at the small machine's pace (µs)."""

    name: str
    port: int
    processes: int
    backlog: int
    cpu_us: float
    cpu_us_per_kb: float
    wait_us: int


class Work:
    """The processor time of a process, of which each request takes its share."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._from = time.thread_time_ns()

    def do(self, octets: int, cost: int) -> None:
        """Wait, and take processor time until the request has had its share, what has passed since the last included.

        So accept, read and write belong to it, and the whole does not depend on how fast they are.
        """
        serving = self._serving
        if serving.wait_us:
            time.sleep(cost * serving.wait_us * _NS_A_US / _NS_A_S)
        share = cost * (serving.cpu_us + serving.cpu_us_per_kb * octets / _KB) * _NS_A_US
        end = self._from + share
        while (now := time.thread_time_ns()) < end:
            pass
        self._from = now


def answer(head: bytes, pages: Mapping[str, bytes], name: str) -> tuple[bytes, int]:
    """The answer to a request's head, and how many times the work it takes."""
    asked = _REQUEST.match(head)
    body = pages.get(asked[1].decode()) if asked else None
    cost = int(asked[2] or 1) if asked else 1
    if body is None or not 1 <= cost <= MOST_COST:
        return b"HTTP/1.0 404 Not Found\r\nContent-length: 0\r\n\r\n", 1
    # About as long as the heads of the patent's server: its tables give some 200 octets.
    return (b"HTTP/1.0 200 OK\r\nServer: atmdepot-small-server\r\nContent-type: text/plain\r\n"
            b"Last-modified: Sat, 29 Nov 1997 00:00:00 GMT\r\nContent-length: %d\r\nX-Served-By: %s\r\n\r\n%b"
            % (len(body), name.encode(), body)), cost


def serve(listener: socket.socket, serving: Serving) -> NoReturn:
    """Serve one request after the other."""
    pages, work = {name: page(name) for name in SIZES if name != "10MB"}, Work(serving)
    while True:
        connection, _ = listener.accept()
        # A client may be gone, or say nothing.
        with connection, suppress(OSError):
            connection.settimeout(_PATIENCE)
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _LONGEST and (octets := connection.recv(_LONGEST)):
                head += octets
            told, cost = answer(head, pages, serving.name)
            work.do(len(told), cost)
            connection.sendall(told)


def listen(serving: Serving) -> socket.socket:
    """Listen at the server's port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", serving.port))
    listener.listen(serving.backlog)
    return listener


def main() -> None:
    """Start the processes, say READY, and wait for a signal; all end with this process."""
    serving = msgspec.json.decode(sys.argv[1], type=Serving)
    try:
        listener = listen(serving)
    except OSError as error:
        sys.exit(f"port {serving.port}: {error.strerror}")
    for _ in range(serving.processes):
        if os.fork() == 0:
            namespaces.die_with_parent(signal.SIGKILL)
            serve(listener, serving)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
