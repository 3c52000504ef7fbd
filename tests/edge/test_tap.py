"""An edge node with a TAP device: frames pass as they are, on the default VC; the test is the host's kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment, segment_sdu
from atmdepot.config.reading import load
from atmdepot.config.rules import problems_of
from atmdepot.drops import DropReason
from atmdepot.edge.tap import TapEdgeNode
from atmdepot.net.kinds import make_node
from atmdepot.wire.arp import REPLY, REQUEST, Arp, parse_arp
from atmdepot.wire.bridging import Fcs, bridged_sdu
from atmdepot.wire.ethernet import BROADCAST, Frame, mac_of, parse_frame
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, Encapsulation
from tests.ip_packets import ACK, SYN, packed, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network
from tests.wire.test_bridging import BRIDGED

if TYPE_CHECKING:
    from atmdepot.config.problem import Problem

KERNEL = bytes.fromhex("020000000009")
DEPOT4, EDGE4 = packed("10.255.0.1"), packed("10.255.0.2")


def network(encapsulation: str = "llc-bridged", fcs: str = "auto") -> InMemoryNetwork:
    table = make_network(servers=1, vp=f'encapsulation = "{encapsulation}"\nfcs = "{fcs}"\nmtu = 1500')
    table.nodes["web1"].tap, table.nodes["web1"].mtu = "atm-br0", 1500
    net = InMemoryNetwork(table)
    net.edges["web1"] = TapEdgeNode(table, "web1")
    return net


@pytest.mark.parametrize("encapsulation", BRIDGED)
@pytest.mark.parametrize("fcs", Fcs)
def test_a_kernel_and_the_depot_find_each_other(encapsulation: str, fcs: str) -> None:
    net = network(encapsulation, fcs)
    depot = mac_of("memory", "depot", "web1")
    syn = tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1)
    ((question,),) = net.to_service(syn).values()
    asked = parse_frame(question)
    assert (asked.destination, asked.source) == (BROADCAST, depot)
    assert parse_arp(asked.payload)[:3] == (REQUEST, depot, DEPOT4)
    told = Arp(REPLY, KERNEL, EDGE4, depot, DEPOT4)
    ((frame,),) = net.from_server("web1", Frame(depot, KERNEL, ETHERTYPE_ARP, told.pack()).pack()).values()
    assert parse_frame(frame)[:3] == (KERNEL, depot, ETHERTYPE_IPV4)
    assert parse_frame(frame).payload[:len(syn)] == syn
    answer = tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, ack=2)
    assert net.from_server("web1", Frame(depot, KERNEL, ETHERTYPE_IPV4, answer).pack()) == {"depot": [answer]}
    ask = Arp(REQUEST, KERNEL, packed(VIP4), bytes(6), DEPOT4)
    ((reply,),) = net.from_server("web1", Frame(BROADCAST, KERNEL, ETHERTYPE_ARP, ask.pack()).pack()).values()
    assert parse_arp(parse_frame(reply).payload)[:3] == (REPLY, depot, DEPOT4)
    assert net.dropped() == {}


@given(st.binary(min_size=14, max_size=1518))
def test_any_frame_passes_unchanged(frame: bytes) -> None:
    node = network().edges["web1"]
    node.packets_from_host([frame], SECOND)
    cells = node.link.transmit(SECOND)
    node.octets_from_port("to-web1", cells, SECOND)
    assert node.take_packets() == [frame]
    assert (node.rx_packets, node.rx_octets, node.drops) == (1, len(frame), {})


def test_what_is_no_frame_is_counted() -> None:
    net = network("vc-mux-bridged", "yes")
    node = net.edges["web1"]
    default, management = node.table.default, node.table.management
    node.packets_from_host([bytes(1519)], SECOND)
    for cells in (
        segment_sdu(bridged_sdu(bytes(60), Encapsulation.VC_MUX_BRIDGED, Fcs.NO), default, 0),
        segment_sdu(b"\0\0", default, 0), segment_sdu(b"no frame", default, 0), segment(b"what", management),
    ):
        node.octets_from_port("to-web1", cells, SECOND)
    assert net.dropped() == {DropReason.TOO_BIG: 1, DropReason.BAD_FCS: 2, DropReason.UNKNOWN_ENCAPSULATION: 1,
                             DropReason.BAD_ANNOUNCEMENT: 1}
    assert node.take_packets() == []


def test_the_table_decides_which_edge_node_it_is() -> None:
    assert isinstance(make_node(network().network, "web1", 0), TapEdgeNode)
    assert not isinstance(make_node(make_network(), "web1", 0), TapEdgeNode)


@pytest.mark.parametrize(("node", "changes", "path"), [
    ("depot", {}, ("nodes", "depot", "tap")),
    ("web1", {"encapsulation": "llc"}, ("vps", "web1", "encapsulation")),
    ("web1", {"session_vcis": True}, ("vps", "web1", "session_vcis")),
    ("web1", {"mtu": 1400}, ("nodes", "web1", "mtu")),
    ("web1", {"address": []}, ("nodes", "web1", "address")),
])
def test_what_a_tap_device_needs(node: str, changes: dict[str, object], path: tuple[str, ...]) -> None:
    vcis = 'session_vcis = "64-100"\n' if changes.get("session_vcis") else ""
    table = make_network(servers=1, vp=f'{vcis}encapsulation = "llc-bridged"\nmtu = 1500')
    table.nodes[node].tap, table.nodes[node].mtu = "atm-br0", 1500
    vp = table.vps["web1"]
    if "encapsulation" in changes:
        vp.encapsulation = "llc"
    if "mtu" in changes:
        vp.mtu = 1400
    if "address" in changes:
        table.nodes["web1"].address = []
    found: list[Problem] = problems_of(table)
    assert [problem.path for problem in found] == [path]


def test_the_table_that_ships_has_one() -> None:
    assert load("bridged").nodes["web3"].device == "atm-br0"
