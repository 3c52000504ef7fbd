"""Mistakes in servers with rewritten headers: each is told with its place, and what would be right."""

from __future__ import annotations

import socket

import pytest

from atmdepot.config.reading import NetworkError, find, parse
from atmdepot.net.rewrite_parts import parts

GOOD = find("rewrite").read_text()
WEB1 = 'address = ["10.70.0.11", "fd00:70::11"]'
MISTAKES = {
    "no address of a version": (WEB1, 'address = ["10.70.0.11"]', "servers.web1.address"),
    "two of a version": (WEB1, 'address = ["10.70.0.11", "10.70.0.14", "fd00:70::11"]', "servers.web1.address"),
    "another server's": (WEB1, 'address = ["10.70.0.13", "fd00:70::11"]', "servers.web1.address"),
    "a pool without its source": ('source = "depot"\n', "", "servers.web3.pool"),
    "a source without its pool": ('pool = ["10.71.0.1", "fd00:71::1"]\n', "", "servers.web3.pool"),
    "a pool without a version": ('"10.71.0.1", ', "", "servers.web3.pool"),
    "a VIP in the pool": ('"10.71.0.1", ', '"10.80.0.1", ', "servers.web3.pool"),
    "a server in the pool": ('"10.71.0.1", ', '"10.70.0.11", ', "servers.web3.pool"),
    "a group in the pool": ('"10.71.0.1", ', '"224.0.0.9", ', "servers.web3.pool"),
    "an address twice": ('"10.71.0.1", ', '"10.71.0.1", "10.71.0.1", ', "servers.web3.pool"),
    "a port for several": ("ports = [80]", "ports = [80, 81]", "servers.web2.listen_port"),
    "every port of a server that sees its clients": ("ports = [80]", "", "servers.web1.source"),
    "the TUN device": (WEB1, WEB1 + '\nport = "atm0"', "servers.web1.port"),
    "a MAC address": (WEB1, WEB1 + '\nmac = "02:00:00:00:00:01"', "servers.web1.mac"),
    "a pool on Ethernet": ('bearer = "rewrite"\n' + WEB1, f'bearer = "ethernet"\nport = "eth1"\npool = []\n{WEB1}',
                           "servers.web1.pool"),
    "a second depot": ('[nodes.depot]', '[nodes.other]\nkind = "depot"\n[nodes.depot]', "servers.web1.bearer"),
}


@pytest.mark.parametrize(("old", "new", "place"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_told_at_its_place(old: str, new: str, place: str) -> None:
    assert old in GOOD
    with pytest.raises(NetworkError) as caught:
        parse(GOOD.replace(old, new, 1))
    assert place in str(caught.value)


def test_host_needs_a_way_back_for_each_server() -> None:
    found = [part.text for part in parts(parse(GOOD), "depot", 7)]
    assert {"rule from 10.70.0.11 lookup 5200", "rule from fd00:70::12 lookup 5200", "route 10.71.0.1 dev atm0",
            "IPv6 route default dev atm0 table 5200"} <= set(found)
    assert not [text for text in found if "10.70.0.13" in text], "a pool stands for its clients"
    assert len(found) == len(set(found))


def test_depot_of_a_set_does_not_answer_for_a_pool_before_it_is_active() -> None:
    network = parse(find("rewrite-standby").read_text())
    made = list(parts(network, "depot2", 7))
    assert "proxy" not in {part.what for part in made}
    assert {"rule iif eth1 lookup 5201", "IPv6 rule iif eth1 lookup 5201", "route 10.71.0.1 dev atm0",
            "route default dev atm0 table 5201"} <= {part.text for part in made}


def test_host_leads_all_of_an_interface_here_and_answers_for_a_pool_there() -> None:
    table = GOOD.replace(WEB1, WEB1 + '\nport = "eth1"').replace('source = "depot"', 'source = "depot"\nport = "eth1"')
    made = list(parts(parse(table), "depot", 7))
    rules = [part.arguments for part in made if part.what == "rule"]
    assert [rule["family"] for rule in rules if rule.get("iifname") == "eth1"] == [socket.AF_INET, socket.AF_INET6]
    assert "10.70.0.11" not in {rule.get("src") for rule in rules}
    assert [part.arguments for part in made if part.what == "proxy"] == [
        {"address": address, "port": "eth1"} for address in ("10.71.0.1", "fd00:71::1")]
    assert all(part.stays for part in made if part.what in ("rule", "proxy"))
