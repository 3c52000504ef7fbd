"""Bridged VPs in memory: depot and edge nodes find each other's MAC addresses; strangers are answered or counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment_sdu
from atmdepot.bearer.bridged import HEARD, Bridge, without_padding
from atmdepot.bearer.neighbours import FRESH, MOST_WAITING, PAUSE, TRIES
from atmdepot.drops import DropReason
from atmdepot.wire.arp import REPLY, REQUEST, Arp, parse_arp
from atmdepot.wire.bridging import Fcs, bridged_sdu, frame_in
from atmdepot.wire.discovery import SOLICITATION, UNSPECIFIED, Discovery, group_of, mac_of_group, parse_discovery
from atmdepot.wire.ethernet import BROADCAST, Frame, mac_of, parse_frame
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Encapsulation
from atmdepot.wire.offload import frame_of
from tests.ip_packets import ACK, SYN, packed, ping, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network
from tests.wire.frames import Stream

ENCAPSULATIONS = ["llc-bridged", "vc-mux-bridged"]
EDGE4, EDGE6 = packed("10.255.0.2"), packed("fd00:255::2")
STRANGER = bytes.fromhex("020000000001")
SYN4, SYN6 = tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1), tcp(CLIENT6, 4000, VIP6, 80, SYN, seq=1)


def network(encapsulation: str = "llc-bridged", fcs: str = "auto", *, addresses: bool = True) -> InMemoryNetwork:
    table = make_network(
        servers=1, vp=f'session_vcis = "64-100"\nencapsulation = "{encapsulation}"\nfcs = "{fcs}"')
    for node in table.nodes.values():
        node.address = node.address if addresses else []
    return InMemoryNetwork(table)


def bridge_at(net: InMemoryNetwork, node: str) -> Bridge:
    link = net.depot.bearer.links["to-web1"] if node == "depot" else net.edges[node].link
    (bridge,) = link.bridges
    return bridge


class Stranger:
    """Other gear at the far end of the edge node's VP, whose frames the test makes and reads."""

    def __init__(self, net: InMemoryNetwork) -> None:
        self.net, self.node = net, net.edges["web1"]
        self.vc = self.node.table.default
        self.mac = bridge_at(net, "web1").mac

    def send(self, destination: bytes, ethertype: int, payload: bytes, source: bytes = STRANGER) -> list[Frame]:
        return self.send_sdu(bridged_sdu(Frame(destination, source, ethertype, payload).pack(),
                                         self.vc.encapsulation, Fcs.NO))

    def send_sdu(self, sdu: bytes) -> list[Frame]:
        self.node.octets_from_port("to-web1", segment_sdu(sdu, self.vc, 0), self.net.now)
        return self.received()

    def received(self) -> list[Frame]:
        cells = self.node.link.transmit(self.net.now)
        sdus = self.net.depot.bearer.links["to-web1"].reassembler.receive(cells, self.net.now)
        return [parse_frame(frame_in(sdu.octets, self.vc.encapsulation, Fcs.AUTO)) for sdu in sdus]


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
@pytest.mark.parametrize("fcs", Fcs)
@pytest.mark.parametrize("addresses", [True, False])
@pytest.mark.parametrize("packets", [(SYN4, tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, ack=2)),
                                     (SYN6, tcp(VIP6, 80, CLIENT6, 4000, SYN | ACK, ack=2))])
def test_requests_and_answers_arrive_unchanged(
    encapsulation: str, fcs: str, addresses: bool, packets: tuple[bytes, bytes],
) -> None:
    net = network(encapsulation, fcs, addresses=addresses)
    request, answer = packets
    for _ in range(2):
        assert net.to_service(request) == {"web1": [request]}
        assert net.from_server("web1", answer) == {"depot": [answer]}
    assert net.dropped() == {}
    session = next(iter(net.depot.sessions.primary.values()))
    assert session.path.vc.vci == 64
    assert session.path.vc.rx_pdus >= 2  # answers on the session's own VC
    for node in ("depot", "web1"):
        bridge, far = bridge_at(net, node), "web1" if node == "depot" else "depot"
        assert bridge.mac == mac_of("memory", node, "web1")
        assert bridge.heard == mac_of("memory", far, "web1")
        assert len(bridge.neighbours) == addresses


def test_only_the_first_packets_ask() -> None:
    net = network()
    net.to_service(SYN4)
    before = net.depot.bearer.links["to-web1"].tx_pdus
    net.to_service(SYN4)
    assert net.depot.bearer.links["to-web1"].tx_pdus == before + 1


def test_packets_wait_in_order_and_the_oldest_give_way() -> None:
    net = network()
    packets = [tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1, data=bytes((n,))) for n in range(MOST_WAITING + 3)]
    for packet in packets:
        net.depot.packet_from_tun(packet, net.now)
    assert net.settle() == {"web1": packets[3:]}
    assert net.dropped() == {DropReason.UNRESOLVED: 3}


def test_a_burst_makes_its_port_ready_once() -> None:
    net = network()
    net.to_service(SYN4)
    net.depot.ready.clear()
    for _ in range(2):
        for _ in range(50):
            net.depot.packet_from_tun(SYN4, net.now)
        assert net.depot.ready == [net.depot.links["to-web1"].number]
        net.depot.ready.clear()
        assert net.settle() == {"web1": [SYN4] * 50}
        net.depot.ready.clear()


def test_a_far_node_that_does_not_answer_costs_its_packets() -> None:
    net = network()
    net.faults["depot"] = lambda cells: b""
    net.to_service(SYN4)
    for _ in range(TRIES):
        net.now += PAUSE
        net.depot.handle_timer(net.now)
        net.settle()
    assert net.dropped() == {DropReason.UNRESOLVED: 1}
    assert net.depot.bearer.links["to-web1"].next_timer() is None
    asked = [cells for sender, _, cells in net.seen if sender == "depot"]
    assert len(asked) == TRIES


def test_a_known_far_node_is_asked_again_and_its_new_address_is_learnt() -> None:
    net = network()
    net.to_service(SYN4)
    net.edges["web1"].link.bridges[0].mac = STRANGER  # the far node's port is replaced
    net.edges["web1"].link.bridges[0]._answered_for = {EDGE4}
    net.now += FRESH
    assert net.to_service(SYN4) == {}  # to the old MAC address
    assert net.dropped() == {DropReason.OTHER_STATION: 2}  # the question, to the old MAC address, as well
    net.now += TRIES * PAUSE
    for _ in range(TRIES + 1):
        net.now += PAUSE
        net.depot.handle_timer(net.now)
        net.settle()
    assert net.to_service(SYN4) == {"web1": [SYN4]}


def test_without_an_address_the_station_heard_last_is_sent_to_for_a_while() -> None:
    net = network(addresses=False)
    net.to_service(SYN4)
    edge = bridge_at(net, "web1")
    stranger = Stranger(net)
    net.edges["web1"].packet_from_tun(tcp(VIP4, 80, CLIENT4, 4000, ACK), net.now)
    net.edges["web1"].packet_from_tun(ping(VIP4, CLIENT4), net.now)
    frames = stranger.received()
    assert {frame.destination for frame in frames} == {mac_of("memory", "depot", "web1")}
    assert edge.heard == mac_of("memory", "depot", "web1")
    net.now += HEARD
    net.edges["web1"].packet_from_tun(ping(VIP4, CLIENT4), net.now)
    (frame,) = stranger.received()
    assert (frame.destination, frame.ethertype) == (BROADCAST, ETHERTYPE_IPV4)


# Other gear.


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
def test_arp_for_the_nodes_address_is_answered_and_no_other(encapsulation: str) -> None:
    stranger = Stranger(network(encapsulation))
    for sender in (packed("10.255.0.9"), bytes(4)):
        question = Arp(REQUEST, STRANGER, sender, bytes(6), EDGE4)
        (answer,) = stranger.send(BROADCAST, ETHERTYPE_ARP, question.pack() + bytes(18))
        assert answer[:3] == (STRANGER, stranger.mac, ETHERTYPE_ARP)
        assert parse_arp(answer.payload) == Arp(REPLY, stranger.mac, EDGE4, STRANGER, sender)
    other = Arp(REQUEST, STRANGER, bytes(4), bytes(6), packed("10.255.0.1"))
    assert stranger.send(BROADCAST, ETHERTYPE_ARP, other.pack()) == []
    assert len(bridge_at(stranger.net, "web1").neighbours) == 0  # strangers fill no table


@pytest.mark.parametrize("target", ["address", "link-local"])
def test_solicitations_are_answered(target: str) -> None:
    stranger = Stranger(network())
    asked = EDGE6 if target == "address" else bridge_at(stranger.net, "web1")._link_local
    group, source = group_of(asked), packed("fd00:255::9")
    question = Discovery(SOLICITATION, source, group, asked, STRANGER)
    (answer,) = stranger.send(mac_of_group(group), ETHERTYPE_IPV6, question.pack())
    assert answer[:3] == (STRANGER, stranger.mac, ETHERTYPE_IPV6)
    told = parse_discovery(answer.payload)
    assert (told.source, told.destination, told.mac, told.solicited) == (asked, source, stranger.mac, True)
    free = Discovery(SOLICITATION, UNSPECIFIED, group, asked, None)
    (answer,) = stranger.send(mac_of_group(group), ETHERTYPE_IPV6, free.pack())
    assert not parse_discovery(answer.payload).solicited
    assert answer.destination == bytes.fromhex("333300000001")
    assert stranger.net.dropped() == {}


IP = tcp(CLIENT4, 4000, VIP4, 80, SYN)
LLDP = 0x88CC
BAD_DISCOVERY = bytes.fromhex("600000000000" + "3aff" + "00" * 32 + "87")


@pytest.mark.parametrize(("reason", "destination", "source", "ethertype", "payload"), [
    (DropReason.OTHER_STATION, STRANGER, STRANGER, ETHERTYPE_IPV4, IP),
    (DropReason.OTHER_STATION, None, None, ETHERTYPE_IPV4, IP),
    (DropReason.OTHER_STATION, None, BROADCAST, ETHERTYPE_IPV4, IP),
    (DropReason.UNKNOWN_ETHERTYPE, None, STRANGER, LLDP, bytes(46)),
    (DropReason.UNKNOWN_ETHERTYPE, None, STRANGER, ETHERTYPE_IPV4, b""),
    (DropReason.UNKNOWN_ETHERTYPE, bytes.fromhex("0180c2000000"), STRANGER, 0x0026, bytes(46)),
    (DropReason.BAD_NEIGHBOUR, BROADCAST, STRANGER, ETHERTYPE_ARP, bytes(46)),
    (DropReason.BAD_NEIGHBOUR, None, STRANGER, ETHERTYPE_IPV6, BAD_DISCOVERY),
    (DropReason.NOT_IP, None, STRANGER, ETHERTYPE_IPV4, bytes(46)),
    (DropReason.MULTICAST, bytes.fromhex("01005e0000fb"), STRANGER, ETHERTYPE_IPV4, ping(CLIENT4, "224.0.0.251")),
    (DropReason.MULTICAST, bytes.fromhex("333300000002"), STRANGER, ETHERTYPE_IPV6, ping("fe80::1", "ff02::2")),
])
def test_frames_that_are_not_for_the_node(
    reason: DropReason, destination: bytes | None, source: bytes | None, ethertype: int, payload: bytes,
) -> None:
    stranger = Stranger(network())
    assert stranger.send(destination or stranger.mac, ethertype, payload, source or stranger.mac) == []
    assert stranger.net.dropped() == {reason: 1}
    assert stranger.node.take_packets() == []


def test_sdus_that_are_no_frames() -> None:
    stranger = Stranger(network("vc-mux-bridged", "yes"))
    frame = Frame(stranger.mac, STRANGER, ETHERTYPE_IPV4, IP).pack()
    stranger.send_sdu(bridged_sdu(frame, Encapsulation.VC_MUX_BRIDGED, Fcs.NO))
    stranger.send_sdu(frame)
    stranger.send_sdu(bridged_sdu(b"short", Encapsulation.VC_MUX_BRIDGED, Fcs.YES)[:9])
    assert stranger.net.dropped() == {DropReason.BAD_FCS: 2, DropReason.UNKNOWN_ENCAPSULATION: 1}


@given(st.binary(max_size=120), st.sampled_from(ENCAPSULATIONS), st.sampled_from(Fcs))
def test_any_sdu_is_a_packet_an_answer_or_a_drop(octets: bytes, encapsulation: str, fcs: str) -> None:
    stranger = Stranger(network(encapsulation, fcs))
    header = stranger.vc.encapsulation.overhead
    heads = [b"", bytes.fromhex("aaaa030080c200070000")[-header:] + stranger.mac + STRANGER + b"\x08\x06",
             bytes.fromhex("aaaa030080c200070000")[-header:] + stranger.mac + STRANGER + b"\x86\xdd"]
    for head in heads:
        stranger.send_sdu((head if len(head) > 2 else b"") + octets or b"x")


@given(st.sampled_from([(CLIENT4, VIP4), (CLIENT6, VIP6)]), st.binary(max_size=30), st.integers(0, 46))
def test_padding_is_taken_off(ends: tuple[str, str], data: bytes, padding: int) -> None:
    packet = tcp(ends[0], 4000, ends[1], 80, ACK, data=data)
    assert without_padding(packet + bytes(padding)) == packet


@given(st.binary(max_size=60))
def test_octets_that_are_no_packet_do_not_vanish(octets: bytes) -> None:
    assert octets.startswith(without_padding(octets))
    assert bool(without_padding(octets)) == bool(octets)


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
def test_a_frame_of_packets_is_sent_as_its_packets(encapsulation: str) -> None:
    frame = frame_of(Stream().frame)
    assert frame is not None
    sent = []
    for whole in (True, False):
        link = network(encapsulation, addresses=False).edges["web1"].link
        vc = next(iter(link.table))
        if whole:
            link.send_frame(frame, vc, 0)
        else:
            for packet in frame.packets():
                link.send(packet, vc, 0)
        sent.append(link.transmit(SECOND))
    assert sent[0] == sent[1] != b""


def test_the_greatest_packet_fits_with_fcs() -> None:
    net = network("llc-bridged", "yes")
    net.to_service(SYN4)
    answer, request = (tcp(*ends, ACK, data=bytes(9180 - 40)) for ends in (
        (VIP4, 80, CLIENT4, 4000), (CLIENT4, 4000, VIP4, 80)))
    assert net.from_server("web1", answer) == {"depot": [answer]}
    assert net.to_service(request) == {"web1": [request]}
    assert net.dropped() == {}


def test_the_statistics_vc_stays_bare() -> None:
    node = network().edges["web1"]
    assert node.table.management.bridge is None
    assert node.table.management.encapsulation is Encapsulation.VC_MUX
    assert all(vc.bridge is node.link.bridges[0] for vc in node.table if vc is not node.table.management)


def test_an_adopted_session_is_recognised_behind_the_ethernet_header() -> None:
    for encapsulation in ENCAPSULATIONS:
        net = network(encapsulation)
        net.to_service(SYN4)
        net.restart_depot()
        answer = tcp(VIP4, 80, CLIENT4, 4000, ACK, data=b"page")
        net.from_server("web1", answer)
        assert len(net.depot.sessions.primary) == 1, encapsulation
