"""The client of regime B and of the prior art: `python -m atmdepot.bench.patent.asking JSON`, in the client's node.

It keeps a number of requests at once, each on a connection of its own, and prints what it saw as JSON. A request counts
from the moment it begins: one whose SYN is lost belongs to the run until it is answered or fails. (ab counts it only
once it is connected, so others do its part, and the run does not wait for it.)
"""

from __future__ import annotations

import random
import re
import select
import socket
import sys
import time
from bisect import insort
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atmdepot.bench.patent.lookup import Lookup
from atmdepot.bench.patent.seen import Asked, Seen, seen
from atmdepot.lab.load_client import check_connected, connect, reason_of, tell

if TYPE_CHECKING:
    from collections.abc import Iterable

_NS, _NS_A_US = 1_000_000_000, 1000
_PATIENCE = 20.0
"""Seconds after which a request has failed, whatever it waits for."""

_REST = 0.05
"""Seconds until a failed request is followed by the next: refusals come at once, and would count a thousandfold."""

_LOOK = 0.1
_CHUNK = 65536
_MOST_REDIRECTS = 3
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_SERVER = re.compile(rb"(?i)\r\nX-Served-By: *([!-~]+)\r\n")
_LOCATION = re.compile(rb"(?i)\r\nLocation: *http://([0-9.]+):([0-9]{1,5})(/[!-~]*)\r\n")


class Task(Struct, frozen=True):
    """The task of a run: `requests`, or as many as can be within `seconds`.

    The first requests begin `begin_us` (µs) after one another. A host that is no address is a name, asked of `names`;
    clients keep an answer when `keeps_names`. Each client is a source address. `dear` of the requests (a share) take
    `cost` times the work.
    """

    host: str
    port: int
    page: str
    at_once: int
    requests: int = 0
    seconds: float = 0.0
    begin_us: int = 0
    sources: list[str] = []
    names: str = ""
    keeps_names: bool = False
    dear: float = 0.0
    cost: int = 1


class Request:
    """A request on its way, by one connection or, when it is redirected, by several."""

    def __init__(self, source: str, path: str, began: int) -> None:
        self.source, self.path, self.began = source, path, began
        self.socket: socket.socket | None = None
        self.to: tuple[str, int] | None = None
        self.octets = b""
        self.redirects = 0


class Asker:
    """The loop that keeps requests at once until the task is done."""

    def __init__(self, task: Task, seed: int = 1) -> None:
        self._task, self._chance = task, random.Random(seed)
        self._epoll = select.epoll()
        self._requests: dict[int, Request] = {}
        self._resting: list[int] = []
        self._lookup = Lookup(task.names, keeps=task.keeps_names) if task.names else None
        self._begun = 0
        self._sources = task.sources or [""]
        self.asked: list[Asked] = []

    def run(self) -> Seen:
        """Ask until the task is done."""
        self._start = time.monotonic_ns()
        looked = self._start
        self._resting = [self._start + number * self._task.begin_us * _NS_A_US for number in range(self._task.at_once)]
        while self._requests or self._resting:
            for fd, _ in self._epoll.poll(self._rest()):
                if request := self._requests.get(fd):
                    self._go_on(request)
            now = time.monotonic_ns()
            if now - looked > _LOOK * _NS:
                looked = now
                self._look(now)
            while self._resting and self._resting[0] <= now:
                self._resting.pop(0)
                self._next()
        return seen(self.asked, self._task.seconds or (time.monotonic_ns() - self._start) / _NS)

    def _rest(self) -> float:
        """Seconds until there is something to do besides answers."""
        wait = (self._resting[0] - time.monotonic_ns()) / _NS if self._resting else _LOOK
        return min(_LOOK, max(0.0, wait))

    def _more(self) -> bool:
        if self._task.requests:
            return self._begun < self._task.requests
        return time.monotonic_ns() - self._start < self._task.seconds * _NS

    def _next(self) -> None:
        """Begin a request, if the task has one more."""
        if not self._more():
            return
        # One client after the other.
        source = self._sources[self._begun % len(self._sources)]
        self._begun += 1
        dear = self._task.dear > 0 and self._chance.random() < self._task.dear
        path = f"/{self._task.page}" + (f"?cost={self._task.cost}" if dear else "")
        request = Request(source, path, time.monotonic_ns())
        self._open(request, (self._task.host, self._task.port))

    def _open(self, request: Request, to: tuple[str, int]) -> None:
        request.octets, request.to = b"", to
        try:
            host = self._lookup.find(to[0], request.source) if self._lookup and not to[0][0].isdigit() else to[0]
            request.socket = of = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if request.source:
                of.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                of.bind((request.source, 0))
            connect(of, (host, to[1]))
        except OSError as error:
            self._end(request, reason_of(error))
            return
        self._requests[of.fileno()] = request
        self._epoll.register(of, select.EPOLLOUT)

    def _go_on(self, request: Request) -> None:
        """Send the request on its connection, or read what has come; at the end of the answer, judge it."""
        of = request.socket
        assert of is not None
        try:
            check_connected(of)
            if not request.octets and request.to is not None:
                of.send(f"GET {request.path} HTTP/1.0\r\nHost: {request.to[0]}\r\n\r\n".encode())
                request.to = None
                self._epoll.modify(of, select.EPOLLIN)
                return
            octets = of.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(request, reason_of(error))
            return
        request.octets += octets
        if not octets:
            self._judge(request)

    def _judge(self, request: Request) -> None:
        status = _STATUS.match(request.octets)
        code = int(status[1]) if status else 0
        if code == 302 and (to := _LOCATION.search(request.octets)) and request.redirects < _MOST_REDIRECTS:
            self._close(request)
            request.redirects += 1
            request.path = to[3].decode()
            self._open(request, (to[1].decode(), int(to[2])))
            return
        self._end(request, "" if code == 200 else f"answer {code}" if code else "no answer")

    def _look(self, now: int) -> None:
        """Fail what has waited too long."""
        for request in [each for each in self._requests.values() if now - each.began > _PATIENCE * _NS]:
            self._end(request, f"not answered in {_PATIENCE:.0f} s")

    def _end(self, request: Request, why: str) -> None:
        """Note how a request ended, and begin the next."""
        self._close(request)
        now = time.monotonic_ns()
        server = _SERVER.search(request.octets)
        self.asked.append(Asked((now - self._start) / _NS, (now - request.began) / _NS, len(request.octets),
                                server[1].decode() if server else "", why, request.redirects))
        if why:
            insort(self._resting, now + round(_REST * _NS))
        else:
            self._next()

    def _close(self, request: Request) -> None:
        if request.socket is None:
            return
        if self._requests.pop(request.socket.fileno(), None):
            with suppress(OSError):
                self._epoll.unregister(request.socket)
        request.socket.close()
        request.socket = None


def main(arguments: Iterable[str]) -> None:
    """Do the task of the command line: say that it has begun, and print what was seen."""
    task = msgspec.json.decode(next(iter(arguments)), type=Task)
    tell(b"BEGUN")
    tell(msgspec.json.encode(Asker(task).run()))


if __name__ == "__main__":
    main(sys.argv[1:])
