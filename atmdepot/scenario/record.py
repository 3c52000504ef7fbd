"""The record of a scenario: what was seen of the network over time, and what the steps did. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

Rows = list[dict[str, Any]]
ACTIVE = ("active", "alone", "handing-over")


class Sample(Struct):
    """The daemons' figures at a time (s from the scenario's begin); counts are those since its begin."""

    at: float
    sessions: dict[str, int]
    condition: dict[str, str]
    draining: dict[str, bool]
    opened: dict[str, int]
    roles: dict[str, str]
    terms: dict[str, int]
    follows: dict[str, str]
    same_sessions: bool
    links: dict[str, int]
    counters: dict[str, int]
    drops: dict[str, int]


class Totals:
    """Sums of counters since a beginning; a daemon that is restarted counts from 0, and its sums go on."""

    def __init__(self) -> None:
        self._last: dict[Any, int] = {}
        self._sums: dict[Any, int] = {}
        self._is_first = True

    def feed(self, counts: Iterable[tuple[Any, int]]) -> None:
        """Take what counters say now; those of the first time are the beginning."""
        for key, value in counts:
            last = self._last.get(key, value if self._is_first else 0)
            self._sums[key] = self._sums.get(key, 0) + (value - last if value >= last else value)
            self._last[key] = value
        self._is_first = False

    def items(self) -> Iterable[tuple[Any, int]]:
        """The sums by key."""
        return self._sums.items()


class Looks:
    """Makes samples of what the daemons show."""

    def __init__(self, depots: list[str], edges: list[str]) -> None:
        self._depots, self._edges = depots, edges
        self._counters, self._links, self._opened = Totals(), Totals(), Totals()

    def sample(self, at: float, shown: dict[str, dict[str, Rows]]) -> Sample:
        """A sample of the rows that each node shows of each subject."""
        self._counters.feed(((node, row["place"], row["counter"]), row["value"])
                            for node, of in shown.items() for row in of.get("counters", []))
        self._links.feed(((node, row["link"]), _carried(row))
                         for node, of in shown.items() for row in of.get("links", []))
        self._opened.feed(((node, row["server"]), row["sessions_total"])
                          for node, of in shown.items() for row in of.get("servers", []))
        own = {node: row for node in self._depots for row in shown.get(node, {}).get("depots", [])
               if row["node"] == node}
        roles = {node: str(own.get(node, {}).get("role", "alone" if shown.get(node, {}).get("servers") else ""))
                 for node in self._depots}
        servers = self._servers(shown, roles)
        counters = _summed(((name, value) for (_, _, name), value in self._counters.items()))
        drops = {name.removeprefix("drop:"): value for name, value in counters.items() if name.startswith("drop:")}
        return Sample(
            at=at, roles=roles, terms={node: int(row["term"]) for node, row in own.items()},
            sessions={row["server"]: row["sessions"] for row in servers},
            condition={row["server"]: row["list"] for row in servers},
            draining={row["server"]: row["draining"] for row in servers},
            opened=_summed((server, value) for (_, server), value in self._opened.items()),
            follows={row["node"]: str(row["follows"]) for node in self._edges
                     for row in shown.get(node, {}).get("depots", []) if row["node"] == node},
            same_sessions=len(own) == len(self._depots) and len({row.get("digest") for row in own.values()}) == 1,
            links=_greatest((link, value) for (_, link), value in self._links.items()), counters=counters,
            drops=drops | {"all": sum(value for name, value in drops.items() if name != "multicast")})

    def _servers(self, shown: dict[str, dict[str, Rows]], roles: dict[str, str]) -> Rows:
        """The servers as the active depots have them; where several sets have one, the last."""
        order = sorted(self._depots, key=lambda node: roles[node] in ACTIVE)
        found = {row["server"]: row for node in order for row in shown.get(node, {}).get("servers", [])}
        return list(found.values())


def _carried(row: dict[str, Any]) -> int:
    """Cells that a link has carried both ways; frames or packets where it carries no cells."""
    unit = "cells" if "tx_cells" in row else "pdus"
    return int(row[f"tx_{unit}"]) + int(row[f"rx_{unit}"])


def _summed(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, value in counts:
        sums[name] = sums.get(name, 0) + value
    return sums


def _greatest(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The greater of what both ends of a link count."""
    found: dict[str, int] = {}
    for name, value in counts:
        found[name] = max(found.get(name, 0), value)
    return found
