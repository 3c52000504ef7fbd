"""The table `mesh`: edge nodes reach each other over a switch, and the switch copies a group's cells to both."""

from __future__ import annotations

import pytest

from atmdepot.config.derived import derived
from atmdepot.config.reading import load
from atmdepot.drops import DropReason
from atmdepot.net.kinds import agent_of
from tests.ip_packets import SYN, tcp, udp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork


@pytest.mark.parametrize(("here", "there"), [("10.81.1.1", "10.81.2.1"), ("fd00:81:1::1", "fd00:81:2::1")])
def test_edge_nodes_reach_each_other_over_the_switch(here: str, there: str) -> None:
    net = InMemoryNetwork(load("mesh"))
    packet, answer = udp(here, 7, there, 9, bytes(3000)), udp(there, 9, here, 7)
    assert net.from_server("web1", packet) == {"web2": [packet]}
    assert net.from_server("web2", answer) == {"web1": [answer]}
    assert {(sender, receiver) for sender, receiver, _ in net.seen} == {
        ("web1", "sw1"), ("sw1", "web2"), ("web2", "sw1"), ("sw1", "web1")}, "nothing passes the depot"
    assert net.dropped() == {}


def test_the_depot_sends_a_group_s_packet_once_and_the_switch_copies_it() -> None:
    net = InMemoryNetwork(load("mesh"))
    packet = udp(CLIENT4, 7, "239.80.0.7", 9, b"news")
    assert net.to_service(packet) == {"web1": [packet], "web2": [packet]}
    assert [(sender, receiver) for sender, receiver, _ in net.seen if sender == "depot"] == [("depot", "sw1")]
    assert net.to_service(udp(CLIENT4, 7, "239.81.0.7", 9)) == {}
    assert net.dropped() == {DropReason.MULTICAST: 1}


def test_check_the_switch_and_the_ends_name_circuits_alike() -> None:
    net = InMemoryNetwork(load("mesh"))
    checked = {row["name"] for row in derived(net.network)["cross_connects"]}
    crossed = {row.carries for row in agent_of(net.switches["sw1"]).vcs(99, lambda: net.now)}
    assert crossed == checked == {"vps.web1", "vps.web2", "vps.web1-web2", "vcs.news"}
    of_circuits = {"vps.web1-web2", "vcs.news"}
    for name in ("web1", "web2"):
        agent, edge = agent_of(net.edges[name]), net.edges[name]
        assert {agent.carries(vc) for link in edge.links.values() for vc in link.table} == {"many", *of_circuits}


def test_sessions_go_on_beside_them() -> None:
    net = InMemoryNetwork(load("mesh"))
    for port in (4000, 4001):
        request = tcp(CLIENT4, port, VIP4, 80, SYN)
        assert list(net.to_service(request).values()) == [[request]]
    assert net.dropped() == {}
