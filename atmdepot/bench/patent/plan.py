"""The plan of a run: every test, in order, with the time that it takes about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from atmdepot.bench.patent.tables import AT_ONCE, DEPOT, IMPROVEMENT_AT, REQUESTS, SINGLE, SIZES, SYSTEMS
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.bench.patent.settings import Settings

Part = Literal["tables", "knee", "range", "prior-art", "death"]
PARTS: dict[str, str] = {
    "tables": "tables 1 and 2 of the patent, one server alone against the depot with two",
    "knee": "where a single server of regime B has its best rate, and where it falls",
    "range": "how the improvement at 20 at once depends on the servers' parameters",
    "prior-art": "the patent's prior art and today's peers on the same servers",
    "death": "one of two servers dies after a third of the time",
}
FAST, SMALL = "A", "B"
REGIMES = {FAST: "servers as fast as the machine", SMALL: "each server a small machine of its own"}

KNEE = (2, 3, 8, 12, 13, 14, 16, 18)
"""Requests at once of the search for the knee, between those of the tables."""

METHODS = {
    "depot": "depot, round robin", "depot-least": "depot, least connections",
    "dns-asked": "DNS round robin, clients ask each time", "dns-kept": "DNS round robin, clients keep the answer",
    "redirect": "HTTP redirection by the loaded server", "hash": "client-IP hashing (nft jhash)",
    "numgen": "nft numgen", "haproxy": "HAProxy", "nginx-stream": "nginx stream",
}
"""The methods that give requests to servers: the depot, the patent's prior art (figures 1 and 2), later ones."""

DEPOT_METHODS = ("depot", "depot-least")
CLIENTS = (1, 20)
_ART_AT_ONCE = 20
_LONG = {FAST: 2.0, SMALL: 2.5}
_ART_SECONDS, _DEATH_SECONDS = 2.5, 6.0
_LAB_SECONDS, _OVERHEAD, _SERVERS_ANEW = 4.0, 0.5, 1.0
_TAIL = 2.0
"""Seconds that the last requests of a test past the knee take."""


class Item(Struct, frozen=True):
    """A test: so many requests or, when `seconds` is not 0, as many as can be begun in that time.

    `change` is a change of the servers' parameters. `dear` is for requests of unequal cost, `clients` is the number of
    client addresses.
    """

    part: Part
    regime: str
    system: str
    size: str = IMPROVEMENT_AT[0]
    at_once: int = IMPROVEMENT_AT[1]
    requests: int = REQUESTS
    seconds: float = 0.0
    change: str = ""
    clients: int = 1
    dear: bool = False

    @property
    def key(self) -> str:
        """The name of the test in the journal."""
        amount = f"{self.seconds:g}s" if self.seconds else f"{self.requests}"
        more = (self.change, f"{self.clients} clients" if self.clients > 1 else "", "dear" if self.dear else "")
        words = (self.part, self.regime, self.system, self.size, str(self.at_once), amount, *more)
        return "/".join(filter(None, words))

    @property
    def expected(self) -> float:
        """The expected time in seconds."""
        if self.seconds:
            return self.seconds + _OVERHEAD
        pace = 2500.0 if self.regime == FAST else {"100B": 800.0, "1KB": 750.0, "10KB": 220.0}[self.size]
        slow = 2.5 if self.at_once == 1 else 0.55 if self.system == DEPOT else 1.0
        tail = (7.0 if self.at_once >= 100 else _TAIL if self.at_once > 14 else 0) if self.regime == SMALL else 0
        return self.requests / pace * slow + tail + _OVERHEAD


class Plan(Struct, frozen=True):
    """The tests of a pass, and the number of passes."""

    items: tuple[Item, ...]
    passes: int = 1

    def expected(self, done: dict[str, int]) -> float:
        """The expected seconds of what is left, when so many passes of each test are done."""
        left = [item for item in self.items if done.get(item.key, 0) < self.passes]
        labs = {(item.regime, item.system == DEPOT or item.system in DEPOT_METHODS) for item in left}
        return (len(labs) * _LAB_SECONDS
                + sum(item.expected * (self.passes - done.get(item.key, 0)) for item in left)
                + sum(_SERVERS_ANEW for item in left if item.change))


class Size(Struct, frozen=True):
    """The size of a run: the whole experiment, or a shortened one that shows its shape only."""

    sizes: tuple[str, ...] = SIZES
    at_once: tuple[int, ...] = AT_ONCE
    knee: tuple[int, ...] = KNEE
    requests: int = REQUESTS
    long: bool = True
    most_changes: int | None = None
    methods: tuple[str, ...] = tuple(METHODS)
    dying: tuple[str, ...] = tuple(METHODS)
    clients: tuple[int, ...] = CLIENTS
    dear: tuple[bool, ...] = (False, True)
    art_seconds: float = _ART_SECONDS
    death_seconds: float = _DEATH_SECONDS


WHOLE = Size()
QUICK = Size(("1KB",), (1, 20), (10,), 150, False, 1, ("depot", "dns-kept", "redirect", "hash"),
             ("depot", "redirect"), (20,), (False,), 0.5, 1.5)


def plan(settings: Settings, parts: Sequence[str], regimes: Sequence[str], size: Size, passes: int) -> Plan:
    """The plan of some parts and regimes; raise AtmdepotError when nothing is left."""
    items = [item for part in PARTS if part in parts for item in _MAKERS[part](settings, size)
             if item.regime in regimes]
    if not items:
        raise AtmdepotError(f"no test is left: only tables are of regime {FAST}")
    return Plan(tuple(items), passes)


def _tables(_: Settings, size: Size) -> Iterator[Item]:
    for regime in REGIMES:
        for seconds in (0.0, _LONG[regime]) if size.long else (0.0,):
            for name in size.sizes:
                for at_once in size.at_once:
                    for system in SYSTEMS:
                        yield Item("tables", regime, system, name, at_once, size.requests, seconds)


def _knee(_: Settings, size: Size) -> Iterator[Item]:
    for at_once in size.knee:
        yield Item("knee", SMALL, SINGLE, at_once=at_once, requests=size.requests)


def _range(settings: Settings, size: Size) -> Iterator[Item]:
    for change in list(settings.changes())[:size.most_changes]:
        for system in SYSTEMS:
            yield Item("range", SMALL, system, requests=size.requests, change=change)


def _prior_art(_: Settings, size: Size) -> Iterator[Item]:
    for clients in size.clients:
        for dear in size.dear:
            for method in size.methods:
                yield Item("prior-art", SMALL, method, at_once=_ART_AT_ONCE, seconds=size.art_seconds, clients=clients,
                           dear=dear)


def _death(_: Settings, size: Size) -> Iterator[Item]:
    for method in (each for each in size.dying if each in size.methods):
        yield Item("death", SMALL, method, at_once=_ART_AT_ONCE, seconds=size.death_seconds, clients=max(size.clients))


_MAKERS = {"tables": _tables, "knee": _knee, "range": _range, "prior-art": _prior_art, "death": _death}
