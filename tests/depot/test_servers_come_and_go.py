"""Servers that a reload takes out and puts back: one server a name while anything refers to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.bearers import over_each_bearer
from tests.depot.playbook import Playbook
from tests.depot.servers import kill
from tests.depot.test_flows import take_from_pool, take_from_table
from tests.network_in_memory import InMemoryNetwork, make_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network

pytestmark = over_each_bearer

TAKEN = pytest.mark.parametrize("take", [take_from_pool, take_from_table], ids=["out of the pool", "out of the table"])


def bounded(bound: int) -> Network:
    network = make_network()
    servers = {name: msgspec.structs.replace(server, max_sessions=bound) for name, server in network.servers.items()}
    return msgspec.structs.replace(network, servers=servers)


def put_back(net: InMemoryNetwork, network: Network | None = None) -> None:
    net.depot.reconfigure(make_network() if network is None else network, net.now)


@TAKEN
def test_sessions_of_a_server_that_comes_back_count(take: Callable[[InMemoryNetwork, str], None]) -> None:
    play = Playbook(bounded(5))
    net = play.net
    for play.port in range(4000, 4010):
        play.open()
    web1 = net.depot.management.servers["web1"]
    take(net, "web1")
    put_back(net, bounded(5))
    assert net.depot.management.servers["web1"] is web1
    assert (web1.primary_sessions, web1.total_sessions) == (5, 5)
    for play.port in range(5000, 5006):
        assert play.client >> "S seq=1" == "no-server"
    assert Counter(session.server.name for session in net.depot.sessions.primary.values()) == {"web1": 5, "web2": 5}
    kill(web1, net.now)
    assert not any(session.server.alive for session in net.depot.sessions.primary.values()
                   if session.server.name == "web1")


@TAKEN
@pytest.mark.parametrize("sessions", [0, 4])
def test_draining_outlasts_its_absence(take: Callable[[InMemoryNetwork, str], None], sessions: int) -> None:
    play = Playbook()
    for play.port in range(4000, 4000 + sessions):
        play.open()
    play.net.depot.management.servers["web1"].draining = True
    take(play.net, "web1")
    put_back(play.net)
    assert play.net.depot.management.servers["web1"].draining
    for play.port in range(5000, 5004):
        assert play.client >> "S seq=1" == "web2"


@TAKEN
@pytest.mark.parametrize("established", [True, False])
@pytest.mark.parametrize("reselect", ["true", "false"])
def test_port_of_a_session_on_a_removed_server_may_be_used_at_once(
        take: Callable[[InMemoryNetwork, str], None], established: bool, reselect: str) -> None:
    play = Playbook(make_network(tables=f"[sessions]\nreselect = {reselect}"))
    if established:
        assert play.open() == "web1"
    else:
        assert play.client >> "S seq=100" == "web1"
    take(play.net, "web1")
    again = play.client >> "S seq=100"
    assert again == ("web2" if reselect == "true" and not established else "web1")
    assert play.client >> "S seq=777" == "web2"
    for _ in range(5):
        play.wait("1s")
        assert play.client >> "S seq=777" == "web2"
    assert play.net.dropped() == {}


@TAKEN
def test_live_session_goes_on_without_its_server_in_the_table(take: Callable[[InMemoryNetwork, str], None]) -> None:
    play = Playbook()
    assert play.open() == "web1"
    take(play.net, "web1")
    for n in range(100):
        play.wait("10s")
        assert play.client >> f"A seq={101 + n} ack=301 len=1" == "web1"
        assert play.server >> f"A seq=301 ack={102 + n}" == "client"
    play.close(client_next=201)


def test_removed_server_without_sessions_is_forgotten() -> None:
    play = Playbook()
    net = play.net
    assert play.open() == "web1"
    take_from_table(net, "web1")
    management = net.depot.management
    assert list(management._removed) == ["web1"]
    play.close()
    take_from_table(net, "web1")
    assert list(management._removed) == ["web1"], "late packets may still come"
    play.wait("3min")
    take_from_table(net, "web1")
    assert management._removed == {}
    put_back(net)
    assert management.servers["web1"].total_sessions == 0


def test_condition_is_learnt_anew_with_the_next_probe() -> None:
    """Reports of the time before say nothing; they are no silence now."""
    play = Playbook()
    assert play.open() == "web1"
    web1 = play.net.depot.management.servers["web1"]
    kill(web1, play.net.now)
    web1.load = 0.7
    web1.condition.reported_at = play.net.now
    take_from_table(play.net, "web1")
    play.wait("1h")
    put_back(play.net)
    play.net.depot.handle_timer(play.net.now)
    assert (web1.alive, web1.load, web1.condition.reported_at) == (True, None, None)
