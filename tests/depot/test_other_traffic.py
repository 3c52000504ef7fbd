"""UDP flows, ICMP errors and fragments through depot and edge nodes: octet for octet, on the right VC, both ways."""

from __future__ import annotations

from itertools import permutations

import pytest

from atmdepot.drops import DropReason
from atmdepot.wire.packet import analyse
from tests.depot.servers import kill, revive
from tests.depot.test_forwarding import PAIRS, vc_of
from tests.ip_packets import ACK, SYN, TCP, icmp_error, ip, packed, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network

ROUTERS = {CLIENT4: "192.0.2.1", CLIENT6: "2001:db8::1"}


def last_vc(net: InMemoryNetwork) -> tuple[int, int]:
    return vc_of(net.seen[-1][2])


# UDP flows.


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_flow_keeps_its_server_and_its_vc_both_ways(client: str, vip: str) -> None:
    net = InMemoryNetwork()
    vcs = set()
    for port, server in ((5001, "web1"), (5002, "web2"), (5003, "web1")):
        for size in (0, 1, 1400):
            request, answer = udp(client, port, vip, 80, bytes(size)), udp(vip, 80, client, port, bytes(size))
            assert net.to_service(request) == {server: [request]}
            vc = last_vc(net)
            assert (vc[1] == 32) == (size == 0), "a VCI of its own comes with the first answer"
            assert net.from_server(server, answer) == {"depot": [answer]}
            assert last_vc(net) == vc
            if size:
                vcs.add(vc)
    assert len(vcs) == 3
    flow = next(iter(net.depot.sessions.primary.values()))
    assert (flow.packets_in, flow.packets_out) == (3, 3)
    assert flow.octets_in == flow.octets_out > 1400
    assert net.dropped() == {}


@pytest.mark.parametrize("end", ["client", "server"])
def test_flow_lives_while_packets_pass_either_way_and_then_its_vci_comes_free(end: str) -> None:
    net = InMemoryNetwork(make_network(servers=1, vp='session_vcis = 64', tables='[sessions]\nudp_idle = "10s"'))
    request, answer = udp(CLIENT4, 5, VIP4, 80), udp(VIP4, 80, CLIENT4, 5)
    net.to_service(request)
    net.from_server("web1", answer)
    net.to_service(request)
    for _ in range(5):
        net.advance(9 * SECOND)
        if end == "client":
            net.to_service(request)
        else:
            net.from_server("web1", answer)
        assert last_vc(net) == (1, 64)
    net.advance(12 * SECOND)
    assert net.depot.sessions.primary == net.depot.sessions.secondary == {}
    assert net.depot.management.servers["web1"].primary_sessions == 0
    other = udp(CLIENT4, 6, VIP4, 80)
    assert net.to_service(other) == {"web1": [other]}
    net.from_server("web1", udp(VIP4, 80, CLIENT4, 6))
    net.to_service(other)
    assert last_vc(net) == (1, 64), "the VCI is used again"


@pytest.mark.parametrize(("tables", "port", "reason"), [
    ("[sessions]\nmax_sessions = 1", 80, DropReason.TABLE_FULL), ("", 53, DropReason.NOT_A_SERVICE)])
def test_flow_that_cannot_be_is_counted(tables: str, port: int, reason: DropReason) -> None:
    net = InMemoryNetwork(make_network(tables=tables))
    net.to_service(udp(CLIENT4, 4, VIP4, 80))
    net.from_server("web1", udp(VIP4, 80, CLIENT4, 4))
    assert net.to_service(udp(CLIENT4, 5, VIP4, port)) == {}
    assert net.dropped() == {reason: 1}
    again = udp(CLIENT4, 4, VIP4, 80)
    assert net.to_service(again) == {"web1": [again]}


def test_flow_without_a_server_is_counted_and_goes_on_when_one_is_there() -> None:
    net = InMemoryNetwork()
    for server in net.depot.management.servers.values():
        kill(server)
    packet = udp(CLIENT4, 5, VIP4, 80)
    assert net.to_service(packet) == {}
    assert net.dropped() == {DropReason.NO_SERVER: 1}
    revive(net.depot.management.servers["web2"])
    assert net.to_service(packet) == {"web2": [packet]}


def test_answer_of_another_server_is_counted_and_keeps_nothing_alive() -> None:
    net = InMemoryNetwork()
    net.to_service(udp(CLIENT4, 5, VIP4, 80))
    assert net.from_server("web2", udp(VIP4, 80, CLIENT4, 5)) == {}
    assert net.dropped() == {DropReason.WRONG_PATH: 1}
    (flow,) = net.depot.sessions.primary.values()
    assert flow.packets_out == 0


# ICMP errors.


@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("make", [lambda *ends: tcp(*ends, SYN), udp], ids=["TCP", "UDP"])
def test_icmp_error_goes_where_the_packet_inside_it_goes(client: str, vip: str, make: object) -> None:
    assert callable(make)
    net = InMemoryNetwork()
    for port in range(4000, 4004):
        ((server, _),) = net.to_service(make(client, port, vip, 80)).items()
        vc = last_vc(net)
        error = icmp_error(ROUTERS[client], vip, make(vip, 80, client, port)[:48])
        assert net.to_service(error) == {server: [error]}
        assert last_vc(net) == vc
        back = icmp_error(ROUTERS[client], client, make(client, port, vip, 80)[:48])
        assert net.from_server(server, back) == {"depot": [back]}
    assert net.dropped() == {}


# Fragments.


def fragments(whole: bytes, identification: int = 7, sizes: int = 200) -> list[bytes]:
    """An IPv4 or IPv6 packet cut as a router or its sender would."""
    head = 20 if whole[0] >> 4 == 4 else 40
    body = whole[head:]
    parts = []
    for at in range(0, len(body), sizes):
        part, more = body[at:at + sizes], at + sizes < len(body)
        if head == 20:
            parts.append(ip(whole[12:16], whole[16:20], whole[9], part, identification=identification,
                            fragment=more << 13 | at // 8))
        else:
            extension = bytes((whole[6], 0)) + (at | more).to_bytes(2, "big") + identification.to_bytes(4, "big")
            parts.append(ip(whole[8:24], whole[24:40], 44, extension + part))
    return parts


@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
@pytest.mark.parametrize("kind", ["TCP", "UDP"])
def test_fragments_in_any_order_follow_their_first_both_ways(
        client: str, vip: str, order: tuple[int, ...], kind: str) -> None:
    net = InMemoryNetwork()
    data = bytes(range(256)) * 3
    for port in range(4000, 4002):
        if kind == "TCP":
            ((server, _),) = net.to_service(tcp(client, port, vip, 80, SYN)).items()
            there = tcp(client, port, vip, 80, ACK, data=data[:750])
            back = tcp(vip, 80, client, port, ACK, data=data[:750])
        else:
            there, back = udp(client, port, vip, 80, data[:750]), udp(vip, 80, client, port, data[:750])
            ((server, _),) = net.to_service(udp(client, port, vip, 80)).items()
        vc = last_vc(net)
        for whole in (there, back):
            parts = fragments(whole, identification=port)
            assert len(parts) == 4
            net.seen.clear()
            got: list[bytes] = []
            for n in order:
                out = net.to_service(parts[n]) if whole is there else net.from_server(server, parts[n])
                assert set(out) <= {server if whole is there else "depot"}
                got += [packet for packets in out.values() for packet in packets]
            assert sorted(got) == sorted(parts)
            assert got.index(parts[0]) == 0 or order[0] == 0, "nothing goes before the first"
            assert {vc_of(cells) for _, _, cells in net.seen} == {vc}
    assert net.dropped() == {}


@pytest.mark.parametrize(("client", "vip", "size"), [
    (CLIENT4, VIP4, 552), (CLIENT4, VIP4, 1256), (CLIENT6, VIP6, 1232)])
def test_greatest_datagram_passes_though_its_fragments_come_in_reverse(client: str, vip: str, size: int) -> None:
    """64 KB at the least MTUs has up to 119 fragments."""
    net = InMemoryNetwork()
    ((server, _),) = net.to_service(udp(client, 5, vip, 80)).items()
    for there in (True, False):
        ends = (client, 5, vip, 80) if there else (vip, 80, client, 5)
        parts = fragments(udp(*ends, bytes(65_400)), sizes=size)
        got: list[bytes] = []
        for part in reversed(parts):
            for packets in (net.to_service(part) if there else net.from_server(server, part)).values():
                got += packets
        assert sorted(got) == sorted(parts)
        assert got[0] == parts[0]
    assert net.dropped() == {}


def test_fragments_that_wait_in_vain_are_counted_in_time() -> None:
    net = InMemoryNetwork()
    first, *later = fragments(udp(CLIENT4, 5, VIP4, 80, bytes(700)))
    for part in later:
        assert net.to_service(part) == {}
    assert net.depot.next_timer() == net.now + 5 * SECOND
    net.advance(5 * SECOND)
    assert net.dropped() == {DropReason.FRAGMENT: 3}
    assert net.to_service(first) == {"web1": [first]}, "the first alone"


def test_two_packets_with_one_identification_are_told_apart_by_their_ends() -> None:
    net = InMemoryNetwork()
    ones, others = (fragments(udp(source, 5, VIP4, 80, bytes(300))) for source in (CLIENT4, "10.9.0.3"))
    assert net.to_service(ones[0]).keys() == {"web1"}
    assert net.to_service(others[0]).keys() == {"web2"}
    assert net.to_service(ones[1]) == {"web1": [ones[1]]}
    assert net.to_service(others[1]) == {"web2": [others[1]]}


def test_fragment_tells_its_packet_in_both_families() -> None:
    for client, vip in PAIRS:
        parts = [analyse(octets) for octets in fragments(udp(client, 5, vip, 80, bytes(500)), identification=9)]
        assert [one.later for one in parts] == [False, True, True]
        assert {(one.identification, one.protocol, one.source, one.fragment) for one in parts} == {
            (9, 17, packed(client), True)}
    whole = analyse(ip(CLIENT4, VIP4, TCP, tcp(CLIENT4, 1, VIP4, 80, ACK)[20:], identification=9))
    assert (whole.fragment, whole.later, whole.identification) == (False, False, 0)
