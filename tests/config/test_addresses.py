"""Addresses that no daemon could have or send to are mistakes; what only the lab cannot do is a note."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import NetworkError, parse, shipped_tables
from atmdepot.config.units import TcpAddress, UdpAddress
from atmdepot.errors import AtmdepotError
from atmdepot.lab.limits import lab_problems
from atmdepot.lab.plan import plan_of
from tests.config.test_reading import DIRECT, dump
from tests.effort import examples
from tests.network_in_memory import SECOND, InMemoryNetwork

UNFIT = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "ff02::1", "fe80::1",
         "::ffff:10.0.0.1"]
FIT = ["10.0.0.1", "169.254.1.1", "192.0.2.255", "240.0.0.1", "2001:db8::1", "fd00::1", "::5", "100::1"]
LOOPBACK = ["127.0.0.1", "127.5.5.5", "::1"]


def with_values(*changes: tuple[str, Any]) -> str:
    """The text of `direct` with values at dotted paths."""
    document: dict[str, Any] = copy.deepcopy(tomllib.loads(DIRECT))
    for path, value in changes:
        *keys, last = path.split(".")
        inner = document
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return dump(document)


def ends(depot: str, web1: str, port: int = 5501) -> tuple[str, Any]:
    return "links.to-web1.ends", {"depot": UdpAddress.of(depot, port), "web1": UdpAddress.of(web1, port)}


def places(text: str) -> set[str]:
    """The places of a table's mistakes."""
    try:
        parse(text, "t")
    except NetworkError as error:
        return {problem.split(": ")[1] for problem in error.problems}
    return set()


def far_from(address: str) -> str:
    return "fd00:99::9" if ":" in address else "10.99.0.9"


# What is a mistake.


@pytest.mark.parametrize("address", UNFIT)
@pytest.mark.parametrize("node", ["depot", "web1"])
def test_unreachable_link_ends_are_refused(address: str, node: str) -> None:
    other = far_from(address)
    text = with_values(ends(address, other) if node == "depot" else ends(other, address))
    assert places(text) == {f"links.to-web1.ends.{node}"}


@pytest.mark.parametrize("address", FIT)
def test_end_that_any_machine_may_have(address: str) -> None:
    assert places(with_values(ends(address, far_from(address)))) == set()


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_at_one_end_alone(address: str) -> None:
    assert places(with_values(ends(far_from(address), address))) == {"links.to-web1.ends.web1"}
    both = UdpAddress.of(address, 5501), UdpAddress.of(address, 5502)
    assert places(with_values(("links.to-web1.ends", dict(zip(("depot", "web1"), both, strict=True))))) == set()


@pytest.mark.parametrize(("depot", "web1"), [("10.0.0.1", "fd00::1"), ("::1", "127.0.0.1"), ("fd00::1", "10.0.0.1")])
def test_ends_of_different_versions(depot: str, web1: str) -> None:
    assert places(with_values(ends(depot, web1))) == {"links.to-web1.ends"}


def test_our_end_towards_other_peoples_gear_may_be_any_address() -> None:
    external: tuple[str, Any] = ("nodes.web1", {"kind": "external"})
    assert places(with_values(external, ends("0.0.0.0", "10.0.0.2"))) == set()
    assert places(with_values(external, ends("::", "fd00::2"))) == set()
    assert places(with_values(external, ends("10.0.0.1", "0.0.0.0"))) == {"links.to-web1.ends.web1"}
    assert places(with_values(external, ends("224.0.0.1", "10.0.0.2"))) == {"links.to-web1.ends.depot"}


@pytest.mark.parametrize(("one", "other", "clash"), [
    ("0.0.0.0", "10.0.0.1", True), ("::", "10.0.0.1", True), ("::", "fd00::1", True), ("0.0.0.0", "fd00::1", False),
    ("10.0.0.5", "10.0.0.1", False)])
@pytest.mark.parametrize("swapped", [False, True])
def test_port_at_every_address_of_a_node_is_alone_there(one: str, other: str, clash: bool, swapped: bool) -> None:
    far = {"web1": UdpAddress.of(far_from(one), 7001)}, {"web2": UdpAddress.of(far_from(other), 7002)}
    first, second = {"depot": UdpAddress.of(one, 6000)} | far[0], {"depot": UdpAddress.of(other, 6000)} | far[1]
    links = [("to-web1", first), ("to-web2", second)]
    text = with_values(("nodes.web1.kind", "external"), ("nodes.web2.kind", "external"),
                       ("links", {name: {"ends": ends} for name, ends in (reversed(links) if swapped else links)}))
    assert places(text) == ({f"links.{'to-web1' if swapped else 'to-web2'}.ends.depot"} if clash else set())


@pytest.mark.parametrize("address", [*UNFIT, *LOOPBACK])
@pytest.mark.parametrize(("path", "place"), [
    ("nodes.depot.address", "nodes.depot.address"), ("servers.web1.address", "servers.web1.address"),
    ("services.web.vip", "services.web.vip")])
def test_address_that_no_machine_can_have(path: str, place: str, address: str) -> None:
    assert place in places(with_values((path, [address])))


@pytest.mark.parametrize("address", FIT)
@pytest.mark.parametrize("path", ["nodes.depot.address", "servers.web1.address"])
def test_address_that_any_machine_can_have(path: str, address: str) -> None:
    assert places(with_values((path, [address]))) == set()


def test_addresses_of_a_vip_or_a_link_are_refused() -> None:
    assert places(with_values(("servers.web1.address", ["10.80.0.1"]))) == {"servers.web1.address"}
    assert places(with_values(("nodes.web2.address", ["172.31.1.1"]))) == {"nodes.web2.address"}
    assert places(with_values(("nodes.depot.address", ["172.31.1.1"]))) == set(), "its own"


@pytest.mark.parametrize("address", [address for address in UNFIT if address not in ("0.0.0.0", "::")])
def test_metrics_page_at_no_address(address: str) -> None:
    assert places(with_values(("nodes.depot.metrics", TcpAddress.of(address, 9464)))) == {"nodes.depot.metrics"}


@pytest.mark.parametrize("tun", [".", "..", "lo", "all", "default", "a/b", "", "x" * 16, "a b", "atm0\n"])
def test_name_that_no_device_can_have(tun: str) -> None:
    assert places(with_values(("nodes.depot.tun", tun))) == {"nodes.depot.tun"}


@pytest.mark.parametrize("node", ["depot", "web1"])
def test_device_that_is_too_small_for_ipv6(node: str) -> None:
    assert places(with_values((f"nodes.{node}.mtu", 1279))) == {f"nodes.{node}.mtu"}
    assert places(with_values((f"nodes.{node}.mtu", 1280))) == set()
    only4: tuple[str, Any] = ("services.web.vip", ["10.80.0.1"])
    assert places(with_values((f"nodes.{node}.mtu", 1279), only4)) == set()
    assert places(with_values((f"nodes.{node}.mtu", 1279), only4, (f"nodes.{node}.address", ["fd00:5::1"]))) == {
        f"nodes.{node}.mtu"}


@pytest.mark.parametrize("name", [
    "depot..example", ".example", "x" * 64, ".".join(["x" * 60] * 5), "a\0b", "a/b", "a%b", "*", "\u200b",
    "a\u3002\u3002b"])
def test_name_that_no_host_can_have(name: str) -> None:
    assert places(with_values(("links.to-web1.ends.web1", f"{name}:5501"))) == {"links.to-web1.ends.web1"}
    assert places(with_values(("nodes.depot.metrics", f"{name}:80"))) == {"nodes.depot.metrics"}


@pytest.mark.parametrize("name", [
    "depot", "depot.example", "depot.example.", "a_b-c.example", "bücher.example", "x" * 63])
def test_name_of_a_host(name: str) -> None:
    assert places(with_values(("links.to-web1.ends.web1", f"{name}:5501"))) == set()


def test_a_service_without_the_labs_web_server_is_one_of_the_vc_table() -> None:
    assert places(with_values(("lab.without_web", ["web", "files"]))) == {"lab.without_web"}


@pytest.mark.parametrize("networks", [
    ["127.0.0.0/24"], ["0.0.0.0/24"], ["224.0.0.0/24"], ["fe80::/64"], ["ff00::/64"], ["::/64"], ["::ffff:0:0/120"],
    ["fe80::%eth0/64"], ["10.9.0.0/24", "10.9.0.0/24"], ["10.9.0.0/16", "10.9.1.0/24"], ["fd00:9::/64", "fd00:9::/48"],
    [f"10.9.{n}.0/24" for n in range(17)]])
def test_network_that_the_lab_cannot_have(networks: list[str]) -> None:
    both = [*networks, *(text for text in ("10.7.0.0/24", "fd00:7::/64"))]
    assert places(with_values(("lab.networks", both))) == {"lab.networks"}


def test_edge_node_without_a_vp() -> None:
    assert places(with_values(("nodes.web9.kind", "edge"))) == {"nodes.web9"}
    assert places(with_values(("nodes.web9.kind", "external"))) == set()


# What only the lab cannot do.

LIMITS: dict[str, tuple[list[tuple[str, Any]], set[str]]] = {
    "a loopback address between two machines": ([ends("127.0.0.1", "127.0.0.2")],
                                                {"links.to-web1.ends.depot", "links.to-web1.ends.web1"}),
    "IPv6's": ([("links.to-web1.ends", {"depot": "[::1]:1", "web1": "[::1]:2"})],
               {"links.to-web1.ends.depot", "links.to-web1.ends.web1"}),
    "a name": ([ends("10.0.0.1", "web1.example")], {"links.to-web1.ends.web1"}),
    "a name of gear that is not ours": ([("nodes.web1.kind", "external"), ends("10.0.0.1", "router.example")],
                                        {"links.to-web1.ends.web1"}),
    "one address for two machines": ([ends("172.31.2.2", "172.31.1.2", 7)], {"links.to-web2.ends.web2"}),
    "a server on a LAN": ([("servers.web1.address", ["10.1.1.1"])], {"servers.web1.address"}),
    "a node of the lab's": ([("nodes.client.kind", "external")], {"nodes.client"}),
    "an interface of the lab's": ([("nodes.depot.tun", "client")], {"nodes.depot.tun"}),
    "metrics at an address of another host": ([("nodes.web1.metrics", "192.0.2.1:9464")], {"nodes.web1.metrics"}),
    "metrics at a name": ([("nodes.depot.metrics", "depot.example:9464")], {"nodes.depot.metrics"}),
    "more ports than a web server has": ([("services.web.ports", list(range(1, 4002)))],
                                         {"servers.web1", "servers.web2"}),
    "metrics at the web server's port": ([("nodes.web1.metrics", "0.0.0.0:80")], {"nodes.web1.metrics"}),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_of_the_lab_is_no_mistake(name: str) -> None:
    changes, where = LIMITS[name]
    network = parse(with_values(*changes), "t")
    assert {".".join(problem.path) for problem in lab_problems(network)} == where
    with pytest.raises(AtmdepotError) as caught:
        plan_of(network)
    assert {line.split(": ")[0] for line in str(caught.value).splitlines()} == where


@pytest.mark.parametrize(("node", "metrics"), [
    ("depot", "0.0.0.0:80"), ("depot", "127.0.0.1:9464"), ("web1", "localhost:9464"), ("depot", "172.31.1.1:9464"),
    ("depot", "10.9.0.1:9464"), ("web1", "172.31.1.2:9464"), ("web1", "[::]:9464"), ("web1", "10.80.0.1:9464")])
def test_metrics_pages_that_the_lab_can_have(node: str, metrics: str) -> None:
    assert lab_problems(parse(with_values((f"nodes.{node}.metrics", metrics)))) == []


def test_without_web_servers_their_ports_are_free() -> None:
    network = parse(with_values(("nodes.web1.metrics", "0.0.0.0:80")))
    assert plan_of(network, web=False)
    assert lab_problems(network, web=False) == []


@pytest.mark.parametrize("name", sorted(shipped_tables()))
def test_lab_can_bring_up_every_table_that_ships(name: str) -> None:
    assert lab_problems(parse(shipped_tables()[name].read_text(encoding="utf-8"))) == []


# Any table that is right starts, and has a plan unless the lab's limits say why not.

ADDRESSES = st.sampled_from([*UNFIT, *FIT, *LOOPBACK, "172.31.1.1", "172.31.1.2", "172.31.2.2", "10.80.0.1", "10.9.0.1",
                             "host.example", "fd00:80::1", "localhost"])
PORTS = st.sampled_from([1, 80, 5501, 5502, 65535])
HOSTS = st.builds(UdpAddress.of, ADDRESSES, PORTS)
PLACES: dict[str, st.SearchStrategy[Any]] = {
    **{f"links.to-{web}.ends.{node}": HOSTS for web in ("web1", "web2") for node in ("depot", web)},
    **{f"nodes.{node}.metrics": HOSTS for node in ("depot", "web1")},
    **{f"nodes.{node}.address": st.lists(ADDRESSES, max_size=2) for node in ("depot", "web1")},
    **{f"nodes.{node}.kind": st.sampled_from(["edge", "external"]) for node in ("web1", "web2", "client")},
    **{f"nodes.{node}.tun": st.sampled_from(["client", "to-web1", "lo", "a", "x" * 15]) for node in ("depot", "web1")},
    **{f"nodes.{node}.mtu": st.integers(576, 65527) for node in ("depot", "web1")},
    "servers.web1.address": st.lists(ADDRESSES, max_size=2),
    "services.web.vip": st.lists(ADDRESSES, min_size=1, max_size=2),
    "services.web.ports": st.lists(st.sampled_from([80, 9464, 5501]), max_size=2),
    "lab.networks": st.lists(st.sampled_from(["10.9.0.0/24", "fd00:9::/64", "10.9.0.0/30", "127.0.0.0/8", "fe80::/64",
                                              "172.31.0.0/16"]), max_size=3),
}


@given(st.lists(st.sampled_from(sorted(PLACES)), max_size=4, unique=True), st.data())
@examples(400)
def test_table_that_checks_is_a_table_that_starts(paths: list[str], data: st.DataObject) -> None:
    try:
        network = parse(with_values(*((path, data.draw(PLACES[path], path)) for path in paths)), "t")
    except NetworkError:
        return
    if lab_problems(network):
        with pytest.raises(AtmdepotError):
            plan_of(network)
    else:
        plan = plan_of(network)
        names = [(end.node, end.name) for wire in plan.wires for end in wire.ends]
        assert len(set(names)) == len(names)
        assert not {(node, network.nodes[node].tun) for node in plan.nodes if node in network.nodes} & set(names)
    it = InMemoryNetwork(network)
    it.advance(3 * SECOND)
    for node in (it.depot, *it.edges.values()):
        node.reconfigure(network, it.now)
