"""Two depots whose servers are behind Frame Relay (claim 15): one is killed, and connections go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.standing_by import PAGE, Pair, ask, outcome, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]


@pytest.fixture(scope="module")
def it(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "curl", "nginx", "ip"):
        needs(program)
    with pair("relay-standby", rate="[dlcis.{}]\ncir") as made:
        yield made


def test_the_active_depot_is_killed_and_a_download_and_50_clients_go_on(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(50) as clients, it.download() as download:
        it.lab.kill(active)
        assert outcome(download) == PAGE
        assert ask(clients) == 50
        assert it.role(other) == "active"
        assert it.count("inherited", other) >= 51
        it.lab.start(active)
        it.settled()
        assert it.atmdepot("takeover", "--node", active).returncode == 0
        it.settled()
        assert ask(clients) == 50


def test_a_depot_gets_sessions_back_from_the_edge_nodes_alone(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients:
        # Both are killed, so no depot has told another of these sessions.
        for name in (active, other):
            it.lab.kill(name)
        it.lab.start(active)
        it.lab.start(other)
        it.settled()
        assert ask(clients) == 20
        # What a server sends again before it has its client's ACK adopts its session before the edge nodes are asked.
        assert sum(it.count(counter, name) for counter in ("recalled", "known") for name in (active, other)) >= 20
        assert it.count("adopted", active) + it.count("adopted", other) >= 20
