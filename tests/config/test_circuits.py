"""Circuits of a VC table at each of its nodes."""

from __future__ import annotations

import pytest

from atmdepot.config.circuits import circuits_of
from atmdepot.config.reading import NetworkError, parse
from tests.circuits import MESH

TABLE = parse(MESH)
WEB1, WEB2 = ("10.255.0.2/32", "fd00:255::2/128"), ("10.255.0.3/32", "fd00:255::3/128")


def test_each_end_has_its_far_ends_places_and_networks() -> None:
    found = {(node, circuit.name): (circuit.far, circuit.places, circuit.vci, circuit.is_two_way)
             for node in TABLE.nodes for circuit in circuits_of(TABLE, node)}
    assert found == {
        ("depot", "news"): (("web1", "web2"), (("to-web1", 9), ("to-web2", 9)), 100, False),
        ("depot", "console"): (("web2",), (("to-web2", 9),), 101, True),
        ("web1", "web1-web2"): (("web2",), (("between", 7),), 32, True),
        ("web1", "web1-lan3"): (("lan3",), (("to-lan3", 8),), 32, True),
        ("web1", "news"): (("depot",), (("to-web1", 9),), 100, False),
        ("web2", "web1-web2"): (("web1",), (("between", 7),), 32, True),
        ("web2", "news"): (("depot",), (("to-web2", 9),), 100, False),
        ("web2", "console"): (("depot",), (("to-web2", 9),), 101, True),
        ("lan3", "web1-lan3"): (("web1",), (("to-lan3", 8),), 32, True)}


def test_what_an_end_sends_the_other_takes() -> None:
    [between] = [circuit for circuit in circuits_of(TABLE, "web1") if circuit.name == "web1-web2"]
    assert between.sends == ("10.81.2.0/24", "fd00:81:2::/64", *WEB2)
    assert between.takes == ("10.81.1.0/24", "fd00:81:1::/64", *WEB1)
    for node in TABLE.nodes:
        for circuit in circuits_of(TABLE, node):
            for far in circuit.far:
                [other] = [one for one in circuits_of(TABLE, far) if one.name == circuit.name]
                assert other.takes == circuit.sends
                assert len(circuit.far) > 1 or other.sends == circuit.takes


def test_edge_nodes_have_no_sessions_among_them_and_servers_need_a_vp_of_the_depot() -> None:
    with pytest.raises(NetworkError) as caught:
        parse(MESH.replace("vpi = 7\n", 'vpi = 7\nsession_vcis = "200-300"\n'))
    assert "vps.web1-web2.session_vcis" in str(caught.value)
    with pytest.raises(NetworkError) as caught:
        parse(MESH + '[servers.lan3]\nnode = "lan3"\n')
    assert "servers.lan3.node" in str(caught.value)
