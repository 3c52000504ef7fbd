"""ICMP errors, of either side, go by the packet that they quote: its session, its fragment, or its client's server."""

from __future__ import annotations

from itertools import product
from struct import pack

import pytest

from atmdepot.drops import DropReason
from tests.depot.test_forwarding import PAIRS, vc_of
from tests.depot.test_other_traffic import ROUTERS, fragments
from tests.ip_packets import ACK, ICMP, SYN, TCP, UDP, icmp_error, ip, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, VIP4, VIP6, InMemoryNetwork, make_network

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS = 0, 43, 44, 51, 60
CHAINS = [chain for length in (1, 2) for chain in product(
    (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS), repeat=length)]


def with_extensions(packet: bytes, kinds: tuple[int, ...]) -> bytes:
    """An IPv6 packet with extension headers before its payload; of headers with a length, each is longer."""
    following, extensions = packet[6], b""
    for number, kind in reversed(list(enumerate(kinds, 1))):
        if kind == FRAGMENT:
            header = pack(">BBHI", following, 0, 1, 77)
        elif kind == AUTHENTICATION:
            header = pack(">BB", following, 4 + 2 * number - 2) + bytes(24 + 8 * number - 10)
        else:
            header = pack(">BB", following, number) + bytes(8 * number + 6)
        extensions, following = header + extensions, kind
    payload = extensions + packet[40:]
    return packet[:4] + len(payload).to_bytes(2, "big") + bytes((following, packet[7])) + packet[8:40] + payload


def network() -> InMemoryNetwork:
    return InMemoryNetwork(make_network(servers=4))


def is_dropped(net: InMemoryNetwork, packet: bytes, reason: DropReason, server: str = "") -> bool:
    """True when a packet from a client's or a server's side is dropped, and counted once, by this reason."""
    before = net.dropped()
    out = net.from_server(server, packet) if server else net.to_service(packet)
    after = net.dropped()
    return out == {} and {key: value - before.get(key, 0) for key, value in after.items()
                          if value != before.get(key, 0)} == {reason: 1}


@pytest.mark.parametrize("kinds", CHAINS, ids=str)
@pytest.mark.parametrize("make", [lambda *ends: tcp(*ends, SYN, data=bytes(1300)), udp], ids=["TCP", "UDP"])
def test_quoted_extension_headers_are_walked_whole_or_cut(kinds: tuple[int, ...], make: object) -> None:
    assert callable(make)
    net = network()
    for port in range(4000, 4004):
        ((server, _),) = net.to_service(make(CLIENT6, port, VIP6, 80)).items()
        vc = vc_of(net.seen[-1][2])
        whole = with_extensions(make(VIP6, 80, CLIENT6, port), kinds)
        there = with_extensions(make(CLIENT6, port, VIP6, 80), kinds)
        ports = whole.index(make(VIP6, 80, CLIENT6, port)[40:44], 40)
        for cut in (len(whole), ports + 8, ports + 4):
            error = icmp_error("2001:db8::1", VIP6, whole[:cut])
            assert net.to_service(error) == {server: [error]}
            assert vc_of(net.seen[-1][2]) == vc
            back = icmp_error("2001:db8::1", CLIENT6, there[:cut])
            assert net.from_server(server, back) == {"depot": [back]}
        for cut in range(40, ports + 4, 7):
            assert is_dropped(net, icmp_error("2001:db8::1", VIP6, whole[:cut]), DropReason.NO_SESSION)
            assert is_dropped(net, icmp_error("2001:db8::1", CLIENT6, there[:cut]), DropReason.NO_SESSION, server)


@pytest.mark.parametrize("words", range(1, 11))
def test_quoted_ipv4_options_are_skipped(words: int) -> None:
    net = network()
    net.to_service(tcp(CLIENT4, 1, VIP4, 80, SYN))
    ((server, _),) = net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN)).items()
    plain = tcp(VIP4, 80, CLIENT4, 4000, ACK)
    quoted = bytes((0x45 + words,)) + plain[1:20] + b"\1" * 4 * words + plain[20:28]
    error = icmp_error("192.0.2.1", VIP4, quoted)
    assert net.to_service(error) == {server: [error]}
    assert is_dropped(net, icmp_error("192.0.2.1", VIP4, quoted[:-5]), DropReason.NO_SESSION)


@pytest.mark.parametrize("last", range(2, 10))
@pytest.mark.parametrize("kind", ["echo reply", "SCTP", "GRE"])
@pytest.mark.parametrize("version", [4, 6])
def test_error_about_what_has_no_session_goes_to_its_clients_server(last: int, kind: str, version: int) -> None:
    """The router's address has no say, though the server is chosen by the client's."""
    net = network()
    client, vip = (f"10.9.0.{last}", VIP4) if version == 4 else (f"fd00:9::{last}", VIP6)
    for router in range(1, 9):
        source = f"192.0.2.{router}" if version == 4 else f"2001:db8::{router}"
        protocol = {"echo reply": ICMP, "SCTP": 132, "GRE": 47}[kind]
        asked = ping(client, vip) if kind == "echo reply" else ip(client, vip, protocol, bytes(20))
        answer = ping(vip, client, bytes(1500), reply=True) if kind == "echo reply" else ip(
            vip, client, protocol, bytes(1500))
        ((server, _),) = net.to_service(asked).items()
        for quoted in (answer, answer[:len(answer) - 1472], with_extensions(answer, (FRAGMENT,)) if version == 6
                       else answer):
            error = icmp_error(source, vip, quoted)
            assert net.to_service(error) == {server: [error]}
        back = icmp_error(source, client, asked)
        assert net.from_server(server, back) == {"depot": [back]}
    assert net.dropped() == {}


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_error_about_no_packet_of_this_network_is_dropped(client: str, vip: str) -> None:
    net = network()
    router = ROUTERS[client]
    net.to_service(tcp(client, 4000, vip, 80, SYN))
    other = "10.9.0.77" if client == CLIENT4 else "fd00:9::77"
    for quoted in (tcp(vip, 80, client, 4001, ACK), tcp(vip, 81, client, 4000, ACK), udp(vip, 80, client, 4000),
                   tcp(other, 80, client, 4000, ACK), ping(other, client, reply=True), b"", bytes(28), b"\x45" * 60,
                   tcp(vip, 80, client, 4000, ACK)[:21]):
        assert is_dropped(net, icmp_error(router, vip, quoted), DropReason.NO_SESSION)
    for quoted in (tcp(client, 4001, vip, 80, ACK), udp(client, 4000, vip, 80), tcp(other, 4000, vip, 80, ACK),
                   ping(other, vip), b"", bytes(28)):
        assert is_dropped(net, icmp_error(router, client, quoted), DropReason.NO_SESSION, "web1")
    assert is_dropped(net, icmp_error(router, client, ping(client, other)), DropReason.NOT_A_SERVICE, "web1")


@pytest.mark.parametrize("size", range(9))
@pytest.mark.parametrize(("router", "vip", "protocol"), [("192.0.2.1", VIP4, ICMP), ("2001:db8::1", VIP6, 58)])
def test_error_that_is_cut_short_raises_nothing(router: str, vip: str, protocol: int, size: int) -> None:
    """An ICMPv6 packet without a type counts as an error, an ICMP packet as none."""
    net = network()
    packet = ip(router, vip, protocol, bytes((3,) * size))
    if size == 0 and protocol == ICMP:
        assert len(net.to_service(packet)) == 1
    else:
        assert is_dropped(net, packet, DropReason.NO_SESSION)
    client = CLIENT4 if protocol == ICMP else CLIENT6
    assert net.from_server("web1", ip(router, client, protocol, bytes((3,) * size))) == {}


def test_icmpv6_redirect_quotes_no_packet() -> None:
    net = network()
    redirect = b"\x89" + bytes(39) + ping(VIP6, CLIENT6, reply=True)
    assert is_dropped(net, ip("fe80::1", VIP6, 58, redirect), DropReason.NO_SESSION)


@pytest.mark.parametrize("server", ["web1", "web2", "web3", "web4"])
def test_error_from_another_server_than_the_sessions_is_dropped(server: str) -> None:
    net = network()
    ((mine, _),) = net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN)).items()
    error = icmp_error("192.0.2.1", CLIENT4, tcp(CLIENT4, 4000, VIP4, 80, ACK))
    if server == mine:
        assert net.from_server(server, error) == {"depot": [error]}
    else:
        assert is_dropped(net, error, DropReason.WRONG_PATH, server)


@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("protocol", [TCP, UDP, ICMP])
def test_error_about_a_later_fragment_follows_its_packet(client: str, vip: str, protocol: int) -> None:
    net = network()
    for port in range(4000, 4004):
        there, back = {
            TCP: (tcp(client, port, vip, 80, SYN), tcp(vip, 80, client, port, ACK, data=bytes(600))),
            UDP: (udp(client, port, vip, 80), udp(vip, 80, client, port, bytes(600))),
            ICMP: (ping(client, vip), ping(vip, client, bytes(600), reply=True))}[protocol]
        ((server, _),) = net.to_service(there).items()
        first, second, *_ = fragments(back, identification=port)
        unknown = icmp_error(ROUTERS[client], vip, second)
        if protocol != ICMP:
            assert is_dropped(net, unknown, DropReason.NO_SESSION), "its packet is not known yet"
        assert net.from_server(server, first) == {"depot": [first]}
        assert net.from_server(server, second) == {"depot": [second]}
        assert net.to_service(unknown) == {server: [unknown]}
        first, second, *_ = fragments(there + bytes(600), identification=port)
        assert net.to_service(first) == {server: [first]}
        error = icmp_error(ROUTERS[client], client, second)
        assert net.from_server(server, error) == {"depot": [error]}
        if protocol != ICMP:
            other = "web1" if server != "web1" else "web2"
            assert is_dropped(net, error, DropReason.WRONG_PATH, other)


def test_error_about_a_later_fragment_of_options_is_dropped_when_its_packet_is_unknown() -> None:
    """Its Next Header names an extension header, not the protocol."""
    net = network()
    quoted = ip(VIP6, CLIENT6, FRAGMENT, pack(">BBHI", DESTINATION_OPTIONS, 0, 641, 5) + bytes(100))
    assert is_dropped(net, icmp_error("2001:db8::1", VIP6, quoted), DropReason.NO_SESSION)
