"""Routes, numbers and cross-connects on small graphs, against brute force over all simple paths."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from atmdepot.config.reading import load, shipped_tables
from atmdepot.config.routes import Connect, Joint, Place, Route, Routes, find_routes, reached
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDS, SWITCHES = ["a", "b", "c"], ["s1", "s2", "s3", "s4"]
FEW = 3
"""The greatest VPI of most links, so that numbers run out."""


@dataclass(frozen=True)
class Vp:
    ends: tuple[str, str]
    vpi: int
    via: tuple[str, ...] = ()
    protect: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Vc:
    ends: tuple[str, ...]
    vpi: int
    vci: int


@dataclass(frozen=True)
class Table:
    links: Mapping[str, Joint]
    vps: Mapping[str, Vp]
    vcs: Mapping[str, Vc]

    def routes(self) -> Routes:
        return find_routes(self.links, SWITCHES, self.vps, self.vcs)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Up to three end nodes and four switches, some of them on a ring; few delays, so that ways tie."""
    pairs = [(one, other) for number, one in enumerate(ENDS + SWITCHES) for other in (ENDS + SWITCHES)[number + 1:]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=4, max_size=10))
    links = {f"{one}-{other}": Joint((one, other), draw(st.integers(0, 2)), draw(st.sampled_from([FEW, FEW, 255])))
             for one, other in chosen}
    numbers, vcis = st.integers(1, 4), st.integers(32, 33)
    pair = st.permutations(ENDS).map(lambda ends: (ends[0], ends[1]))
    vias = st.lists(st.sampled_from(SWITCHES), max_size=3).map(tuple)
    vp = st.builds(Vp, pair, numbers, st.sampled_from([(), (), ()]) | vias, st.none() | vias)
    vc = st.builds(Vc, pair | st.permutations(ENDS).map(tuple), numbers, vcis)
    vps = {f"vp{number}": one for number, one in enumerate(draw(st.lists(vp, max_size=5)))}
    vcs = {f"vc{number}": one for number, one in enumerate(draw(st.lists(vc, max_size=3)))}
    return Table(links, vps, vcs)


def simple_paths(links: Mapping[str, Joint], at: str, to: str, passed: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The links of each way from a node to another over switches that it has not passed."""
    if at == to:
        yield ()
        return
    if len(passed) > 1 and at not in SWITCHES:
        return
    for name, joint in links.items():
        if at in joint.ends and (far := joint.far(at)) not in passed:
            for rest in simple_paths(links, far, to, (*passed, far)):
                yield name, *rest


def best(links: Mapping[str, Joint], one: str, other: str) -> tuple[str, ...] | None:
    order = list(links)
    return min(simple_paths(links, one, other, (one,)), default=None, key=lambda way: (
        sum(links[name].delay for name in way), len(way), [order.index(name) for name in way]))


def along(links: Mapping[str, Joint], nodes: tuple[str, ...]) -> tuple[str, ...] | None:
    """The links between nodes in order, if there are."""
    found = []
    for near, far in pairwise(nodes):
        there = [name for name, joint in links.items() if set(joint.ends) == {near, far}]
        if not there:
            return None
        found.append(there[0])
    return tuple(found) if len(set(nodes)) == len(nodes) else None


@given(tables())
@examples(120)
def test_a_route_is_the_best_of_all_ways(table: Table) -> None:
    found = table.routes()
    told = Counter(problem.path[1] for problem in found.problems)
    for name, vp in table.vps.items():
        way = along(table.links, (vp.ends[0], *vp.via, vp.ends[1])) if vp.via else best(table.links, *vp.ends)
        if name in found.working:
            assert found.working[name].links == way
            assert [found.working[name].nodes[0], found.working[name].nodes[-1]] == list(vp.ends)
        else:
            assert told[name]
            clashes = way is not None and (vp.vpi > table.links[way[0]].most or any(
                route.links[0] == way[0] and table.vps[other].vpi == vp.vpi for other, route in found.working.items()))
            assert way is None or clashes
        if name in found.protection:
            assert found.protection[name].links == along(table.links, (vp.ends[0], *(vp.protect or ()), vp.ends[1]))
        elif vp.protect is not None and name in found.working:
            assert told[name]


@given(tables())
@examples(120)
def test_numbers_are_used_once_on_each_link(table: Table) -> None:
    found = table.routes()
    if any("no VPI is free" in problem.message for problem in found.problems):
        return
    of_vps: Counter[tuple[str, int]] = Counter()
    of_vcs: Counter[tuple[str, int, int]] = Counter()
    for routes in (found.working, found.protection):
        for route in routes.values():
            of_vps.update(zip(route.links, route.vpis, strict=True))
    for name, branches in found.trees.items():
        tree = {pair for route in branches.values() for pair in zip(route.links, route.vpis, strict=True)}
        assert len({link for link, _ in tree}) == len(tree), "a tree has a single VPI on each link"
        of_vcs.update((link, vpi, table.vcs[name].vci) for link, vpi in tree)
        for route in branches.values():
            assert route.vpis[0] == table.vcs[name].vpi
    assert set(of_vps.values()) | set(of_vcs.values()) <= {1}
    assert not set(of_vps) & {(link, vpi) for link, vpi, _ in of_vcs}
    assert all(vpi <= table.links[link].most for link, vpi in [*of_vps, *((link, vpi) for link, vpi, _ in of_vcs)])
    for name, route in found.working.items():
        assert route.vpis[0] == table.vps[name].vpi


@given(tables())
@examples(120)
def test_cross_connects_are_exactly_the_routes(table: Table) -> None:
    """Cells that follow them come from each end to the other, and no cross-connect is left over."""
    found = table.routes()
    if any("no VPI is free" in problem.message for problem in found.problems):
        return
    event(f"{min(len(found.working), 3)} VPs or more, {min(len(found.trees), 2)} trees or more, "
          f"{min(len(found.protection), 1)} protected or more")
    connects = {switch: found.cross_connects(switch) for switch in SWITCHES}
    used: set[tuple[str, Place]] = set()
    # A VP's two routes may meet in a switch here; the rules of tables refuse that.
    for routes, is_second in ((found.working, False), (found.protection, True)):
        for name, route in routes.items():
            for way in (route, Route(route.nodes[::-1], route.links[::-1], route.vpis[::-1])):
                last = Place(way.links[-1], way.vpis[-1])
                assert follow(connects, way.nodes[0], Place(way.links[0], way.vpis[0]), table, used) == {
                    (way.nodes[-1], last): 1}
                assert all(connect.name == name for switch in way.nodes[1:-1] for connect in connects[switch]
                           if connect.place.link in way.links and connect.place.vpi == way.vpis[
                               way.links.index(connect.place.link)] and connect.is_second is is_second)
    for name, branches in found.trees.items():
        vc = table.vcs[name]
        ends = {(end, Place(route.links[-1], route.vpis[-1], vc.vci)): 1 for end, route in branches.items()}
        for start in {Place(route.links[0], route.vpis[0], vc.vci) for route in branches.values()}:
            came = follow(connects, vc.ends[0], start, table, used)
            assert came.items() <= ends.items()
            ends = {end: count for end, count in ends.items() if end not in came}
        assert ends == {}
        if len(branches) == 1:
            [(end, route)] = branches.items()
            back = follow(connects, end, Place(route.links[-1], route.vpis[-1], vc.vci), table, used)
            assert back == {(vc.ends[0], Place(route.links[0], route.vpis[0], vc.vci)): 1}
    made = [(switch, connect.place) for switch in SWITCHES for connect in connects[switch]]
    assert len(set(made)) == len(made)
    assert set(made) == used


def follow(connects: Mapping[str, list[Connect]], node: str, place: Place, table: Table,
           used: set[tuple[str, Place]]) -> Counter[tuple[str, Place]]:
    """The places where a cell that a node sends comes out, over switches, and how often; it passes no switch twice."""
    out: Counter[tuple[str, Place]] = Counter()
    waiting = [(table.links[place.link].far(node), place)]
    for _ in range(100):
        if not waiting:
            return out
        at, came = waiting.pop()
        if at not in SWITCHES:
            out[at, came] += 1
            continue
        [connect] = [one for one in connects[at] if one.place == came]
        used.add((at, came))
        waiting += [(table.links[leaf.link].far(at), leaf) for leaf in connect.leaves]
    raise AssertionError("cells go round in a circle")


@given(tables(), st.permutations(SWITCHES))
@examples(60)
def test_it_is_the_same_wherever_it_is_computed(table: Table, switches: list[str]) -> None:
    turned = {name: joint._replace(ends=joint.ends[::-1]) for name, joint in table.links.items()}
    one, other = table.routes(), find_routes(turned, switches, table.vps, table.vcs)
    assert (one.working, one.protection, one.trees) == (other.working, other.protection, other.trees)
    assert [one.cross_connects(switch) for switch in SWITCHES] == [other.cross_connects(switch) for switch in SWITCHES]


@given(tables(), st.sampled_from(ENDS))
@examples(60)
def test_what_is_reached(table: Table, root: str) -> None:
    joined = [joint.ends for joint in table.links.values()]
    found = reached(joined, SWITCHES, root)
    assert found == {root, *(node for node in ENDS + SWITCHES if best(table.links, root, node))}


@pytest.mark.parametrize("name", shipped_tables())
def test_an_end_of_a_route_sees_it_from_its_side(name: str) -> None:
    for route in load(name).routes.working.values():
        one, other = route.nodes[0], route.nodes[-1]
        assert (route.link_at(one), route.vpi_at(one)) == (route.links[0], route.vpis[0])
        assert (route.link_at(other), route.vpi_at(other)) == (route.links[-1], route.vpis[-1])
        assert route.onward(one) == route.nodes[1:]
        assert route.onward(other) == route.nodes[-2::-1]
