"""The client of `bench failover`: `python -m atmdepot.bench.failover.asking`, in the client's node.

It reads a `Load` (a line of JSON), opens its sessions and prints READY. For each `Failure` (a line) it prints a
`Reading`. It ends with its standard input.

One loop without tasks, so that what it measures is the network: a wait for a socket or for the next thing due.
"""

from __future__ import annotations

import heapq
import os
import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import count, cycle, islice
from typing import TYPE_CHECKING

import msgspec

from atmdepot.bench.failover.judging import HANDSHAKE, Reading, longest_gap
from atmdepot.bench.failover.load import Failure, Load
from atmdepot.bench.failover.session import DOWNLOAD, KEPT, NEW, TRAIN, Session, reason
from atmdepot.bench.failover.talk import ASK, PACE, WrongAnswer, request
from atmdepot.lab.load_client import check_connected, connect, raise_file_limit, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.bench.failover.load import Pool

_NS, _NS_A_MS = 1_000_000_000, 1_000_000
_TRAIN_NS = 10 * _NS_A_MS
_FIRST_NS = 2 * _NS_A_MS
"""Between two of the sessions with which it begins."""

_SPREAD = 0.5
"""Seconds over which idle sessions speak after a failure."""

_REMEMBERED = 4 * _NS
"""Answers are remembered this long before a failure."""

_MOST = 65536
_PORTS = range(10_000, 65_536)
"""The client's ports, each in its turn. The kernel would use one again a minute after its session, as long as depots
still know that: and a depot that was not told of the new one would send its packets to the old one's server, which is
the same by chance."""


class Asker:
    """All sessions, and what is due."""

    def __init__(self, load: Load, tell: Callable[[bytes], None], seed: int | None = None) -> None:
        self._load, self._tell = load, tell
        self._chance = random.Random(seed)
        self._epoll = select.epoll()
        self._sessions: dict[int, Session] = {}
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._ties = count()
        self._ring: deque[Session] = deque()
        self._train: Session | None = None
        self._download: Session | None = None
        self._times: dict[str, deque[int]] = {name: deque() for name in (KEPT, NEW, TRAIN, DOWNLOAD)}
        self._failure: Failure | None = None
        self._judged: dict[Session, float] = {}
        self._waiting: set[Session] = set()
        self._ports = cycle(_PORTS)
        self._turned_at = 0
        self._ready = False
        self.ended = False

    # What is due, and when.

    def run(self, commands: int) -> None:
        """Ask until the commands (a descriptor) end."""
        os.set_blocking(commands, False)
        self._epoll.register(commands, select.EPOLLIN)
        self._unread = b""
        self._begin()
        while not self.ended:
            wait = max(0, self._due[0][0] - time.monotonic_ns()) / _NS if self._due else 1.0
            for fd, events in self._epoll.poll(wait):
                if fd == commands:
                    self._command(commands)
                elif session := self._sessions.get(fd):
                    self._event(session, events)
            now = time.monotonic_ns()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    def _at(self, when: int, what: Callable[[], object]) -> None:
        heapq.heappush(self._due, (when, next(self._ties), what))

    def _begin(self) -> None:
        now = time.monotonic_ns()
        first: list[Pool | None] = [None] * self._load.ring
        for pool in self._load.pools:
            first += [pool] * round(1000 / self._load.every_ms * pool.share * pool.mean)
        self._chance.shuffle(first)
        for number, each in enumerate(first):
            self._at(now + number * _FIRST_NS, partial(self._open, NEW if each else KEPT, each))
        start = now + len(first) * _FIRST_NS
        self._at(start, self._refill)
        self._at(start, partial(self._new, start))
        self._at(start, partial(self._turn, start))
        self._at(start, partial(self._train_goes, start))
        self._at(start + _NS // 2, self._tell_ready)

    def _tell_ready(self) -> None:
        if not all(self._times.values()):
            self._at(time.monotonic_ns() + _NS // 10, self._tell_ready)
            return
        self._ready = True
        self._tell(b"READY")

    def _every(self) -> int:
        return round(self._load.every_ms * _NS_A_MS)

    # Sessions.

    def _open(self, kind: str, pool: Pool | None = None) -> Session:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bind(connection)
        session = Session(connection, time.monotonic_ns(), kind, pool)
        try:
            connect(connection, (self._load.address, self._load.port))
        except OSError as error:
            session.dead = reason(error.errno or 0)
            connection.close()
            return session
        self._sessions[connection.fileno()] = session
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLOUT)
        if kind == KEPT:
            self._ring.append(session)
        if pool is not None:
            self._at(session.opened_at + round(self._chance.expovariate(1 / pool.mean) * _NS),
                     partial(self._end_of_life, session))
        return session

    def _bind(self, connection: socket.socket) -> None:
        """Give a connection the next port that is free."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in islice(self._ports, len(_PORTS)):
            with suppress(OSError):
                connection.bind(("", port))
                return

    def _new(self, due: int) -> None:
        pools = self._load.pools
        self._open(NEW, self._chance.choices(pools, [pool.share for pool in pools])[0])
        self._at(due + self._every(), partial(self._new, due + self._every()))

    def _refill(self) -> None:
        """Open anew what is kept and has died."""
        self._ring = deque(session for session in self._ring if not session.dead)
        for _ in range(self._load.ring - len(self._ring)):
            self._open(KEPT)
        if self._train is None or self._train.dead:
            self._train = self._open(TRAIN)
        if self._download is None or self._download.dead:
            self._download = self._open(DOWNLOAD)

    def _turn(self, due: int) -> None:
        """Let the next session of the ring ask."""
        self._turned_at = time.monotonic_ns()
        for _ in range(len(self._ring)):
            session = self._ring[0]
            self._ring.rotate(-1)
            if not session.dead and session.established_at is not None:
                self._ask(session)
                break
        self._at(due + self._every(), partial(self._turn, due + self._every()))

    def _train_goes(self, due: int) -> None:
        if self._train is not None and self._train.established_at is not None and not self._train.dead:
            self._ask(self._train)
        self._at(due + _TRAIN_NS, partial(self._train_goes, due + _TRAIN_NS))

    def _talk(self, session: Session) -> None:
        if session.dead or session.pool is None:
            return
        self._ask(session)
        self._at(time.monotonic_ns() + round(session.pool.talk * _NS), partial(self._talk, session))

    def _ask(self, session: Session) -> None:
        if session.dead or session.established_at is None:
            return
        session.asked += 1
        try:
            session.socket.send(request(session.asked, ASK))
        except OSError as error:
            self._died(session, reason(error.errno or 0))

    def _event(self, session: Session, events: int) -> None:
        if session.established_at is None and events & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
            try:
                check_connected(session.socket)
            except OSError as error:
                self._died(session, reason(error.errno or 0))
                return
            self._established(session)
        if events & ~select.EPOLLOUT and not session.dead:
            self._hear(session)

    def _established(self, session: Session) -> None:
        session.established_at = time.monotonic_ns()
        self._epoll.modify(session.socket, select.EPOLLIN)
        if session.kind == DOWNLOAD:
            session.socket.send(request(0, PACE))
        elif session.pool is not None and session.pool.talk:
            self._talk(session)
        else:
            self._ask(session)

    def _hear(self, session: Session) -> None:
        try:
            octets = session.socket.recv(_MOST)
            if not octets:
                self._died(session, "closed")
                return
            first = not session.answers.number
            heard = session.answers.feed(octets)
        except BlockingIOError:
            return
        except OSError as error:
            self._died(session, reason(error.errno or 0))
            return
        except WrongAnswer:
            self._died(session, "wrong answer")
            return
        if heard:
            self._note(session, first=first)

    def _note(self, session: Session, *, first: bool) -> None:
        """Note when an answer came."""
        now = time.monotonic_ns()
        if first or session.kind != NEW:
            times = self._times[session.kind]
            times.append(now)
            while self._failure is None and times[0] < now - _REMEMBERED:
                times.popleft()
        if session in self._waiting and session.goes_on:
            self._waiting.discard(session)
            self._look()

    def _end_of_life(self, session: Session) -> None:
        if session.dead:
            return
        if self._failure is not None:
            session.overdue = True
        else:
            self._close(session)

    def _died(self, session: Session, why: str) -> None:
        session.dead = why
        self._close(session)
        if session in self._waiting:
            self._waiting.discard(session)
            self._look()
        # What was kept is opened anew after a failure only: answers are of sessions from before.
        if self._failure is None and session.kind != NEW:
            self._at(time.monotonic_ns() + _NS // 10, self._refill)

    def _close(self, session: Session) -> None:
        session.dead = session.dead or "over"
        if self._sessions.pop(session.socket.fileno(), None) is not None:
            self._epoll.unregister(session.socket)
        session.socket.close()

    # Failures.

    def _command(self, commands: int) -> None:
        octets = os.read(commands, _MOST)
        self.ended = not octets
        *lines, self._unread = (self._unread + octets).split(b"\n")
        for line in lines:
            self._fail(msgspec.json.decode(line, type=Failure))

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._judged = {
            session: HANDSHAKE if session.established_at is None or session.established_at > failure.at
            else (failure.at - session.established_at) / _NS_A_MS
            for session in self._sessions.values()
            if session.opened_at <= failure.at and session.kind in (KEPT, NEW)}
        self._waiting = set(self._judged)
        self._at(failure.at + round(failure.after * _NS), self._ask_again)
        self._at(failure.at + round(failure.patience * _NS), partial(self._give_up, failure))

    def _ask_again(self) -> None:
        """From here on requests count; who is idle asks by and by."""
        now = time.monotonic_ns()
        for session in self._judged:
            session.must = session.asked + 1
            if session.pool is not None and not session.pool.talk and session.established_at is not None:
                self._at(now + round(self._chance.random() * _SPREAD * _NS), partial(self._ask, session))
        self._look()

    def _look(self) -> None:
        """Tell what came of the failure as soon as it is known of all sessions, and the service has come back."""
        if self._failure is None or self._waiting or not all(session.must for session in self._judged):
            return
        self._at(time.monotonic_ns() + _NS // 5, partial(self._give_up, self._failure))

    def _give_up(self, failure: Failure) -> None:
        if self._failure is not failure:
            return  # told already
        reading = self._read(failure)
        self._failure = None
        self._end_failed()
        self._tell(msgspec.json.encode(reading))

    def _read(self, failure: Failure) -> Reading:
        # A client that got no processor lately has not asked, either: no answer is missing since its last turn.
        def gap(kind: str, since: int = failure.at, until: int = self._turned_at) -> float | None:
            return longest_gap(list(self._times[kind]), since, until)

        reading = Reading(gap(KEPT), gap(NEW), gap(TRAIN), gap(DOWNLOAD), gap(KEPT, failure.at - _NS, failure.at))
        for session, age in self._judged.items():
            if session.goes_on:
                reading.went_on.append(age)
            else:
                reading.lost.setdefault(session.dead or "silent", []).append(age)
        return reading

    def _end_failed(self) -> None:
        """Close what did not go on or has ended meanwhile, and open anew what is kept."""
        now = time.monotonic_ns()
        for session in self._judged:
            if not session.goes_on:
                self._close(session)
            session.must = 0
        for session in [each for each in self._sessions.values() if each.overdue]:
            self._close(session)
        for alone in (self._train, self._download):
            if alone is not None and not (self._times[alone.kind] and self._times[alone.kind][-1] > now - _NS):
                self._close(alone)
        self._judged = {}
        self._waiting = set()
        for times in self._times.values():
            while times and times[0] < now - _REMEMBERED:
                times.popleft()
        self._refill()


def main() -> None:
    """Read the load from standard input, and ask."""
    raise_file_limit()
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as commands:  # what follows the line stays there
        load = msgspec.json.decode(commands.readline(), type=Load)
    Asker(load, tell).run(sys.stdin.fileno())


if __name__ == "__main__":
    main()
