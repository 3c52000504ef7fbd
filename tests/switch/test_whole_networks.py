"""Whole networks in memory: the shipped tables with switches carry requests to servers and answers back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from atmdepot.config.reading import load
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.statistics import ServerState
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork

TABLES = ["switched", "backbone", "mesh", "compose-switch"]


def later(it: InMemoryNetwork, out: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """The output so far, and that of lines with a rate within 10 ms."""
    it.advance(SECOND // 100)
    return out | it.settle()


@pytest.mark.parametrize("name", TABLES)
def test_requests_and_answers_cross_the_switches(name: str) -> None:
    it = InMemoryNetwork(load(name))
    served = []
    for port in range(40_000, 40_000 + len(it.edges)):
        request, answer = tcp(CLIENT4, port, VIP4, 80, SYN), tcp(VIP4, 80, CLIENT4, port, SYN | ACK)
        [(server, packets)] = later(it, it.to_service(request)).items()
        assert packets == [request]
        assert later(it, it.from_server(server, answer)) == {"depot": [answer]}
        served.append(server)
    assert sorted(served) == sorted(it.edges)
    assert it.dropped() == {}


@pytest.mark.parametrize("name", TABLES)
def test_cells_have_the_numbers_of_their_route_on_each_link(name: str) -> None:
    it = InMemoryNetwork(load(name))
    for server, edge in it.edges.items():
        vp = it.network.vp_between(it.network.depot, server)
        numbers = {frozenset(ends): vpi for route in it.network.routes.of(vp)  # in 1+1 they go by both
                   for ends, vpi in zip(pairwise(route.nodes), route.vpis, strict=True)}
        it.seen.clear()
        edge.send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, it.now)
        later(it, it.settle())
        found: dict[tuple[str, str], set[int]] = {}
        for sender, receiver, cells in it.seen:
            headers = [CellHeader.unpack(cells[at:at + CELL_SIZE]) for at in range(0, len(cells), CELL_SIZE)]
            # Supervised links have idle cells, and VPs OAM cells, of their own.
            if vpis := {header.vpi for header in headers if header.is_user_data}:
                found.setdefault((sender, receiver), set()).update(vpis)
        assert {frozenset(ends): vpis for ends, vpis in found.items()} == {
            ends: {vpi} for ends, vpi in numbers.items()}
        assert list(found)[-1][1] == it.network.depot
