"""Two depots of a set that stands by, each with a replication link over loopback; session tables are stand-ins.

The stand-ins have the interface of `depot/replication.py` and `depot/replica.py`, so that the link is tested by itself.
"""

from __future__ import annotations

import socket
from typing import Any

from atmdepot.config.reading import parse
from atmdepot.depot.peers import Peers
from atmdepot.depot.roles import Roles
from tests.two_depots import two_depots

KEY = "00112233445566778899aabbccddeeff"


def table(first: int, second: int, more: str = "", ports: int = 80, name: str = "pair") -> Any:
    sync = f'ownership = "manual"\nsync = {{ depot1 = "127.0.0.1:{first}", depot2 = "127.0.0.2:{second}" }}'
    return parse(two_depots(f"{sync}\n{more}", name=name, ports=ports))


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Log:
    """Stands in for `Replication`: a log of octets, whose last `kept` may be read."""

    def __init__(self, run: int, kept: int = 1 << 24) -> None:
        self.run, self.kept = run, kept
        self.octets = b""
        self.digest = 0
        self.readers: list[LogReader] = []

    @property
    def log(self) -> Log:
        return self

    @property
    def end(self) -> int:
        return len(self.octets)

    def next_timer(self) -> int | None:
        return None

    def flush(self, now: int) -> None:
        pass

    def beat(self, now: int) -> None:
        pass

    def handle_timer(self, now: int) -> None:
        pass

    def reader(self, run: int, offset: int, now: int) -> LogReader:
        del now
        known = run == self.run and self.end - offset <= self.kept
        self.readers.append(LogReader(self, offset if known else self.end, in_snapshot=not known))
        return self.readers[-1]


class LogReader:
    """Stands in for `Reader`; a snapshot is the octets before its offset, in slices of 1,000."""

    def __init__(self, log: Log, offset: int, in_snapshot: bool) -> None:
        self._log, self.offset, self.in_snapshot = log, offset, in_snapshot
        self._before = b"!" + log.run.to_bytes(8, "big") + offset.to_bytes(8, "big") + log.octets[:offset]
        self._out = b""
        self.ended = False

    @property
    def pending(self) -> int:
        return len(self._out) + (0 if self.in_snapshot else self._log.end - self.offset)

    @property
    def cut_off(self) -> bool:
        return self._log.end - self.offset > self._log.kept

    def take(self, most: int) -> bytes:
        if self._out or self.in_snapshot:
            taken, self._out = self._out, b""
            return taken
        taken = self._log.octets[self.offset:self.offset + most]
        self.offset += len(taken)
        return taken

    def slice(self, now: int) -> bool:
        del now
        self._out, self._before = self._before[:1000], self._before[1000:]
        self.in_snapshot = bool(self._before)
        return self.in_snapshot

    def end(self) -> None:
        self.ended = True


class Copy:
    """Stands in for `Replica`: the octets of the other's log."""

    def __init__(self) -> None:
        self.run = 0
        self.octets = self._head = b""
        self._until = 0
        self.in_sync = self.misses_some = False
        self.stood_by = 0
        self.sweeps = False

    @property
    def applied(self) -> tuple[int, int]:
        return self.run, len(self.octets)

    def begin(self, teller: str) -> None:
        self.teller = teller

    def slice(self, now: int) -> bool:
        del now
        return False

    def feed(self, octets: bytes, now: int) -> None:
        del now
        if octets.startswith(b"?"):
            raise ValueError("SESSION: it is none")
        if octets[:1] == b"!" and not self._head:
            self.octets, self.in_sync, self._head = b"", False, octets[:17]
            self.run, self._until = int.from_bytes(octets[1:9], "big"), int.from_bytes(octets[9:17], "big")
            octets = octets[17:]
        self.octets += octets
        if len(self.octets) >= self._until:
            self._head, self.in_sync = b"", True


class StandIn:
    """A depot with real roles, and stand-ins for its tables, log and replica."""

    def __init__(self, network: Any, name: str, now: int, run: int) -> None:
        self.network, self.name = network, name
        self.roles = Roles(network.set_of(name), name, now)
        self.replication, self.replica = Log(run), Copy()
        self.peers = Peers(self.roles, self.count_sessions)

    def count_sessions(self) -> int:
        return len(self.replication.octets)
