"""Figures of `bench peers`: the unit of each, and the project's targets for some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench import perf
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SIZES = ("100B", "1KB", "10KB")
"""The pages that ab asks for; the lab's servers have them."""

AT_ONCE = (1, 20, 100)
STREAMS = (1, 4)
FEW_IDLE = 1000


class Figure(Struct, frozen=True):
    """A figure: its name for the shell, what it is, its unit, and which way is better."""

    name: str
    title: str
    unit: str
    higher_is_better: bool = True


class Target(Struct, frozen=True):
    """A target of the project: a ratio, or a figure as it is, that has to reach `at_least` and aims at `aim`.

    `key` names it in the JSON; `over` and, for a ratio, `under` are (figure, contender). Where
    `higher_is_better` is False, both bounds are upper bounds.
    """

    key: str
    title: str
    over: tuple[str, str]
    under: tuple[str, str] | None
    at_least: float
    aim: float
    higher_is_better: bool = True

    def verdict(self, value: float) -> str:
        """`aim reached`, `met` or `missed`."""
        sign = 1 if self.higher_is_better else -1
        if sign * value >= sign * self.aim:
            return "aim reached"
        return "met" if sign * value >= sign * self.at_least else "missed"


def connections(size: str, at_once: int) -> str:
    """The name of the figure of new connections for a page's size and a number at once."""
    return f"connections-{size.lower()}-{at_once}"


def bulk(way: str, streams: int) -> str:
    """The name of the figure of bulk: `down` is from server to client, `up` from client to server."""
    return f"bulk-{way}-{streams}"


def idle(sessions: int) -> str:
    """The name of the figure of new connections beside that many idle sessions."""
    return f"idle-sessions-{sessions}"


NEW = connections("1KB", 20)
LATENCY_LOAD = connections("1KB", 1)
BULK = bulk("down", 1)
FAULTS = "page-faults"

KINDS = ("cpu", *perf.KINDS)
"""The kinds of a whole lab's use: its processor time, and counts."""

_CONNECTIONS, _KEPT, _GB = "connections", "keep-alive", "bulk"
_PARTS = {NEW: _CONNECTIONS, "keep-alive": _KEPT, BULK: _GB}
_PART_TITLES = {_CONNECTIONS: "a new connection", _KEPT: "a keep-alive request", _GB: f"a GB at {BULK}"}
_KIND_TITLES = {"cpu": "whole lab's CPU time", "calls": "whole lab's system calls",
                "switches": "whole lab's context switches", "faults": "whole lab's page faults"}
_WAYS = {"down": "server to client", "up": "client to server"}


def lab(kind: str, load: str) -> str:
    """The name of the figure of a whole lab's use, of a kind and under a load: NEW, `keep-alive` or BULK."""
    return f"lab-{kind}-{_PARTS[load]}"


def labs(load: str) -> tuple[str, ...]:
    """The names of all figures of a whole lab's use under a load; empty for a load that is not metered."""
    return tuple(lab(kind, load) for kind in KINDS) if load in _PARTS else ()


def counts(load: str) -> dict[str, str]:
    """The kinds that are counted of a whole lab under a load, with the figures' names."""
    return {kind: lab(kind, load) for kind in perf.KINDS} if load in _PARTS else {}


def _of_labs() -> Iterator[Figure]:
    for kind in KINDS:
        for load, part in _PARTS.items():
            bulk = "1/GB" if part == _GB else "1"
            unit = bulk if kind != "cpu" else "s/GB" if part == _GB else "µs"
            yield Figure(lab(kind, load), f"{_KIND_TITLES[kind]}, {_PART_TITLES[part]}", unit, higher_is_better=False)


def figures(idle_sessions: int) -> dict[str, Figure]:
    """Every figure by name, in the order in which they are shown."""
    every = [
        *(Figure(connections(size, at_once), f"new connections, {size}, {at_once} at once", "1/s")
          for size in SIZES for at_once in AT_ONCE),
        Figure("keep-alive", "requests over 20 connections that stay, 1KB", "1/s"),
        *(Figure(bulk(way, streams), f"bulk, {text}, {streams} stream{'s' * (streams > 1)}", "Mbit/s")
          for way, text in _WAYS.items() for streams in STREAMS),
        *(Figure(f"latency-p{part}", f"latency p{part}: a request on a new connection, 1KB, 1 at once", "ms", False)
          for part in (50, 99)),
        Figure("cpu-connections", "CPU time of forwarding processes, 1000 new connections", "s", False),
        Figure("cpu-keep-alive", "CPU time of forwarding processes, 1000 keep-alive requests", "s", False),
        *_of_labs(),
        Figure(FAULTS, f"page faults of depot and edges, 1 GB at {BULK}", "1/GB", False),
        Figure("cells", f"cells through depot and edge, both ways, at {BULK}", "1/s"),
        *(Figure(idle(sessions), f"new connections beside {sessions:,} idle sessions", "1/s")
          for sessions in sorted({FEW_IDLE, idle_sessions})),
    ]
    return {figure.name: figure for figure in every}


def of_bearers() -> list[str]:
    """The figures by which bearers are compared."""
    return [NEW, "keep-alive", BULK, bulk("up", 1), "latency-p50", "latency-p99",
            *(lab("cpu", load) for load in _PARTS)]


def targets(idle_sessions: int) -> list[Target]:
    """The targets, by the medians over the rounds of the ratio within a round."""
    return [
        Target("new_connections", "new connections/s, 1KB, 20 at once, against HAProxy",
               (NEW, "depot"), (NEW, "haproxy"), 0.8, 1.2),
        Target("keep_alive", "keep-alive requests/s against HAProxy",
               ("keep-alive", "depot"), ("keep-alive", "haproxy"), 0.8, 1.2),
        Target("bulk", "bulk, one stream, server to client, against HAProxy",
               (BULK, "depot"), (BULK, "haproxy"), 0.35, 1.0),
        Target("latency_p50", "latency p50 at 1 at once, against kernel forwarding (at most)",
               ("latency-p50", "depot"), ("latency-p50", "kernel"), 2.0, 1.3, higher_is_better=False),
        Target("plain_new_connections", "plain Python, new connections/s against HAProxy",
               (NEW, "depot-plain"), (NEW, "haproxy"), 0.3, 0.5),
        Target("lab_cpu_bulk", "CPU time of the whole lab a GB, one stream, against HAProxy (at most)",
               (lab("cpu", BULK), "depot"), (lab("cpu", BULK), "haproxy"), 1.6, 1.0, higher_is_better=False),
        Target("cells", "one cell per datagram, cells/s through depot and edge",
               ("cells", "depot-cells"), None, 300_000, 1_000_000),
        Target("idle_sessions", f"depot at {idle_sessions:,} idle sessions against {FEW_IDLE:,}, new connections/s",
               (idle(idle_sessions), "depot"), (idle(FEW_IDLE), "depot"), 0.9, 1.0),
    ]


def chosen(wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """The names that are wanted: a whole name, or its part before a hyphen (`bulk`, `connections-1kb`); by default all.

    Raises AtmdepotError for a word that no name begins with.
    """
    names = list(known)
    for word in wanted:
        if not any(_matches(name, word) for name in names):
            raise AtmdepotError(f"there is no \"{word}\" to measure: `atmdepot bench peers --list` has what there is")
    return [name for name in names if not wanted or any(_matches(name, word) for word in wanted)]


def _matches(name: str, word: str) -> bool:
    return name == word or name.startswith(f"{word}-")
