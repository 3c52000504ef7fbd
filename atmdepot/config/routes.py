"""Routes of VPs and of permanent VCs over links and switches, their numbers on each link, and the cross-connects.

All of it is derived from the VC table, by each node for itself and with the same result. A route is the least in delay,
then in hops, then in the table's order of links; `via` gives it instead. On its first link a VP has the VPI of the
table. On each further link it keeps that where it is free, else it gets the least VPI that is.
"""

from __future__ import annotations

import re
from functools import partial
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


_PLACE = re.compile(r"\s*(\S+)\s+([0-9]{1,4})(?:/([0-9]{1,5}))?\s*", re.ASCII)


class Joint(NamedTuple):
    """A link as routes see it: the nodes that it joins, its delay (ns) in both directions, and its greatest VPI."""

    ends: tuple[str, str]
    delay: int
    most: int

    def far(self, node: str) -> str:
        """The node at the other end."""
        return self.ends[self.ends[0] == node]


class Wanted(Protocol):
    """A VP of the table."""

    @property
    def ends(self) -> Sequence[str]:
        """The names of its two end points."""

    @property
    def vpi(self) -> int:
        """The VPI on the first link."""

    @property
    def via(self) -> Sequence[str]:
        """The switches of its route in order; empty for the best route."""

    @property
    def protect(self) -> Sequence[str] | None:
        """The switches of its second route in order; None for a VP without protection."""


class WantedVc(Protocol):
    """A permanent VC of the table, its root first."""

    @property
    def ends(self) -> Sequence[str]:
        """The names of its end points; a VC with more than two is point to multipoint."""

    @property
    def vpi(self) -> int:
        """The VPI on the root's link."""

    @property
    def vci(self) -> int:
        """The VCI on the root's link, which switches keep."""


class Route(NamedTuple):
    """The way of a VP: its nodes in order, the links between them, and its VPI on each link."""

    nodes: tuple[str, ...]
    links: tuple[str, ...]
    vpis: tuple[int, ...]

    def link_at(self, end: str) -> str:
        """The link at an end."""
        return self.links[0 if end == self.nodes[0] else -1]

    def vpi_at(self, end: str) -> int:
        """The VPI on the link at an end."""
        return self.vpis[0 if end == self.nodes[0] else -1]

    def onward(self, end: str) -> tuple[str, ...]:
        """The nodes that a cell of this end meets, the far end last."""
        return self.nodes[1:] if end == self.nodes[0] else self.nodes[-2::-1]


class Place(NamedTuple):
    """A connection on a link: its VPI, and its VCI, which is None for a whole VP."""

    link: str
    vpi: int
    vci: int | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `LINK VPI` or `LINK VPI/VCI`; raise ValueError, which says so."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no place: write a link and a VPI, or VPI/VCI, as in \"to-web1 9/100\"")
        link, vpi, vci = found.groups()
        return cls(link, int(vpi), None if vci is None else int(vci))

    @property
    def numbers(self) -> str:
        """The VPI of a VP (`1`), or VPI and VCI of a VC (`1/64`)."""
        return str(self.vpi) if self.vci is None else f"{self.vpi}/{self.vci}"

    def __str__(self) -> str:
        return f"{self.link} {self.numbers}"


def entry_of(name: str, place: Place) -> str:
    """The entry of the VC table that a connection is made for: `vps.NAME` for a whole VP, `vcs.NAME` for a VC."""
    return f"{'vps' if place.vci is None else 'vcs'}.{name}"


class Connect(NamedTuple):
    """A cross-connect of a switch in a direction: what comes in at a place leaves at each leaf.

    `name` is that of the VP or VC in the table; `is_second` for the protecting route of a VP.
    """

    name: str
    switch: str
    place: Place
    leaves: tuple[Place, ...]
    is_second: bool = False


class Routes:
    """The routes of a table: `working` and `protection` by VP, and the branches of each permanent VC by its end."""

    def __init__(self) -> None:
        self.working: dict[str, Route] = {}
        self.protection: dict[str, Route] = {}
        self.trees: dict[str, dict[str, Route]] = {}
        self.vcis: dict[str, int] = {}
        self.problems: list[Problem] = []

    def of(self, name: str) -> list[Route]:
        """The routes of a VP: the working route, and that which protects it."""
        return [routes[name] for routes in (self.working, self.protection) if name in routes]

    def cross_connects(self, switch: str) -> list[Connect]:
        """The cross-connects of a switch, in the table's order: each VP's both directions, then VCs from their root."""
        out = []
        for routes, is_second in ((self.working, False), (self.protection, True)):
            for name, route in routes.items():
                for one, other in _passes(route, switch):
                    out += [Connect(name, switch, one, (other,), is_second), Connect(name, switch, other, (one,),
                                                                                     is_second)]
        for name, branches in self.trees.items():
            out += _of_tree(name, branches, self.vcis[name], switch)
        return out


def _passes(route: Route, switch: str) -> Iterator[tuple[Place, Place]]:
    """The places before and behind a switch on a route."""
    for at, node in enumerate(route.nodes[1:-1]):
        if node == switch:
            yield Place(route.links[at], route.vpis[at]), Place(route.links[at + 1], route.vpis[at + 1])


def _of_tree(name: str, branches: Mapping[str, Route], vci: int, switch: str) -> Iterator[Connect]:
    """The cross-connect of a permanent VC at a switch; with two ends, that of the way back, too."""
    leaves: dict[Place, list[Place]] = {}
    for route in branches.values():
        for one, other in _passes(route, switch):
            leaf = other._replace(vci=vci)
            if leaf not in (found := leaves.setdefault(one._replace(vci=vci), [])):
                found.append(leaf)
    for place, found in leaves.items():
        yield Connect(name, switch, place, tuple(found))
        if len(branches) == 1:
            yield Connect(name, switch, found[0], (place,))


def find_routes(
    links: Mapping[str, Joint], switches: Iterable[str], vps: Mapping[str, Wanted], vcs: Mapping[str, WantedVc],
) -> Routes:
    """Find all routes; a VP or VC without a route is left out, and its mistake is among `problems`."""
    found, graph, numbers = Routes(), _Graph(links, set(switches)), _Numbers(links)
    ways: dict[str, tuple[str, ...]] = {}
    for name, vp in vps.items():
        way = found_way(graph, ("vps", name, "via"), vp.ends, vp.via, found.problems)
        if way is None:
            continue
        if (clash := numbers.take(way[1][0], vp.vpi, f"vps.{name}")) is not None:
            found.problems.append(Problem(("vps", name, "vpi"), clash))
            continue
        ways[name] = way[1]
        found.working[name] = Route(way[0], way[1], ())
    # A VP has the table's VPI on its first link, so all of these come before the VPIs that are to be chosen.
    for name, route in found.working.items():
        found.working[name] = route._replace(vpis=numbers.number(
            route.links, vps[name].vpi, f"vps.{name}", found.problems, has_first=True))
    for name, vp in vps.items():
        if vp.protect is None or name not in found.working:
            continue
        way = found_way(graph, ("vps", name, "protect"), vp.ends, vp.protect, found.problems, exactly=True)
        if way is not None:
            vpis = numbers.number(way[1], vp.vpi, f"vps.{name}", found.problems, key="protect")
            found.protection[name] = Route(way[0], way[1], vpis)
    for name, vc in vcs.items():
        _grow(found, graph, numbers, name, vc)
    return found


def _grow(found: Routes, graph: _Graph, numbers: _Numbers, name: str, vc: WantedVc) -> None:
    """Lead a permanent VC from its root to each other end, with a single VPI on each link."""
    vpis: dict[str, int] = {}
    branches: dict[str, Route] = {}
    ways = graph.tree(vc.ends[0])
    for end in vc.ends[1:]:
        way = ways.get(end)
        if way is None:
            found.problems.append(Problem(("vcs", name, "ends"), f"no route leads from {vc.ends[0]} to {end}: add a "
                                                                 "link, or a switch between links that are there"))
            return
        nodes, links = way
        for at, link in enumerate(links):
            if link not in vpis:
                taken = numbers.take_vc(link, vc.vpi, vc.vci, f"vcs.{name}", exactly=at == 0)
                if isinstance(taken, str):
                    found.problems.append(Problem(("vcs", name, "vpi"), taken))
                    return
                vpis[link] = taken
        branches[end] = Route(nodes, links, tuple(vpis[link] for link in links))
    found.trees[name] = branches
    found.vcis[name] = vc.vci


def found_way(
    graph: _Graph, path: tuple[str, ...], ends: Sequence[str], via: Sequence[str], problems: list[Problem], *,
    exactly: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The nodes and links of a way, by `via` where that is given or `exactly`; None, and a problem, without a way."""
    one, other = ends
    if not via and not exactly:
        way = graph.tree(one).get(other)
        if way is None:
            problems.append(Problem((*path[:2], "ends"), f"this VP leads nowhere: no link joins {one} and {other}, and "
                                                         "no switches lead from the first to the second; add a link "
                                                         "to [links]"))
        return way
    nodes = (one, *via, other)
    if len(set(nodes)) != len(nodes):
        problems.append(Problem(path, "a route meets each node once: leave out the second"))
        return None
    links = []
    for near, far in pairwise(nodes):
        link = graph.between(near, far)
        if link is None:
            problems.append(Problem(path, f"no link joins {near} and {far}: {graph.told(near)}"))
            return None
        links.append(link)
    for node in via:
        if node not in graph.switches:
            problems.append(Problem(path, f"\"{node}\" is no switch, so no VP passes it: write kind = \"switch\" on "
                                          "the node, or leave it out"))
            return None
    return nodes, tuple(links)


def reached(links: Iterable[tuple[str, str]], switches: Iterable[str], root: str) -> set[str]:
    """The nodes to which a way leads from a node, over switches."""
    passed, found, waiting = {root, *switches}, {root}, [root]
    neighbours: dict[str, list[str]] = {}
    for one, other in links:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    while waiting:
        for far in neighbours.get(waiting.pop(), ()):
            if far not in found:
                found.add(far)
                waiting += [far] if far in passed else []
    return found


class _Graph:
    """Nodes and the links between them; only switches lie on a way."""

    def __init__(self, links: Mapping[str, Joint], switches: set[str]) -> None:
        self.links = links
        self.switches = switches
        self.order = {name: number for number, name in enumerate(links)}
        self._at: dict[str, list[str]] = {}
        self._trees: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {}
        for name, joint in links.items():
            for end in joint.ends:
                self._at.setdefault(end, []).append(name)

    def between(self, one: str, other: str) -> str | None:
        """The first link in the table that joins two nodes."""
        return next((name for name in self._at.get(one, ()) if self.links[name].far(one) == other), None)

    def told(self, node: str) -> str:
        """The neighbours of a node, for a message."""
        names = ", ".join(self.links[name].far(node) for name in self._at.get(node, ()))
        return f"the links of {node} lead to {names}" if names else f"{node} has no link"

    def tree(self, root: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """The best way from a node to each other: the nodes and links of each."""
        if root in self._trees:
            return self._trees[root]
        best: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        # Delay, hops and then the links' places in the table: no two ways are equal.
        heap: list[tuple[int, int, tuple[int, ...], str, tuple[str, ...], tuple[str, ...]]] = [
            (0, 0, (), root, (root,), ())]
        while heap:
            delay, hops, order, node, nodes, links = heappop(heap)
            if node in best:
                continue
            best[node] = nodes, links
            if node != root and node not in self.switches:
                continue
            for name in self._at.get(node, ()):
                joint = self.links[name]
                far = joint.far(node)
                if far not in best:
                    heappush(heap, (delay + joint.delay, hops + 1, (*order, self.order[name]), far, (*nodes, far),
                                    (*links, name)))
        self._trees[root] = best
        return best


class _Numbers:
    """VPIs in use on each link: by a VP, or by permanent VCs with their VCIs."""

    def __init__(self, links: Mapping[str, Joint]) -> None:
        self._links = links
        self._vps: dict[str, dict[int, str]] = {name: {} for name in links}
        self._vcs: dict[str, dict[int, dict[int, str]]] = {name: {} for name in links}

    def take(self, link: str, vpi: int, name: str) -> str | None:
        """Take the VPI of a VP; return what is wrong, or None."""
        most = self._links[link].most
        if vpi > most:
            return (f"VPI {vpi} does not fit a UNI's 8 bits: write 0 to {most}, or interface = \"nni\" on "
                    f"links.{link}")
        if (other := self._user(link, vpi)) is not None:
            return f"VPI {vpi} is used twice on links.{link}: {other} has it; write {self._told(link)}"
        self._vps[link][vpi] = name
        return None

    def number(
        self, links: Sequence[str], vpi: int, name: str, problems: list[Problem], *, key: str = "vpi",
        has_first: bool = False,
    ) -> tuple[int, ...]:
        """Take a VPI on each link; `has_first` where that of the first is taken already."""
        vpis = [vpi] if has_first else []
        for link in links[len(vpis):]:
            chosen = self._choose(link, vpi, partial(self._is_free, link))
            if chosen is None:
                problems.append(Problem((*name.split(".", 1), key), f"no VPI is free on links.{link}: write interface "
                                                                    "= \"nni\" there, or lead this VP over another "
                                                                    "link"))
                chosen = vpi
            self._vps[link][chosen] = name
            vpis.append(chosen)
        return tuple(vpis)

    def take_vc(self, link: str, vpi: int, vci: int, name: str, *, exactly: bool) -> int | str:
        """Take a VC; return its VPI, or what is wrong. Without `exactly`, a VPI in use is replaced."""
        def is_free(free: int) -> bool:
            return free not in self._vps[link] and vci not in self._vcs[link].get(free, {})

        chosen = self._choose(link, vpi, is_free)
        if chosen is None or (exactly and chosen != vpi):
            if vpi > self._links[link].most:
                return (f"VPI {vpi} does not fit a UNI's 8 bits: write 0 to {self._links[link].most}, or interface = "
                        f"\"nni\" on links.{link}")
            other = self._vps[link].get(vpi) or self._vcs[link][vpi][vci]
            return f"VC {vpi}/{vci} is used twice on links.{link}: {other} has it; write {self._told(link)}"
        self._vcs[link].setdefault(chosen, {})[vci] = name
        return chosen

    def _choose(self, link: str, vpi: int, is_free: Callable[[int], bool]) -> int | None:
        """The VPI where it fits and is free, else the least from 1 up that is."""
        most = self._links[link].most
        if vpi <= most and is_free(vpi):
            return vpi
        return next((free for free in range(1, most + 1) if is_free(free)), None)

    def _is_free(self, link: str, vpi: int) -> bool:
        return self._user(link, vpi) is None

    def _user(self, link: str, vpi: int) -> str | None:
        if vpi in self._vps[link]:
            return self._vps[link][vpi]
        return next(iter(self._vcs[link].get(vpi, {}).values()), None)

    def _told(self, link: str) -> str:
        free = next((vpi for vpi in range(1, self._links[link].most + 1) if self._user(link, vpi) is None), None)
        return "another link" if free is None else f"vpi = {free}"
