"""Servers that stand alone in the plan of a lab: their nodes, wires, addresses and gateways."""

from __future__ import annotations

import pytest

from atmdepot.config.reading import find, load, parse
from atmdepot.errors import AtmdepotError
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


def test_depots_of_a_set_are_on_their_servers_lan_and_an_address_that_moves_is_the_servers_gateway() -> None:
    plan = plan_of(load("ethernet-standby"))
    wires = {wire.name: [address.local for address in wire.ends[0].addresses] for wire in plan.wires}
    assert wires["depot1.eth1"] == ["10.62.0.2", "fd00:62::2"]
    assert wires["depot2.eth1"] == ["10.62.0.3", "fd00:62::3"]
    for server in ("web1", "web2"):
        assert set(plan.gateways[server]) == {"10.62.0.1", "fd00:62::1"}


def test_a_server_without_an_address_in_the_network_of_a_gateway_is_told() -> None:
    text = find("ethernet-standby").read_text(encoding="utf-8")
    assert ', "fd00:62::12"' in text
    with pytest.raises(AtmdepotError, match="no gateway of IPv6 is in one of web2"):
        plan_of(parse(text.replace(', "fd00:62::12"', "")))


def test_a_router_is_between_a_depot_and_servers_with_rewritten_headers() -> None:
    plan = plan_of(load("rewrite"))
    wires = {wire.name: [[address.local for address in end.addresses] for end in wire.ends] for wire in plan.wires}
    assert wires["depot.servers"] == [["10.63.0.1", "fd00:63::1"], ["10.63.0.2", "fd00:63::2"]]
    assert plan.gateways["servers.router"] == ("10.63.0.1", "fd00:63::1")
    assert plan.towards_servers == {"depot": (("10.70.0.0/24", "10.63.0.2"), ("fd00:70::/64", "fd00:63::2"))}


def test_depots_of_a_set_are_on_a_lan_with_the_router_whose_default_route_moves() -> None:
    plan = plan_of(load("rewrite-standby"))
    assert plan.nodes["lan.router"] == LAN
    wires = {wire.name: [address.local for address in wire.ends[0].addresses] for wire in plan.wires}
    assert wires["depot1.eth1"] == ["10.63.0.2", "fd00:63::2"]
    assert wires["depot2.eth1"] == ["10.63.0.3", "fd00:63::3"]
    assert wires["servers.router.depot"] == ["10.63.0.4", "fd00:63::4"]
    assert plan.gateways["servers.router"] == ("10.63.0.1", "fd00:63::1")
    assert plan.gateways["web1"] == ("10.70.0.1", "fd00:70::1")
    ways = (("10.70.0.0/24", "10.63.0.4"), ("fd00:70::/64", "fd00:63::4"))
    assert plan.towards_servers == {"depot1": ways, "depot2": ways}


def test_an_address_of_a_pool_on_the_routers_lan_is_no_hosts() -> None:
    text = find("rewrite-standby").read_text(encoding="utf-8").replace('"10.71.0.1"', '"10.63.0.2"')
    plan = plan_of(parse(text))
    wires = {wire.name: [address.local for address in wire.ends[0].addresses] for wire in plan.wires}
    assert wires["depot1.eth1"] == ["10.63.0.3", "fd00:63::2"]


@pytest.mark.parametrize("gateway", ["10.70.0.1/24", "10.70.0.1/16", "10.63.0.1/30"])
def test_the_labs_router_needs_a_network_between_the_depots_and_the_servers(gateway: str) -> None:
    text = find("rewrite-standby").read_text(encoding="utf-8").replace("10.63.0.1/24", gateway)
    with pytest.raises(AtmdepotError, match="in the lab a router is between the depots and servers"):
        plan_of(parse(text))


def test_the_labs_depots_have_one_way_to_all_servers_with_rewritten_headers() -> None:
    text = find("rewrite-standby").read_text(encoding="utf-8").replace("10.70.0.12", "10.72.0.12").replace(
        "fd00:70::12", "fd00:72::12").replace('port = "eth1"\naddress = ["10.72', 'port = "eth2"\naddress = ["10.72')
    text = text.replace('"10.63.0.1/24", "fd00:63::1/64"',
                        '"10.70.0.1/24", "fd00:70::1/64", "10.72.0.1/24", "fd00:72::1/64"')
    with pytest.raises(AtmdepotError, match="write the same port for each"):
        plan_of(parse(text))
