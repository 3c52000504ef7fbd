"""VPs between edge nodes and permanent VCs: packets go by the networks of the VC table, and only those come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.oam import Condition
from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.config.contract import Contract
from atmdepot.depot.explain import explain
from atmdepot.drops import DropReason
from atmdepot.wire.icmp import quoted_packet, says_unreachable
from atmdepot.wire.offload import PlainFrame, cut_plainly, frame_of, packets_of
from tests.circuits import mesh
from tests.effort import examples
from tests.ip_packets import ACK, SYN, ip, packed, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork
from tests.wire.frames import Stream

PAIRS = [("10.81.1.5", "10.81.2.5"), ("fd00:81:1::5", "fd00:81:2::5"), ("10.255.0.2", "10.81.2.5"),
         ("10.81.1.5", "10.255.0.3")]


def of(address: str, other: str) -> list[bytes]:
    """Packets of several protocols from an address to another."""
    return [udp(address, 7, other, 9, b"x"), ping(address, other), tcp(address, 5000, other, 80, SYN)]


def stream_between(source: str, destination: str, count: int) -> Stream:
    """So many packets of a TCP connection."""
    return Stream(source=packed(source), destination=packed(destination), size=1000, data=bytes(range(250)) * 4 * count)


def burst_of(stream: Stream) -> list[bytes | PlainFrame]:
    """The reads of a TUN device for a stream: a frame, if the data path takes frames."""
    frame = frame_of(stream.frame)
    return list(cut_plainly(stream.frame)) if frame is None else [frame]


def vcs_seen(net: InMemoryNetwork) -> set[tuple[str, str, int, int]]:
    """Sender, receiver, VPI and VCI of each train so far."""
    found = set()
    for sender, receiver, cells in net.seen:
        header = int.from_bytes(cells[:4], "big")
        found.add((sender, receiver, header >> 20 & 0xFF, header >> 4 & 0xFFFF))
    return found


# Between edge nodes.


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_packets_go_over_the_vp_between_edge_nodes_and_pass_no_depot(here: str, there: str) -> None:
    net = mesh()
    for packet, answer in zip(of(here, there), of(there, here), strict=True):
        assert net.from_server("web1", packet) == {"web2": [packet]}
        assert net.from_server("web2", answer) == {"web1": [answer]}
    assert vcs_seen(net) == {("web1", "web2", 7, 32), ("web2", "web1", 7, 32)}
    assert net.dropped() == {}
    assert net.edges["web2"].flows == {}, "a circuit teaches no flow"


def test_they_go_on_without_the_depot() -> None:
    net = mesh()
    net.restart_depot()
    packet = udp("10.81.1.5", 7, "10.81.2.5", 9)
    assert net.from_server("web1", packet) == {"web2": [packet]}


def test_dscp_chooses_the_vc() -> None:
    net = mesh()
    net.from_server("web1", tcp("10.81.1.5", 7, "10.81.2.5", 9, SYN, dscp=46))
    net.from_server("web1", tcp("10.81.1.5", 7, "10.81.2.5", 9, SYN, dscp=10))
    assert vcs_seen(net) == {("web1", "web2", 7, 101), ("web1", "web2", 7, 32)}
    assert {vc.vci: str(vc.category) for vc in net.edges["web1"].links["between"].table} == {
        32: "UBR.1", 101: "CBR"}


def test_answers_from_a_vip_go_to_the_depot_whatever_the_networks_say() -> None:
    net = mesh(('web2 = ["10.81.1.0/24", "fd00:81:1::/64"] }', 'web2 = ["0.0.0.0/0", "::/0"] }'))
    for vip, client in ((VIP4, CLIENT4), (VIP6, CLIENT6)):
        for port in (4000, 4001):
            request = tcp(client, port, vip, 80, SYN)
            [server] = net.to_service(request)
            answer = tcp(vip, 80, client, port, SYN | ACK)
            assert net.from_server(server, answer) == {"depot": [answer]}
    echo = ping(CLIENT4, VIP4)
    [server] = net.to_service(echo)
    assert net.from_server(server, ping(VIP4, CLIENT4, reply=True)).keys() == {"depot"}
    other = udp("10.81.2.5", 7, "192.0.2.1", 9)
    assert net.from_server("web2", other) == {"web1": [other]}
    assert net.dropped() == {}


def test_longest_network_wins() -> None:
    net = mesh(('web1 = ["10.81.3.0/24"]', 'web1 = ["10.81.2.128/25"]'))
    for last, far in ((5, "web2"), (127, "web2"), (128, "lan3"), (200, "lan3")):
        packet = udp("10.81.1.5", 7, f"10.81.2.{last}", 9)
        assert net.from_server("web1", packet) == {far: [packet]}


@pytest.mark.parametrize(("packet", "reason"), [
    (udp("10.9.0.2", 7, "10.81.1.5", 9), DropReason.WRONG_NETWORK),  # a client's address, forged
    (udp("10.81.1.6", 7, "10.81.1.5", 9), DropReason.WRONG_NETWORK),  # an address of web1's own side
    (tcp("10.81.2.5", 7, VIP4, 80, SYN), DropReason.WRONG_NETWORK),  # a service, past the depot
    (udp("10.81.2.5", 7, "10.81.3.5", 9), DropReason.WRONG_NETWORK),
    (udp("10.81.2.5", 7, "239.80.0.1", 9), DropReason.MULTICAST),
    (b"\x45", DropReason.MALFORMED), (b"\x00" * 40, DropReason.NOT_IP)])
def test_what_the_table_does_not_let_the_far_end_send_is_dropped(packet: bytes, reason: DropReason) -> None:
    net = mesh()
    net.edges["web1"].octets_from_port("between", segment(packet, Vc(7, 32)), net.now)
    assert net.settle() == {}
    assert net.dropped() == {reason: 1}


def test_a_stranger_s_cells_open_no_vc_on_a_vp_between_edge_nodes() -> None:
    net = mesh()
    for vpi, vci in ((7, 64), (7, 33), (9, 100), (1, 64)):
        net.edges["web1"].octets_from_port("between", segment(udp("10.81.2.5", 7, "10.81.1.5", 9), Vc(vpi, vci)), 0)
    assert net.dropped() == {DropReason.UNKNOWN_VC: 4}


def test_fragments_go_by_their_destination_and_wait_for_none() -> None:
    net = mesh()
    for offset in (2, 0):
        packet = ip("10.81.1.5", "10.81.2.5", 17, bytes(16), identification=3, fragment=offset or 0x2000)
        assert net.from_server("web1", packet) == {"web2": [packet]}


@pytest.mark.parametrize(("here", "there"), PAIRS[:2])
def test_a_packet_greater_than_the_circuit_s_mtu_is_answered_with_that(here: str, there: str) -> None:
    net = mesh()
    packet = udp(here, 7, there, 9, bytes(1480))
    [answer] = net.from_server("web1", packet)["web1"]
    quoted = quoted_packet(answer)
    assert quoted is not None
    assert quoted.ports == (7, 9)
    assert 1500 in (int.from_bytes(answer[26:28], "big"), int.from_bytes(answer[44:48], "big"))
    assert net.dropped() == {DropReason.TOO_BIG: 1}


def test_an_edge_node_needs_no_vp_to_the_depot() -> None:
    net = mesh()
    out = udp("10.81.3.5", 7, "10.81.1.5", 9)
    assert net.from_server("lan3", out) == {"web1": [out]}
    back = udp("10.81.1.5", 9, "10.81.3.5", 7)
    assert net.from_server("web1", back) == {"lan3": [back]}
    lan3 = net.edges["lan3"]
    assert (lan3.leads_to_depot, lan3.flows, lan3.next_timer()) == (False, {}, None)


@pytest.mark.parametrize(("packet", "answered"), [
    (udp("10.81.3.5", 7, "10.99.0.1", 9), True), (udp("fd00:81:3::5", 7, "fd00:99::1", 9), True),
    (ip("10.81.3.5", "10.99.0.1", 17, bytes(16), fragment=9), False)])
def test_what_no_circuit_carries_is_answered_where_no_vp_leads_to_the_depot(packet: bytes, answered: bool) -> None:
    net = mesh(('lan3 = ["0.0.0.0/0"]', 'lan3 = ["10.81.1.0/24"]'))
    answers = net.from_server("lan3", packet).get("lan3", [])
    assert net.dropped() == {DropReason.NO_ROUTE: 1}
    assert [says_unreachable(answer) for answer in answers] == [True] * answered


@pytest.mark.parametrize("count", [2, 20])
def test_frames_go_as_their_packets_do(count: int) -> None:
    """Of a TUN device that gives and takes frames: into web1, over the VP, out of web2."""
    stream = stream_between("10.81.1.5", "10.81.2.5", count)
    net = mesh()
    for node in net.edges.values():
        node.keep_frames(True)
    net.edges["web1"].packets_from_host(burst_of(stream), net.now)
    assert packets_of(net.settle()["web2"]) == cut_plainly(stream.frame)
    assert net.edges["web1"].rx_packets == net.edges["web2"].tx_packets == count
    too_big = stream._replace(size=1480, data=bytes(1480 * count))
    net.edges["web1"].packets_from_host(burst_of(too_big), net.now)
    foreign = stream_between("10.9.0.2", "10.81.2.5", count)
    net.edges["web1"].packets_from_host(burst_of(foreign), net.now)
    net.settle()
    assert net.dropped() == {DropReason.TOO_BIG: count, DropReason.WRONG_NETWORK: count}


# Permanent VCs.


@pytest.mark.parametrize(("group", "sender"), [("239.80.0.7", CLIENT4), ("ff15::80:7", CLIENT6)])
def test_a_group_s_packets_go_from_the_root_to_every_leaf(group: str, sender: str) -> None:
    net = mesh()
    packet = udp(sender, 7, group, 9, b"news")
    assert net.to_service(packet) == {"web1": [packet], "web2": [packet]}
    assert vcs_seen(net) == {("depot", "web1", 9, 100), ("depot", "web2", 9, 100)}
    assert net.dropped() == {}


def test_other_groups_are_dropped_as_ever_and_no_leaf_sends() -> None:
    net = mesh()
    assert net.to_service(udp(CLIENT4, 7, "239.81.0.1", 9)) == {}
    assert net.from_server("web1", udp("10.81.1.5", 7, "239.80.0.7", 9)) == {}
    net.edges["web1"].octets_from_port("to-web1", segment(udp(CLIENT4, 7, "239.81.0.1", 9), Vc(9, 100)), 0)
    net.depot.octets_from_port("to-web1", segment(udp(CLIENT4, 7, "239.80.0.7", 9), Vc(9, 100)), 0)
    assert net.settle() == {}
    assert net.dropped() == {DropReason.MULTICAST: 4}


def test_an_edge_node_may_be_the_root() -> None:
    net = mesh(('ends = ["depot", "web1", "web2"]', 'ends = ["web1", "depot", "web2"]'),
               ('networks = { depot = ["239.80', 'networks = { web1 = ["239.80'))
    packet = udp("10.81.1.5", 7, "239.80.0.7", 9)
    assert net.from_server("web1", packet) == {"depot": [packet], "web2": [packet]}
    assert net.dropped() == {}


def test_the_depot_is_an_end_of_a_permanent_vc_in_both_directions() -> None:
    net = mesh()
    packet, answer = udp("10.82.0.1", 7, "10.82.2.9", 9), udp("10.82.2.9", 9, "10.82.0.1", 7)
    assert net.to_service(packet) == {"web2": [packet]}
    assert net.from_server("web2", answer) == {"depot": [answer]}
    assert vcs_seen(net) == {("depot", "web2", 9, 101), ("web2", "depot", 9, 101)}
    vc = net.depot.bearer.route(bytes((10, 82, 2, 9))).vc
    assert (vc.category, vc.contract) == ("CBR", Contract.parse("cbr,aal5:pcr=10kcps"))
    net.to_service(udp("10.82.0.1", 7, "10.82.2.9", 9, bytes(1400)))
    net.depot.octets_from_port("to-web2", segment(tcp("10.82.2.9", 9, VIP4, 80, SYN), Vc(9, 101)), 0)
    net.depot.octets_from_port("to-web2", segment(udp("10.9.0.2", 9, "10.82.0.1", 7), Vc(9, 101)), 0)
    assert net.settle() == {}
    assert net.dropped() == {DropReason.TOO_BIG: 1, DropReason.WRONG_NETWORK: 2}


def test_a_session_is_no_matter_of_the_permanent_vc_beside_it() -> None:
    """Frames on a permanent VC from a server's node pass as packets of no session, though a session has their flow."""
    net = mesh()
    for node in (net.depot, *net.edges.values()):
        node.keep_frames(True)
    stream = stream_between("10.82.2.9", "10.82.0.1", 8)
    net.edges["web2"].packets_from_host(burst_of(stream), net.now)
    first = net.settle().get("depot", [])
    net.advance(SECOND)  # the VC is shaped to its contract
    assert packets_of([*first, *net.settle()["depot"]]) == cut_plainly(stream.frame)
    assert not net.depot.sessions.primary


def test_explain_tells_the_permanent_vc() -> None:
    net = mesh()
    told = explain(net.depot, udp("10.82.0.1", 7, "10.82.2.9", 9), net.now)
    assert (told.outcome, told.server, told.path["vp"], told.path["vc"]) == ("forwarded", "web2", "console", "9/101")
    told = explain(net.depot, udp(CLIENT4, 7, "239.80.0.7", 9), net.now)
    assert (told.outcome, told.server, told.path["vc"]) == ("forwarded", "web1, web2", "9/100")
    told = explain(net.depot, udp(CLIENT4, 7, "239.81.0.7", 9), net.now)
    assert (told.outcome, told.reason) == ("dropped", "multicast")
    told = explain(net.depot, udp(CLIENT4, 7, "10.83.0.7", 9), net.now)
    assert told.reason == "not-a-service"
    assert net.dropped() == {}


# Beside them: OAM, contracts, bridged encapsulations.


def test_each_vp_of_an_edge_node_has_oam_on_its_own_link() -> None:
    net = mesh(("vpi = 7\n", "vpi = 7\ncontinuity_check = true\n"))
    web1, web2 = net.edges["web1"], net.edges["web2"]
    assert {name: (vp.far, vp.link.adaptation.name) for name, vp in web1.oam.vps.items()} == {
        "web1": ("depot", "to-web1"), "web1-web2": ("web2", "between"), "web1-lan3": ("lan3", "to-lan3")}
    net.advance(5 * SECOND)
    assert [node.oam.vps["web1-web2"].conditions for node in (web1, web2)] == [[], []]
    net.faults["web2"] = lambda _cells: b""
    net.advance(5 * SECOND)
    assert web1.oam.vps["web1-web2"].conditions == [Condition.LOC]
    assert web2.oam.vps["web1-web2"].conditions == [Condition.RDI]
    assert (web1.oam.vps["web1"].conditions, web1.oam.vps["web1-lan3"].conditions) == ([], [])


def test_contracts_shape_the_links_of_their_circuits_alone() -> None:
    net = mesh(("vpi = 7\n", 'vpi = 7\ncontract = "cbr:pcr=1000"\n'))
    assert {name for name, port in net.edges["web1"].links.items() if port.is_timed} == {"between"}
    packet, first = udp("10.81.1.5", 7, "10.81.2.5", 9, bytes(1000)), net.now
    got = [packet] * len(net.from_server("web1", packet)) + [packet] * len(net.from_server("web1", packet))
    while len(got) < 2:
        net.advance(1_000_000)
        got += net.settle().get("web2", [])
    assert got == [packet, packet]
    assert net.now - first >= 22_000_000, "23 cells and 22 more, at 1000 cells/s"
    assert net.dropped() == {}


def test_a_vc_of_a_circuit_for_which_a_link_has_no_rate_left_is_best_effort() -> None:
    contract = ('[links.between]', '[qos.contracts]\nCBR = "cbr:pcr=900"\n[links.between]\nrate = "{}cps"')
    for rate, category in (("500", "UBR.1"), ("5000", "CBR")):
        net = mesh((contract[0], contract[1].format(rate)))
        assert {str(vc.category) for vc in net.edges["web1"].links["between"].table if vc.vci == 101} == {category}


@pytest.mark.parametrize("encapsulation", ["llc-bridged", "vc-mux-bridged"])
def test_a_bridged_circuit_finds_its_far_station(encapsulation: str) -> None:
    net = mesh(("vpi = 7\n", f'vpi = 7\nencapsulation = "{encapsulation}"\n'))
    for here, there in PAIRS[:2]:
        packet, answer = (tcp(*ends, SYN, dscp=46) for ends in ((here, 7, there, 9), (there, 9, here, 7)))
        assert net.from_server("web1", packet) == {"web2": [packet]}
        assert net.from_server("web2", answer) == {"web1": [answer]}
    assert {vci for _, _, _, vci in vcs_seen(net)} == {32, 101}, "questions take the default VC"
    assert net.dropped() == {}


ADDRESSES = st.sampled_from([
    "10.81.1.5", "10.81.2.5", "10.81.3.5", "10.82.0.1", "10.82.2.9", CLIENT4, VIP4, "239.80.0.7", "239.81.0.1",
    "10.255.0.2", "10.255.0.3", "192.0.2.1"])


@examples(200)
@given(st.lists(st.tuples(st.sampled_from(["depot", "web1", "web2", "lan3"]), ADDRESSES, ADDRESSES), max_size=20))
def test_each_packet_comes_out_unchanged_or_is_counted(steps: list[tuple[str, str, str]]) -> None:
    net = mesh()
    for node, source, destination in steps:
        before = sum(net.dropped().values())
        packet = udp(source, 7, destination, 80)
        out = net.to_service(packet) if node == "depot" else net.from_server(node, packet)
        net.advance(SECOND)  # on a VC that is shaped a packet waits for the time of its contract
        for name, late in net.settle().items():
            out.setdefault(name, []).extend(late)
        dropped = sum(net.dropped().values()) - before
        forwarded = [octets for packets in out.values() for octets in packets if octets == packet]
        assert len(forwarded) + dropped >= 1
        assert all(octets == packet or says_unreachable(octets) for packets in out.values() for octets in packets)
