"""The server of `bench failover`: `python -m atmdepot.bench.failover.answering PORT`, in a server's node.

It answers each request, sends the chunks of paced downloads, and closes a connection when its client does. One process
with one loop: a connection costs some microseconds.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from contextlib import suppress

from atmdepot.bench.failover.talk import PACE_NS, Requests, WrongAnswer, chunk
from atmdepot.lab.load_client import raise_file_limit

_BACKLOG = 4096
_MOST = 65536


class Server:
    """A listening socket and its connections."""

    def __init__(self, port: int) -> None:
        """Listen on a port of all IPv4 addresses (0: any free port)."""
        self._listener = socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, tuple[socket.socket, Requests]] = {}
        self._downloads: dict[int, tuple[int, bytes]] = {}  # the next chunk's number, and the rest of the last
        self._due = 0

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for fd, _ in self._epoll.poll(self._wait() / 1e9 if self._downloads else None):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._connections:
                    self._hear(fd)
            if self._downloads and self._wait() <= 0:
                self._pace()

    def _wait(self) -> int:
        return max(0, self._due - time.monotonic_ns())

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[accepted.fileno()] = accepted, Requests(int.from_bytes(os.urandom(8), "big"))
                self._epoll.register(accepted, select.EPOLLIN)

    def _hear(self, fd: int) -> None:
        connection, requests = self._connections[fd]
        try:
            octets = connection.recv(_MOST)
            if not octets:
                self._forget(fd)
                return
            answers, paced = requests.feed(octets)
            if answers:
                connection.send(answers)
        except BlockingIOError:
            return  # a client that reads no answers gets none
        except (OSError, WrongAnswer):
            self._forget(fd)
            return
        if paced:
            self._downloads.setdefault(fd, (0, b""))
            self._due = self._due or time.monotonic_ns()

    def _pace(self) -> None:
        self._due = max(self._due + PACE_NS, time.monotonic_ns())
        for fd, (number, rest) in list(self._downloads.items()):
            connection = self._connections[fd][0]
            # Only a new chunk each time: a download that was held up goes on at its pace.
            octets = rest or chunk(number)
            try:
                sent = connection.send(octets)
            except BlockingIOError:
                continue
            except OSError:
                self._forget(fd)
                continue
            self._downloads[fd] = (number if rest else number + 1), octets[sent:]

    def _forget(self, fd: int) -> None:
        connection, _ = self._connections.pop(fd)
        self._downloads.pop(fd, None)
        if not self._downloads:
            self._due = 0
        self._epoll.unregister(fd)
        connection.close()


def main() -> None:
    """Read the port from the command line, and serve."""
    raise_file_limit()
    server = Server(int(sys.argv[1]))
    sys.stdout.write(f"READY {server.port}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        server.run()


if __name__ == "__main__":
    main()
