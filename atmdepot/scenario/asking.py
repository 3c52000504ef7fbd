"""The client of a scenario: `python -m atmdepot.scenario.asking`, in the client's node.

It reads an `Asking` (a line of JSON) from its standard input, and prints READY when each of its clients has got its
first octets or failed. At its end, or when its standard input ends, it prints an `Answers`. One loop without tasks.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atmdepot.lab.load_client import check_connected, connect, fields_of, raise_file_limit, reason_of, tell
from atmdepot.lab.pages import SIZES, page

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1 << 18
_LONGEST_HEAD = 65536
_PAUSE = 0.05
"""Seconds from a failed request to the client's next one."""

BUCKET = 0.1
"""Seconds of a bucket in which answers are counted."""


class Asking(Struct, frozen=True):
    """A load's task: a page, from targets (address and port) in turn; 0 requests or seconds are no bound."""

    targets: list[tuple[str, int]]
    page: str
    clients: int
    requests: int = 0
    seconds: float = 0.0
    kept: bool = False
    every: float = 0.0
    patience: float = 10.0
    dscp: int = 0


class Answers(Struct):
    """The answers to a load; times in seconds, `began` by the monotonic clock."""

    began: float = 0.0
    ended: float = 0.0
    octets: int = 0
    served: dict[str, int] = {}
    took: list[float] = []
    answered: list[int] = []
    failed: list[int] = []
    reasons: dict[str, int] = {}
    lost: int = 0
    gap: float = 0.0


class Client:
    """A client: its connection, and the request that it waits for."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.socket: socket.socket | None = None
        self.due = 0.0
        self.began = 0.0
        self.waits = False
        self.started = False
        self.reset()

    def reset(self) -> None:
        """Forget the octets of an answer that has begun."""
        self.head = b""
        self.body: int | None = None  # octets of the body so far; None before the head is whole
        self.length = 0
        self.server = ""


class Asker:
    """All clients, and what is due."""

    def __init__(self, asking: Asking, commands: int, tell: Callable[[bytes], None]) -> None:
        """Take what to ask for, a descriptor whose end is the load's, and what writes a line."""
        self._asking, self._commands, self._tell = asking, commands, tell
        self._page = page(asking.page) if asking.page in SIZES else None
        self._selector = selectors.DefaultSelector()
        targets = [asking.targets[number % len(asking.targets)] for number in range(asking.clients)]
        self._clients = [Client(target) for target in targets]
        self._asked = 0
        self._started = 0
        self._last = 0.0
        self.answers = Answers()

    def run(self) -> Answers:
        """Ask until it is over."""
        self._selector.register(self._commands, selectors.EVENT_READ)
        now = self._last = self.answers.began = time.monotonic()
        while not self._is_over(now):
            for key, _ in self._selector.select(self._wait(now)):
                client: Client | None = key.data
                if client is None:
                    if not os.read(self._commands, _MOST):
                        return self._end()
                else:
                    self._go_on(client)
            now = time.monotonic()
            for client in self._clients:
                self._look_at(client, now)
        return self._end()

    def _is_over(self, now: float) -> bool:
        asking = self._asking
        if asking.seconds and now >= self.answers.began + asking.seconds:
            return True
        return bool(asking.requests) and self._asked >= asking.requests and not any(
            client.waits for client in self._clients)

    def _wait(self, now: float) -> float:
        """Seconds until the next thing is due; half a second at most."""
        soon = now + 0.5
        more = not self._asking.requests or self._asked < self._asking.requests
        for client in self._clients:
            if client.waits:
                soon = min(soon, client.began + self._asking.patience)
            elif more:
                soon = min(soon, client.due)
        if self._asking.seconds:
            soon = min(soon, self.answers.began + self._asking.seconds)
        return max(0.0, soon - now)

    def _end(self) -> Answers:
        self.answers.ended = time.monotonic()
        self.answers.gap = max(self.answers.gap, self.answers.ended - self._last)
        for client in self._clients:
            self._close(client)
        self._selector.close()
        return self.answers

    def _look_at(self, client: Client, now: float) -> None:
        if client.waits:
            if now >= client.began + self._asking.patience:
                self._fail(client, "too late")
        elif now >= client.due and (not self._asking.requests or self._asked < self._asking.requests):
            self._asked += 1
            client.began, client.waits = now, True
            client.reset()
            if client.socket is None:
                self._connect(client)
            else:
                self._send(client)

    def _connect(self, client: Client) -> None:
        family = socket.AF_INET6 if ":" in client.target[0] else socket.AF_INET
        made = client.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._asking.dscp:
            level, option = ((socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if family == socket.AF_INET6
                             else (socket.IPPROTO_IP, socket.IP_TOS))
            made.setsockopt(level, option, self._asking.dscp << 2)
        try:
            connect(made, client.target)
        except OSError as error:
            self._fail(client, reason_of(error))
        else:
            self._selector.register(made, selectors.EVENT_WRITE, client)

    def _send(self, client: Client) -> None:
        assert client.socket is not None
        close = "" if self._asking.kept else "Connection: close\r\n"
        try:
            client.socket.send(f"GET /{self._asking.page} HTTP/1.1\r\nHost: scenario\r\n{close}\r\n".encode())
        except OSError as error:
            self._fail(client, reason_of(error))

    def _go_on(self, client: Client) -> None:
        """A connection is there, has failed, or has octets."""
        if client.socket is None:
            return
        try:
            if self._selector.get_key(client.socket).events == selectors.EVENT_WRITE:
                check_connected(client.socket)
                self._selector.modify(client.socket, selectors.EVENT_READ, client)
                self._send(client)
                return
            octets = client.socket.recv(_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(client, reason_of(error))
            return
        if not octets:
            self._fail(client, "closed before its end" if client.waits else "closed while it was kept")
        elif wrong := self._hear(client, octets):
            self._fail(client, wrong)

    def _hear(self, client: Client, octets: bytes) -> str:
        """Take octets of an answer; return what is wrong with them."""
        if client.body is None:
            head, whole, rest = (client.head + octets).partition(b"\r\n\r\n")
            if not whole:
                client.head = head
                return "no answer of HTTP" if len(head) > _LONGEST_HEAD else ""
            if wrong := _read_head(client, head):
                return wrong
            octets, client.body = rest, 0
            self._start(client)
        begin, client.body = client.body, client.body + len(octets)
        if client.body > client.length or (self._page is not None and octets != self._page[begin:client.body]):
            return "wrong octets"
        if client.body == client.length:
            self._answered(client)
        return ""

    def _start(self, client: Client) -> None:
        if not client.started:
            client.started = True
            self._started += 1
            if self._started == len(self._clients):
                self._tell(b"READY")

    def _answered(self, client: Client) -> None:
        answers, now = self.answers, time.monotonic()
        if not client.waits or (self._page is not None and client.length != len(self._page)):
            self._fail(client, "wrong octets")
            return
        answers.octets += client.length
        answers.served[client.server] = answers.served.get(client.server, 0) + 1
        answers.took.append(now - client.began)
        answers.gap = max(answers.gap, now - self._last)
        self._last = now
        _count(answers.answered, now - answers.began)
        if not self._asking.kept:
            self._close(client)
        client.waits, client.due = False, client.began + self._asking.every

    def _fail(self, client: Client, reason: str) -> None:
        """Count a failed request, or a connection that was lost between two."""
        answers, now = self.answers, time.monotonic()
        answers.reasons[reason] = answers.reasons.get(reason, 0) + 1
        if client.socket is not None and (self._asking.kept or client.body is not None):
            answers.lost += 1
        if client.waits:
            _count(answers.failed, now - answers.began)
        self._close(client)
        client.waits, client.due = False, max(now + _PAUSE, client.began + self._asking.every)
        self._start(client)

    def _close(self, client: Client) -> None:
        if client.socket is not None:
            with suppress(KeyError):
                self._selector.unregister(client.socket)
            client.socket.close()
            client.socket = None


def _read_head(client: Client, head: bytes) -> str:
    """Read the status, the length and the server from an answer's head; return what is wrong with it."""
    first, *lines = head.decode("latin-1").split("\r\n")
    if first.split()[1:2] != ["200"]:
        return f"the answer is {first[:60]!r}"
    fields = fields_of(lines)
    length = fields.get("content-length", "")
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        return "an answer without its length"
    client.length, client.server = int(length), fields.get("x-served-by", "")
    return ""


def _count(buckets: list[int], seconds: float) -> None:
    place = int(seconds / BUCKET)
    buckets.extend(0 for _ in range(place + 1 - len(buckets)))
    buckets[place] += 1


def main() -> None:
    """Read what to ask for, ask, and tell what came of it."""
    raise_file_limit()
    asking = msgspec.json.decode(sys.stdin.buffer.readline(), type=Asking)
    tell(msgspec.json.encode(Asker(asking, sys.stdin.fileno(), tell).run()))


if __name__ == "__main__":
    main()
