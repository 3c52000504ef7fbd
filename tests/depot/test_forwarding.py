"""A depot and its edge nodes joined in memory: every octet arrives, or a counter says why not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.qos import QosMap
from atmdepot.depot.tcp_tracking import TcpState
from atmdepot.drops import DropReason
from tests.effort import examples
from tests.ip_packets import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, icmp_error, ip, packed, ping, tcp, udp
from tests.network_in_memory import (
    CLIENT4,
    CLIENT6,
    VIP4,
    VIP6,
    InMemoryNetwork,
    SeededFaults,
    make_network,
)
from tests.packets import ip_packets, no_packets

PAIRS = [(CLIENT4, VIP4), (CLIENT6, VIP6)]
VPS = ['session_vcis = "64-65535"', 'session_vcis = "64-65535"\nencapsulation = "llc"',
       'session_vcis = "64-70"\ncrc = "dynamips"', 'shared_vcs = { "UBR.1" = 40 }\ncrc = "ignore"']
pairs = st.sampled_from(PAIRS)
data = st.one_of(st.binary(max_size=200), st.integers(0, 9000).map(lambda size: Random(size).randbytes(size)))


def headers_of(cells: bytes) -> list[int]:
    """The first four octets of each cell as a number."""
    return [int.from_bytes(cells[at:at + 4], "big") for at in range(0, len(cells), 53)]


def vc_of(cells: bytes) -> tuple[int, int]:
    """VPI and VCI of cells that are all of one VC."""
    (vc,) = {(word >> 20 & 0xFF, word >> 4 & 0xFFFF) for word in headers_of(cells)}
    return vc


# Every octet of every packet.


@examples(60, deadline=None)
@given(st.data(), pairs, st.sampled_from(VPS), st.sampled_from([0, 46, 10, 12, 1]))
def test_tcp_packets_leave_as_they_came_in_both_directions(
        draw: st.DataObject, pair: tuple[str, str], vp: str, dscp: int) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    client, vip = pair
    for port in draw.draw(st.lists(st.integers(1, 65535), min_size=1, max_size=4, unique=True)):
        syn = tcp(client, port, vip, 80, SYN, seq=port, options=bytes((3, 3, 7, 1)), dscp=dscp)
        ((edge, packets),) = net.to_service(syn).items()
        assert packets == [syn]
        vc = vc_of(net.seen[-1][2])
        for to_server, flags, octets in draw.draw(st.lists(
                st.tuples(st.booleans(), st.sampled_from([ACK, PSH | ACK, FIN | ACK, SYN | ACK, RST]), data),
                max_size=6)):
            if to_server:
                packet = tcp(client, port, vip, 80, flags, seq=port + 1, ack=9, data=octets, dscp=dscp)
                assert net.to_service(packet) == {edge: [packet]}
            else:
                packet = tcp(vip, 80, client, port, flags, seq=9, ack=port + 1, data=octets, dscp=dscp)
                assert net.from_server(edge, packet) == {"depot": [packet]}
            assert vc_of(net.seen[-1][2]) == vc, "it took another VC than its session's"
    assert net.dropped() == {}


@examples(60, deadline=None)
@given(pairs, data, st.sampled_from(VPS))
def test_a_packet_without_ports_takes_the_default_vc_and_comes_back(
        pair: tuple[str, str], octets: bytes, vp: str) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    client, vip = pair
    there = [ping(client, vip, octets), ip(client, vip, 132, octets)]
    back = [ping(vip, client, octets, reply=True), ip(vip, client, 132, octets)]
    edges = set()
    for packet, answer in zip(there, back, strict=True):
        ((edge, packets),) = net.to_service(packet).items()
        edges.add(edge)
        assert packets == [packet]
        assert vc_of(net.seen[-1][2])[1] == 32
        assert net.from_server(edge, answer) == {"depot": [answer]}
        assert vc_of(net.seen[-1][2])[1] == 32
    assert len(edges) == 1
    assert net.dropped() == {}


@given(st.binary(min_size=8, max_size=64), st.sampled_from([TCP, UDP, ICMP]))
def test_fragments_leave_as_they_came(octets: bytes, protocol: int) -> None:
    net = InMemoryNetwork()
    segments = {TCP: tcp(CLIENT4, 7, VIP4, 80, SYN), UDP: udp(CLIENT4, 7, VIP4, 80), ICMP: ping(CLIENT4, VIP4)}
    first = ip(CLIENT4, VIP4, protocol, segments[protocol][20:], fragment=0x2000)
    later = ip(CLIENT4, VIP4, protocol, octets, fragment=0x2000 | 100)
    ((edge, packets),) = net.to_service(first).items()
    assert packets == [first]
    assert net.to_service(later) == {edge: [later]}
    answers = {TCP: tcp(VIP4, 80, CLIENT4, 7, ACK), UDP: udp(VIP4, 80, CLIENT4, 7), ICMP: ping(VIP4, CLIENT4)}
    first = ip(VIP4, CLIENT4, protocol, answers[protocol][20:], fragment=0x2000)
    later = ip(VIP4, CLIENT4, protocol, octets, fragment=0x2000 | 100)
    assert net.from_server(edge, first) == {"depot": [first]}
    assert net.from_server(edge, later) == {"depot": [later]}
    assert net.dropped() == {}


def test_later_fragments_follow_their_first_one_to_its_server() -> None:
    net = InMemoryNetwork()
    for port in range(1, 3):
        whole = tcp(CLIENT4, port, VIP4, 80, SYN)
        net.to_service(whole)
        first = ip(CLIENT4, VIP4, TCP, tcp(CLIENT4, port, VIP4, 80, ACK, data=bytes(100))[20:100],
                   fragment=0x2000, identification=port)
        later = ip(CLIENT4, VIP4, TCP, bytes(40), fragment=10, identification=port)
        assert net.to_service(first).keys() == net.to_service(later).keys()


@examples(30, deadline=None)
@given(st.integers(0, 999), st.sampled_from(VPS[:2]))
def test_links_with_faults_lose_packets_but_change_none(seed: int, vp: str) -> None:
    """Loss, doubling, bit errors and reordering per cell: what comes out is what went in, each time."""
    net = InMemoryNetwork(make_network(vp=vp))
    random = Random(seed)
    sent: set[bytes] = set()
    flows = [(*pair, port) for pair in PAIRS for port in (4000, 4001, 4002)]
    where = {flow: next(iter(net.to_service(tcp(flow[0], flow[2], flow[1], 80, SYN)))) for flow in flows}
    net.faults = {name: SeededFaults(seed + n) for n, name in enumerate(("depot", "web1", "web2"))}
    arrived = 0
    for n in range(80):
        client, vip, port = flow = random.choice(flows)
        octets = random.randbytes(random.choice((0, 30, 300, 1400)))
        if random.random() < 0.5:
            packet = tcp(client, port, vip, 80, ACK, seq=n, data=octets)
            out = net.to_service(packet)
        else:
            packet = tcp(vip, 80, client, port, ACK, seq=n, data=octets)
            out = net.from_server(where[flow], packet)
        sent.add(packet)
        arrived += sum(map(len, out.values()))
        assert all(sent.issuperset(packets) for packets in out.values())
    assert arrived > 25
    assert len(net.depot.sessions.primary) == 6


# Sessions, VCs and restarts.


def test_edge_answers_on_the_vc_that_the_packet_came_on() -> None:
    net = InMemoryNetwork()
    vcs = {}
    for port in range(4000, 4010):
        ((edge, _),) = net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN)).items()
        vcs[port] = edge, vc_of(net.seen[-1][2])
    assert len(set(vcs.values())) == 10
    for port, (edge, vc) in vcs.items():
        net.from_server(edge, tcp(VIP4, 80, CLIENT4, port, SYN | ACK))
        assert vc_of(net.seen[-1][2]) == vc


def test_edge_follows_when_the_depot_gives_a_vci_to_another_session() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp="session_vcis = 64"))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1))
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, 4000, RST | ACK, ack=2))
    net.advance(122 * 10**9)
    net.to_service(tcp(CLIENT4, 5000, VIP4, 80, SYN, seq=1))
    assert vc_of(net.seen[-1][2]) == (1, 64)
    new, old = tcp(VIP4, 80, CLIENT4, 5000, SYN | ACK), tcp(VIP4, 80, CLIENT4, 4000, ACK)
    assert net.from_server("web1", new) == {"depot": [new]}
    assert vc_of(net.seen[-1][2]) == (1, 64)
    assert net.from_server("web1", old) == {}
    assert vc_of(net.seen[-1][2]) == (1, 32)
    assert net.dropped() == {DropReason.NO_SESSION: 1}


@pytest.mark.parametrize("pair", PAIRS)
def test_edge_that_restarts_sends_answers_on_the_default_vc_and_they_reach_the_client(pair: tuple[str, str]) -> None:
    net = InMemoryNetwork()
    client, vip = pair
    ((edge, _),) = net.to_service(tcp(client, 4000, vip, 80, SYN)).items()
    vc = vc_of(net.seen[-1][2])
    net.restart_edge(edge)
    answer = tcp(vip, 80, client, 4000, SYN | ACK)
    assert net.from_server(edge, answer) == {"depot": [answer]}
    assert vc_of(net.seen[-1][2])[1] == 32
    net.to_service(tcp(client, 4000, vip, 80, ACK))
    assert net.from_server(edge, answer) == {"depot": [answer]}
    assert vc_of(net.seen[-1][2]) == vc, "a packet from the client teaches it the VC again"


def test_depot_that_restarts_knows_no_session_and_counts_it() -> None:
    net = InMemoryNetwork()
    ((edge, _),) = net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN)).items()
    net.restart_depot()
    assert net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK)) == {}
    assert net.depot.drops == {DropReason.NO_SESSION: 1}
    assert net.from_server(edge, tcp(VIP4, 80, CLIENT4, 4000, RST | ACK)) == {}, "only an open session is adopted"
    assert net.dropped() == {DropReason.NO_SESSION: 2}
    net.restart_edge(edge)
    assert net.from_server(edge, tcp(VIP4, 80, CLIENT4, 4000, ACK)) == {}, "on the default VC, no session"
    assert net.depot.drops == {DropReason.NO_SESSION: 3}
    for _ in range(2):
        assert net.to_service(tcp(CLIENT4, 4001, VIP4, 80, SYN)).keys() == {edge}, "the VCI of the old session"
    answer = tcp(VIP4, 80, CLIENT4, 4001, SYN | ACK)
    assert net.from_server(edge, answer) == {"depot": [answer]}


def test_server_on_the_wrong_vp_is_counted() -> None:
    net = InMemoryNetwork()
    ((edge, _),) = net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1)).items()
    other = {"web1": "web2", "web2": "web1"}[edge]
    assert net.from_server(other, tcp(VIP4, 80, CLIENT4, 4000, RST | ACK, ack=2)) == {}
    assert net.depot.drops == {DropReason.WRONG_PATH: 1}
    assert len(net.depot.sessions.primary) == 1


@pytest.mark.parametrize("own", [True, False])
def test_answer_counts_for_its_own_session_whatever_vc_it_comes_on(own: bool) -> None:
    net = InMemoryNetwork(make_network(servers=1))
    for port in (4000, 4001):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, seq=1))
    first, second = net.depot.sessions.primary.values()
    answer = tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=7, ack=2)
    net.depot.octets_from_port("to-web1", segment(answer, first.path.vc if own else second.path.vc), 0)
    assert net.depot.take_packets() == [answer]
    assert (first.packets_out, second.packets_out) == (1, 0)
    assert (first.client.state, second.client.state) == (TcpState.ESTABLISHED, TcpState.SYN_SENT)


# What is not forwarded.


@pytest.mark.parametrize(("packet", "reason"), [
    (tcp(CLIENT4, 1, "10.80.0.2", 80, SYN), DropReason.NOT_A_SERVICE),
    (tcp(CLIENT4, 1, VIP4, 81, SYN), DropReason.NOT_A_SERVICE),
    (tcp(CLIENT4, 1, VIP4, 81, ACK), DropReason.NOT_A_SERVICE),
    (tcp(CLIENT4, 1, VIP4, 80, ACK), DropReason.NO_SESSION),
    (tcp(CLIENT6, 1, "fd00:80::2", 80, SYN), DropReason.NOT_A_SERVICE),
    (ping(CLIENT4, "10.80.0.2"), DropReason.NOT_A_SERVICE),
    (udp(CLIENT6, 1, "fd00:80::2", 80), DropReason.NOT_A_SERVICE),
    (udp(CLIENT4, 1, "224.0.0.1", 80), DropReason.MULTICAST),
    (udp(CLIENT4, 1, "255.255.255.255", 80), DropReason.MULTICAST),
    (udp(CLIENT6, 1, "ff02::1", 80), DropReason.MULTICAST),
    (b"", DropReason.NOT_IP),
    (bytes(60), DropReason.NOT_IP),
    (b"\x55" * 60, DropReason.NOT_IP),
    (b"\x45" * 60, DropReason.MALFORMED),
    (b"\x45", DropReason.MALFORMED),
    (b"\x60", DropReason.MALFORMED),
])
def test_packet_that_is_not_forwarded_is_counted_by_its_reason(packet: bytes, reason: DropReason) -> None:
    net = InMemoryNetwork()
    assert net.to_service(packet) == {}
    assert net.dropped() == {reason: 1}


@pytest.mark.parametrize("pair", PAIRS)
def test_packet_cut_at_every_length_is_counted_at_both_ends(pair: tuple[str, str]) -> None:
    client, vip = pair
    syn = tcp(client, 1, vip, 80, SYN, options=bytes((1, 3, 3, 7)), data=b"data")
    for whole in (syn, udp(client, 1, vip, 80, b"x"), ping(client, vip, b"data")):
        for kept in range(len(whole)):
            net = InMemoryNetwork()
            reason = DropReason.MALFORMED if kept else DropReason.NOT_IP
            assert net.to_service(whole[:kept]) == {}
            assert net.from_server("web1", whole[:kept]) == {}
            assert net.depot.drops == net.edges["web1"].drops == {reason: 1}


def test_damaged_packets_from_a_link_are_counted_at_both_ends() -> None:
    """Good AAL5, bad IP: the receiving node says so."""
    net = InMemoryNetwork()
    for octets, reason in ((b"\x45" * 60, DropReason.MALFORMED), (b"\x00" * 60, DropReason.NOT_IP)):
        net.depot.links["to-web1"].send(octets, net.depot.bearer.vps["web1"].default.vc, 0)
        net.edges["web1"].link.send(octets, net.edges["web1"].table.default, 0)
        assert net.settle() == {}
        assert net.depot.drops[reason] == net.edges["web1"].drops[reason] == 1


@pytest.mark.parametrize("sdu", [
    bytes.fromhex("AAAA030000000806") + bytes(28),  # ARP
    bytes.fromhex("AAAA030080C200070000") + bytes(60),  # bridged Ethernet
    ping(CLIENT4, VIP4),  # no LLC at all
    b"\xAA"])
def test_sdu_of_another_encapsulation_is_counted_at_both_ends(sdu: bytes) -> None:
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-99"\nencapsulation = "llc"'))
    cells = segment(sdu, Vc(1, 32))
    edge = net.edges["web1"]
    net.depot.octets_from_port("to-web1", cells, 0)
    edge.octets_from_port("to-web1", cells, 0)
    assert net.settle() == {}
    assert net.depot.links["to-web1"].drops == edge.link.drops == {DropReason.UNKNOWN_ENCAPSULATION: 1}


# Too big.


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("excess", [0, 1, 500])
def test_packet_greater_than_the_vps_mtu_is_answered_from_both_ends(pair: tuple[str, str], excess: int) -> None:
    client, vip = pair
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-99"\nmtu = 1500'))
    size = 1500 - (40 if client == CLIENT4 else 60) + excess
    net.to_service(tcp(client, 7, vip, 80, SYN))
    there = tcp(client, 7, vip, 80, ACK, data=bytes(size))
    back = tcp(vip, 80, client, 7, ACK, data=bytes(size))
    if not excess:
        assert net.to_service(there) == {"web1": [there]}
        assert net.from_server("web1", back) == {"depot": [back]}
        return
    for packet, node, out in ((there, "depot", net.to_service(there)), (back, "web1", net.from_server("web1", back))):
        ((where, (answer,)),) = out.items()
        assert where == node, "the answer goes back to where the packet came from"
        kind = (3, 4) if client == CLIENT4 else (2, 0)
        start = 20 if client == CLIENT4 else 40
        assert tuple(answer[start:start + 2]) == kind
        assert int.from_bytes(answer[start + 4:start + 8], "big") == 1500
        assert packet.startswith(answer[start + 8:start + 36])
        ends = (slice(12, 16), slice(16, 20)) if client == CLIENT4 else (slice(8, 24), slice(24, 40))
        assert answer[ends[1]] == packet[ends[0]], "it is sent to the packet's sender"
        own = ("10.255.0." if client == CLIENT4 else "fd00:255::") + {"depot": "1", "web1": "2"}[node]
        assert answer[ends[0]] == packed(own), "it comes from the node's own address"
    assert net.depot.drops == net.edges["web1"].drops == {DropReason.TOO_BIG: 1}
    assert [link.tx_pdus for link in net.depot.links.values()] == [1, 0]


def test_packet_with_octets_after_its_end_never_makes_an_sdu_above_the_mtu() -> None:
    """Its total length fits, its octets do not: it would be lost at the far end, as too great an SDU."""
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-99"\nmtu = 1500'))
    packet = ping(CLIENT4, VIP4, bytes(1472))
    assert len(packet) == 1500
    assert len(net.to_service(packet)) == 1
    net.to_service(packet + b"\0")
    net.from_server("web1", ping(VIP4, CLIENT4, bytes(1472), reply=True) + b"\0")
    assert net.depot.drops == net.edges["web1"].drops == {DropReason.TOO_BIG: 1}
    assert net.dropped() == {DropReason.TOO_BIG: 2}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("quoted", [8, 20, 100])
def test_icmp_error_takes_the_session_of_the_packet_inside(pair: tuple[str, str], quoted: int) -> None:
    """Path MTU discovery dies without it. Its outer source is any router."""
    client, vip = pair
    net = InMemoryNetwork()
    head = 20 if client == CLIENT4 else 40
    router = "192.0.2.1" if client == CLIENT4 else "2001:db8::1"
    for port in range(4000, 4006):
        ((edge, _),) = net.to_service(tcp(client, port, vip, 80, SYN)).items()
        vc = vc_of(net.seen[-1][2])
        cut = tcp(vip, 80, client, port, ACK, data=bytes(2000))[:head + quoted]
        error = icmp_error(router, vip, cut)
        assert net.to_service(error) == {edge: [error]}
        assert vc_of(net.seen[-1][2]) == vc
        back = icmp_error(router, client, tcp(client, port, vip, 80, ACK)[:head + quoted])
        assert net.from_server(edge, back) == {"depot": [back]}
    unknown = icmp_error(router, vip, tcp(vip, 80, client, 9999, ACK)[:head + quoted])
    assert net.to_service(unknown) == {}
    assert net.dropped() == {DropReason.NO_SESSION: 1}


# Quality of service.


@pytest.mark.parametrize("dscp", range(64))
def test_dscp_of_the_syn_picks_the_category_and_drop_precedence_the_clp_of_the_cells(dscp: int) -> None:
    net = InMemoryNetwork()
    qos = QosMap()
    ((edge, _),) = net.to_service(tcp(CLIENT4, 7, VIP4, 80, SYN, dscp=dscp)).items()
    at_depot = next(iter(net.depot.sessions.primary.values())).path.vc
    at_edge = net.edges[edge].table.find(at_depot.vpi, at_depot.vci)
    assert at_edge is not None
    assert at_depot.category == at_edge.category == qos.category(dscp)
    assert at_depot.contract == at_edge.contract
    high = {8, 1, *(c << 3 | p << 1 for c in range(1, 5) for p in (2, 3))}  # CS1, LE, AFx2, AFx3
    for other in (dscp, 0, 12, 46):
        net.to_service(tcp(CLIENT4, 7, VIP4, 80, ACK, data=bytes(100), dscp=other))
        assert {word & 1 for word in headers_of(net.seen[-1][2])} == {int(other in high)}
        net.from_server(edge, tcp(VIP4, 80, CLIENT4, 7, ACK, data=bytes(100), dscp=other))
        assert {word & 1 for word in headers_of(net.seen[-1][2])} == {int(other in high)}
    assert at_depot.category == at_edge.category == qos.category(dscp), "a later packet changed the class"


def test_map_of_the_vc_table_is_used_at_both_ends() -> None:
    net = InMemoryNetwork(make_network(tables='[qos.dscp]\nEF = "GFR"'))
    ((edge, _),) = net.to_service(tcp(CLIENT4, 7, VIP4, 80, SYN, dscp=46)).items()
    vc = next(iter(net.depot.sessions.primary.values())).path.vc
    assert vc.category is net.edges[edge].table.find(vc.vpi, vc.vci).category is ServiceCategory.GFR


# The node's surface.


def test_packets_and_cells_are_given_once_and_counted() -> None:
    net = InMemoryNetwork()
    packet = ping(CLIENT4, VIP4)
    net.depot.packet_from_tun(packet, 0)
    link = next(link for link in net.depot.links.values() if link.cells_out)
    cells = link.transmit(0)
    assert (len(cells), link.transmit(0), link.tx_cells, link.tx_pdus) == (53, b"", 1, 1)
    edge = next(edge for edge in net.edges.values() if edge.link.name == link.name)
    edge.octets_from_port(link.name, cells, 0)
    assert (edge.take_packets(), edge.take_packets(), edge.tx_packets) == ([packet], [], 1)
    assert (edge.link.rx_cells, edge.link.rx_pdus, net.depot.rx_packets) == (1, 1, 1)


def test_timers_of_sessions_and_reassembly_are_both_asked_for() -> None:
    net = InMemoryNetwork()
    assert net.next_timer() is None
    net.to_service(tcp(CLIENT4, 7, VIP4, 80, SYN))
    session_timer = net.depot.next_timer()
    assert session_timer is not None
    assert session_timer > net.now + 2 * 10**9
    edge = net.edges["web1"]
    edge.packet_from_tun(tcp(VIP4, 80, CLIENT4, 7, ACK, data=bytes(500)), net.now)
    net.depot.octets_from_port("to-web1", edge.link.transmit(0)[:53], net.now)
    assert net.depot.next_timer() == net.now + 2 * 10**9
    net.depot.packet_from_tun(tcp(CLIENT4, 7, VIP4, 80, ACK, data=bytes(500)), net.now)
    edge.octets_from_port("to-web1", net.depot.links["to-web1"].transmit(0)[:53], net.now)
    assert edge.next_timer() == net.now + 2 * 10**9
    net.advance(2 * 10**9)
    assert net.dropped() == {DropReason.REASSEMBLY_TIMEOUT: 2}
    assert net.depot.next_timer() == session_timer


# Anything at all.

anything = st.one_of(
    no_packets, ip_packets,
    st.builds(lambda pair, port, flags, seq, octets: tcp(pair[0], port, pair[1], 80, flags, seq=seq, data=octets),
              pairs, st.integers(0, 3), st.integers(0, 255), st.sampled_from([0, 1, 2**31]), data),
    st.builds(lambda pair, octets: ping(*pair, octets), pairs, data),
    st.builds(lambda pair, port, octets: icmp_error(*pair, tcp(pair[1], 80, pair[0], port, ACK, data=octets)[:90]),
              pairs, st.integers(0, 3), data))
answers = st.one_of(
    no_packets, ip_packets,
    st.builds(lambda pair, port, flags, seq, octets: tcp(pair[1], 80, pair[0], port, flags, seq=seq, data=octets),
              pairs, st.integers(0, 3), st.integers(0, 255), st.sampled_from([0, 1, 2**31]), data))


@examples(150, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.just("client"), anything), st.tuples(st.just("web1"), answers), st.tuples(st.just("web2"), answers),
    st.tuples(st.just("noise"), st.binary(min_size=53, max_size=530).map(lambda noise: noise[:len(noise) // 53 * 53])),
    st.tuples(st.just("rest"), st.integers(0, 200).map(lambda seconds: seconds.to_bytes(2, "big")))), max_size=25),
    st.sampled_from([0.0, 0.2]), st.sampled_from([1, 10**6]))
def test_whatever_comes_nothing_is_raised_and_every_packet_is_accounted_for(
        steps: list[tuple[str, bytes]], faults: float, max_sessions: int) -> None:
    net = InMemoryNetwork(make_network(
        vp='session_vcis = "64-66"\nmtu = 1500', tables=f"[sessions]\nmax_sessions = {max_sessions}"))
    net.faults = {name: SeededFaults(n, faults) for n, name in enumerate(("depot", "web1", "web2"))}
    answered = 0
    for where, octets in steps:
        if where == "client":
            net.to_service(octets)
        elif where == "noise":
            net.depot.octets_from_port("to-web1", octets, net.now)
            net.edges["web2"].octets_from_port("to-web2", octets, net.now)
            net.settle()
        elif where == "rest":
            net.advance(int.from_bytes(octets, "big") * 10**9)
        else:
            net.from_server(where, octets)
        for node in (net.depot, *net.edges.values()):
            came_in = node.rx_packets + sum(link.rx_pdus for link in node.links.values())
            went_out = node.tx_packets + sum(link.tx_pdus for link in node.links.values())
            answered = came_in - went_out - node.drops.total() - sum(
                link.drops[DropReason.UNKNOWN_ENCAPSULATION] + link.drops[DropReason.BAD_STATISTICS]
                for link in node.links.values())
            answered -= sum(len(entry.held) for entry in node.fragments._entries.values())
            # Each ICMP answer is a packet out beside the one that was dropped for it.
            assert -node.drops[DropReason.TOO_BIG] <= answered <= 0
            for link in node.links.values():
                assert len(link.table) <= 5
                assert link.tx_cells >= link.tx_pdus
    net.advance(3600 * 10**9)
    assert not net.depot.sessions.primary
    assert not net.depot.sessions.secondary
    for node in (net.depot, *net.edges.values()):
        for link in node.links.values():
            assert [vc.vci for vc in link.table] == [32, 33]
            assert link.reassembler.octets_pending == 0
    assert all(not edge.flows for edge in net.edges.values())
    assert net.next_timer() is None
