"""Servers that stand alone in the plan of a lab: their nodes, wires, addresses and gateways."""

from __future__ import annotations

from atmdepot.config.reading import load
from atmdepot.lab.plan import LAN, plan_of
from atmdepot.lab.servers import SERVER
from atmdepot.lab.web import web_servers


def test_a_port_for_each_server_is_a_wire_for_each() -> None:
    plan = plan_of(load("ports"))
    assert plan.nodes == {"client": "client", "depot": "depot", "web1": SERVER, "web2": SERVER}
    wires = {wire.name: [(end.node, end.name) for end in wire.ends] for wire in plan.wires}
    assert wires["web1.eth0"] == [("depot", "eth1"), ("web1", "eth0")]
    assert wires["web2.eth0"] == [("depot", "eth2"), ("web2", "eth0")]
    assert (plan.daemons, plan.routers) == ({"depot": "depot"}, ["depot"])


def test_servers_at_one_port_share_a_lan_and_the_depot_is_their_gateway() -> None:
    plan = plan_of(load("ethernet"))
    assert plan.nodes["ethernet.eth1"] == LAN
    assert "10.62.0.1" in plan.gateways["web1"]
    assert set(plan.gateways["web3"]) == {"10.62.0.1", "fd00:62::1"}
    for gateways in plan.gateways.values():
        assert sorted(":" in gateway for gateway in gateways) == [False, True], "clients of both versions are answered"
    assert plan.loopback["web2"] == ("10.80.0.1", "fd00:80::1")


def test_each_has_a_web_server() -> None:
    assert [(web.name, web.node) for web in web_servers(load("mixed"))] == [
        ("web1", "web1"), ("web2", "web2")]
