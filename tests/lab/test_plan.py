from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import find, parse
from atmdepot.errors import AtmdepotError
from atmdepot.lab.plan import Address, Plan, Route, plan_of
from tests.circuits import MESH

if TYPE_CHECKING:
    from atmdepot.config.model import Network

DIRECT = find("direct").read_text()


def changed(*changes: tuple[str, str]) -> Network:
    text = DIRECT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse(text)


def interfaces(plan: Plan) -> dict[tuple[str, str], tuple[Address, ...]]:
    return {(end.node, end.name): end.addresses for wire in plan.wires for end in wire.ends}


def test_a_table_becomes_nodes_wires_and_addresses() -> None:
    plan = plan_of(changed())
    assert plan.nodes == {"client": "client", "depot": "depot", "web1": "edge", "web2": "edge"}
    assert interfaces(plan) == {
        ("depot", "client"): (Address("10.9.0.1", 24), Address("fd00:9::1", 64)),
        ("client", "depot"): (Address("10.9.0.2", 24), Address("fd00:9::2", 64)),
        ("depot", "to-web1"): (Address("172.31.1.1", 32, "172.31.1.2"),),
        ("web1", "to-web1"): (Address("172.31.1.2", 32, "172.31.1.1"),),
        ("depot", "to-web2"): (Address("172.31.2.1", 32, "172.31.2.2"),),
        ("web2", "to-web2"): (Address("172.31.2.2", 32, "172.31.2.1"),),
    }
    assert plan.routes == (Route("", ("10.9.0.1",)), Route("", ("fd00:9::1",)))
    assert plan.routers == ["depot", "web1", "web2"]


def test_a_node_may_use_one_address_on_many_links() -> None:
    plan = plan_of(changed(("172.31.2.1:5502", "172.31.1.1:5502")))
    assert interfaces(plan)["depot", "to-web2"] == (Address("172.31.1.1", 32, "172.31.2.2"),)


def test_ipv6_ends_are_host_addresses_too() -> None:
    plan = plan_of(changed(("172.31.2.1:", "[fd00::1]:"), ("172.31.2.2:", "[fd00::2]:")))
    assert interfaces(plan)["web2", "to-web2"] == (Address("fd00::2", 128, "fd00::1"),)


def test_wires_are_wide_enough_for_a_datagram() -> None:
    assert plan_of(changed()).wires[1].mtu == 1500
    assert plan_of(changed(("cells = 27", "cells = 180"))).wires[1].mtu == 180 * 53 + 48
    assert plan_of(changed(("cells = 27", "cells = 1235"))).wires[1].mtu == 1235 * 53 + 48
    assert plan_of(changed(), client_mtu=9180).wires[0].mtu == 9180


@pytest.mark.parametrize("name", ["a-link-with-a-long-name", "client", "atm0", "lo"])
def test_a_link_whose_name_no_interface_can_have_gets_a_number(name: str) -> None:
    plan = plan_of(changed(("links.to-web1", f"links.{name}")))
    assert ("web1", "link0") in interfaces(plan)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("172.31.1.2:5501", "127.0.0.1:5501", "links.to-web1.ends.web1: 127.0.0.1:5501: this address does not lead"),
    ("172.31.1.2:5501", "0.0.0.0:5501", "does not lead from one machine to another"),
    ("172.31.1.2:5501", "web1.example:5501", "needs an IP address here"),
    ("172.31.2.2:5502", "172.31.1.2:5502", "web1 has the same IP address"),
    ("node = \"web1\"", "node = \"web1\"\naddress = [\"10.1.1.1\"]", "leave the address out"),
    ("web1", "client", "the lab adds a node \"client\""),
])
def test_a_table_beyond_the_labs_limits_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(AtmdepotError, match=message):
        plan_of(changed((old, new)))


def test_a_switch_is_a_node_with_wires_that_forwards_no_packets() -> None:
    plan = plan_of(parse(find("switched").read_text()))
    assert plan.nodes == {"client": "client", "depot": "depot", "sw1": "switch", "web1": "edge", "web2": "edge"}
    assert plan.routers == ["depot", "web1", "web2"]
    assert {name for node, name in interfaces(plan) if node == "sw1"} == {"trunk", "to-web1", "to-web2"}
    assert interfaces(plan)["sw1", "to-web2"] == (Address("172.31.12.1", 32, "172.31.12.2"),)


def test_a_link_to_other_peoples_gear_ends_on_loopback() -> None:
    plan = plan_of(changed(("[nodes.web2]\nkind = \"edge\"", "[nodes.web2]\nkind = \"external\"")))
    assert "web2" not in plan.nodes
    assert [end.name for wire in plan.wires for end in wire.ends] == ["client", "depot", "to-web1", "to-web1"]
    assert plan.loopback == {"depot": ("172.31.2.1",)}


def test_networks_of_circuits_stand_on_the_loopback_of_the_node_behind_which_they_are() -> None:
    assert plan_of(parse(MESH)).loopback == {
        "depot": ("10.82.0.1",), "web1": ("10.81.1.1", "fd00:81:1::1"),
        "web2": ("10.81.2.1", "fd00:81:2::1", "10.82.2.1"), "lan3": ("10.81.3.1",)}
    there = MESH.replace('address = ["10.255.0.3", "fd00:255::3"]', 'address = ["10.81.2.9", "fd00:81:2::9"]')
    assert plan_of(parse(there)).loopback["web2"] == ("10.82.2.1",), "it has addresses there already"
