"""Gateways of servers without edge nodes in a VC table: each mistake is told at its place, with what to write."""

from __future__ import annotations

import pytest

from atmdepot.config.derived import derived
from atmdepot.config.reading import find, parse
from atmdepot.config.server_gateways import pools_that_move, server_gateways
from tests.config.test_set_rules import STANDBY, problems_of

TABLE = find("ethernet-standby").read_text(encoding="utf-8")
KEY = 'server_gateway = ["10.62.0.1/24", "fd00:62::1/64"]\n'
WEB2 = 'port = "eth1"\naddress = ["10.62.0.12", "fd00:62::12"]'
THIRD = '\n[nodes.depot3]\nkind = "depot"\n'

MISTAKES: dict[tuple[str, str], str] = {
    (KEY, ""): 'depots.main.server_gateway: answers for 10.80.0.1 from the servers at "eth1" need an IPv4 address',
    (', "fd00:62::1/64"]', "]"): 'depots.main.server_gateway: answers for fd00:80::1 from the servers at "eth1" need',
    ("10.62.0.1/24", "10.63.0.1/24"): "depots.main.server_gateway: no server on Ethernet has an address in 10.63.",
    ("10.62.0.1/24", "10.62.0.11/24"): "depots.main.server_gateway: 10.62.0.11 is already taken by servers.web1",
    ('"10.62.0.1/24"', '"10.62.0.1/24", "10.62.0.1/24"'):
        "depots.main.server_gateway: 10.62.0.1 is already taken by server_gateway itself",
    ("10.62.0.1/24", "10.9.0.1/24"): "depots.main.server_gateway: 10.9.0.1 is already taken by gateway, on the",
    ("10.62.0.1/24", "10.80.0.1/24"): "depots.main.server_gateway: 10.80.0.1 is already taken by the VIP of a service",
    ("10.62.0.1/24", "10.62.0.1"): "depots.main.server_gateway.0: '10.62.0.1' is no address with a prefix",
    ('standby = "warm"', 'standby = "hot"\nwatch = { depot1 = "client", depot2 = "client" }'):
        "depots.main.standby: a hot standby sees what servers send, and a server on Ethernet sends to the active",
    ('interface = "client"', 'interface = "eth1"'): 'depots.main.interface: "eth1" leads to servers: write the',
    (WEB2, WEB2.replace("eth1", "eth2").replace(":62:", ":63:").replace(".62.", ".63.")):
        'depots.main.server_gateway: answers for 10.80.0.1 from the servers at "eth2" need an IPv4 address',
    ("\n[servers.web1]", f"{THIRD}[servers.web1]"):
        "servers.web1.bearer: a server on Ethernet answers to one set of depots, and this table has 2",
    ('bearer = "ethernet"\nport = "eth1"\naddress = ["10.62.0.11", "fd00:62::11"]',
     'bearer = "rewrite"\naddress = ["10.62.0.11", "fd00:62::11"]'):
        "servers.web1.port: its way back moves with the active depot of the set",
}

REWRITTEN = find("rewrite-standby").read_text(encoding="utf-8")
FORWARD = 'server_gateway = ["10.63.0.1/24", "fd00:63::1/64"]\n'
OTHER_PORT = 'port = "eth1"\naddress = ["10.70.0.12"'
OF_REWRITTEN: dict[tuple[str, str], str] = {
    (FORWARD, ""): 'depots.main.server_gateway: answers for 10.80.0.1 from the servers at "eth1" need an IPv4 address '
                   "that moves with the active depot, to which the default route of these servers, or of the router",
    (', "fd00:63::1/64"]', "]"): 'depots.main.server_gateway: answers for fd00:80::1 from the servers at "eth1" need',
    ("10.63.0.1/24", "10.70.0.11/24"): "depots.main.server_gateway: 10.70.0.11 is already taken by servers.web1",
    ("10.63.0.1/24", "10.71.0.1/24"): "depots.main.server_gateway: 10.71.0.1 is already taken by servers.web3",
    (OTHER_PORT, OTHER_PORT.replace("eth1", "eth2")):
        "depots.main.server_gateway: no server at any of these ports has an address in 10.63.0.0/24",
    ('port = "eth1"\n', ""): "servers.web1.port: its way back moves with the active depot of the set: write the",
    ('standby = "warm"', 'standby = "hot"\nwatch = { depot1 = "client", depot2 = "client" }'):
        "depots.main.standby: a hot standby sees what servers send, and a server with rewritten headers sends to the",
    ('interface = "client"', 'interface = "eth1"'): 'depots.main.interface: "eth1" leads to servers: write the',
    ("\n[servers.web1]", f"{THIRD}[servers.web1]"):
        "servers.web1.bearer: its answers come back to one set of depots, and this table has 2 (main, depot3)",
}


@pytest.mark.parametrize(("old", "new"), MISTAKES)
def test_mistake_is_told_at_its_place_with_what_to_write(old: str, new: str) -> None:
    assert old in TABLE
    found = problems_of(TABLE.replace(old, new, 1))
    assert any(problem.startswith(MISTAKES[old, new]) for problem in found), found


@pytest.mark.parametrize(("old", "new"), OF_REWRITTEN)
def test_mistake_in_the_way_back_of_rewritten_headers_is_told_at_its_place(old: str, new: str) -> None:
    assert old in REWRITTEN
    found = problems_of(REWRITTEN.replace(old, new, 1))
    assert any(problem.startswith(OF_REWRITTEN[old, new]) for problem in found), found


def test_gateway_of_servers_behind_a_router_and_the_pool_are_at_the_one_port() -> None:
    network = parse(REWRITTEN)
    of = network.sets["main"]
    assert server_gateways(network, of) == {"eth1": ["10.63.0.1/24", "fd00:63::1/64"]}
    assert pools_that_move(network, of) == {"eth1": ["10.71.0.1", "fd00:71::1"]}
    alone = parse(find("rewrite").read_text(encoding="utf-8"))
    assert pools_that_move(alone, alone.set_of("depot")) == {}


def test_gateway_in_the_network_of_a_server_is_at_its_port() -> None:
    changed = REWRITTEN.replace(OTHER_PORT, OTHER_PORT.replace("eth1", "eth2").replace("10.70", "10.72")).replace(
        "fd00:70::12", "fd00:72::12").replace(FORWARD, 'server_gateway = ["10.70.0.1/24", "fd00:70::1/64", '
                                              '"10.72.0.1/24", "fd00:72::1/64"]\n')
    network = parse(changed)
    assert server_gateways(network, network.sets["main"]) == {
        "eth1": ["10.70.0.1/24", "fd00:70::1/64"], "eth2": ["10.72.0.1/24", "fd00:72::1/64"]}


def test_a_set_without_servers_on_ethernet_and_a_lone_depot_have_no_such_gateway() -> None:
    found = problems_of(STANDBY.replace('interface = "client"\n', f'interface = "client"\n{KEY}', 1))
    assert any("no server of this table is on Ethernet or has rewritten headers" in problem for problem in found), found
    alone = f'name = "x"\nnodes.depot1.kind = "depot"\n[depots.main]\nnodes = ["depot1"]\n{KEY}'
    found = problems_of(alone + TABLE[TABLE.index("[servers.web1]"):])
    assert any(one.startswith("depots.main.server_gateway: this set has a single depot") for one in found), found


def test_each_gateway_is_at_the_port_of_the_servers_in_its_network() -> None:
    two = TABLE.replace(WEB2, WEB2.replace("eth1", "eth2").replace(":62:", ":63:").replace(".62.", ".63."), 1)
    network = parse(two.replace(KEY, KEY[:-2] + ', "10.63.0.1/24", "fd00:63::1/64"]\n', 1))
    assert server_gateways(network, network.sets["main"]) == {
        "eth1": ["10.62.0.1/24", "fd00:62::1/64"], "eth2": ["10.63.0.1/24", "fd00:63::1/64"]}
    assert [row["server_gateway"] for row in derived(network)["sets"]] == [
        ["10.62.0.1/24", "fd00:62::1/64", "10.63.0.1/24", "fd00:63::1/64"]] * 2


def test_one_depot_before_servers_on_ethernet_needs_none() -> None:
    network = parse(find("ethernet").read_text(encoding="utf-8"))
    assert server_gateways(network, network.set_of("depot")) == {}
