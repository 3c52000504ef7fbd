"""Packets from a server's side: answers pass, errors about clients' packets, and what is allowed; others do not."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import NetworkError, find, parse
from atmdepot.drops import DropReason
from tests.depot.test_forwarding import PAIRS
from tests.depot.test_icmp_errors import is_dropped
from tests.depot.test_other_traffic import fragments
from tests.ip_packets import ACK, ICMP, SYN, TCP, UDP, ip, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from atmdepot.config.model import Network

STRANGERS = {CLIENT4: "192.0.2.9", CLIENT6: "2001:db8::9"}
OTHER_VIP = "10.80.0.9"
OTHER = f'[services.other]\nvip = ["{OTHER_VIP}"]\nservers = ["web2"]\n'


def packets_from(source: str, client: str) -> list[bytes]:
    """A packet of each kind that belongs to no flow."""
    return [udp(source, 53, client, 53, b"x"), ping(source, client), ping(source, client, reply=True),
            ip(source, client, 47, bytes(20)), ip(source, client, 50, bytes(20))]


@pytest.mark.parametrize("client", [CLIENT4, CLIENT6])
def test_strangers_packets_are_dropped_whatever_their_protocol(client: str) -> None:
    net = InMemoryNetwork()
    for packet in packets_from(STRANGERS[client], client):
        assert is_dropped(net, packet, DropReason.NOT_A_SERVICE, "web1")
    assert is_dropped(net, tcp(STRANGERS[client], 80, client, 5, SYN), DropReason.NO_SESSION, "web1")


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMP, 47])
def test_strangers_later_fragments_are_dropped_at_once(protocol: int) -> None:
    net = InMemoryNetwork()
    later = ip("192.0.2.9", CLIENT4, protocol, bytes(40), identification=5, fragment=100)
    edge = net.edges["web1"]
    edge.link.send(later, edge.table.default, 0)
    net.settle()
    assert net.depot.drops == {DropReason.NOT_A_SERVICE: 1}


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_vip_may_answer_but_not_speak_udp_unasked(client: str, vip: str) -> None:
    net = InMemoryNetwork()
    for port in (80, 4444):
        assert is_dropped(net, udp(vip, port, client, 5, b"x"), DropReason.NO_SESSION, "web1")
    for packet in (ping(vip, client, reply=True), ip(vip, client, 47, bytes(20)), ip(vip, client, 132, bytes(20))):
        assert net.from_server("web1", packet) == {"depot": [packet]}


def test_answer_of_a_flow_that_is_over_is_dropped() -> None:
    net = InMemoryNetwork()
    ((server, _),) = net.to_service(udp(CLIENT4, 5, VIP4, 80)).items()
    answer = udp(VIP4, 80, CLIENT4, 5)
    assert net.from_server(server, answer) == {"depot": [answer]}
    net.to_service(udp(CLIENT4, 5, VIP4, 80))  # on the VC that an answered flow has of its own
    assert is_dropped(net, answer, DropReason.WRONG_PATH, "web2" if server == "web1" else "web1")
    net.advance(200 * SECOND)
    assert is_dropped(net, answer, DropReason.UNKNOWN_VC, server), "its VCI is free"
    net.restart_edge(server)
    assert is_dropped(net, answer, DropReason.NO_SESSION, server)


@pytest.mark.parametrize("make", [lambda vip: ping(vip, CLIENT4, reply=True), lambda vip: ip(vip, CLIENT4, 47, b"x"),
                                  lambda vip: ip(vip, CLIENT4, 47, bytes(40), identification=5, fragment=100)])
def test_only_a_vips_own_servers_speak_for_it(make: object) -> None:
    assert callable(make)
    net = InMemoryNetwork(make_network(tables=OTHER))
    edge = net.edges["web1"]
    edge.link.send(make(OTHER_VIP), edge.table.default, 0)
    assert net.settle() == {}
    assert net.depot.drops == {DropReason.WRONG_PATH: 1}
    assert net.from_server("web2", make(VIP4)).keys() <= {"depot"}
    assert net.depot.drops == {DropReason.WRONG_PATH: 1}


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_later_fragments_wait_for_the_first_and_pass_only_on_its_link(client: str, vip: str) -> None:
    net = InMemoryNetwork()
    ((server, _),) = net.to_service(udp(client, 5, vip, 80)).items()
    other = "web2" if server == "web1" else "web1"
    first, *later = fragments(udp(vip, 80, client, 5, bytes(700)))

    def on(name: str, packet: bytes) -> dict[str, list[bytes]]:
        edge = net.edges[name]  # past the edge node's own map of fragments
        edge.link.send(packet, edge.table.default, 0)
        return net.settle()

    assert on(server, later[0]) == {}
    assert on(server, first) == {"depot": [first, later[0]]}
    assert on(other, later[1]) == {}
    assert net.dropped() == {DropReason.FRAGMENT: 1}
    assert on(server, later[1]) == {"depot": [later[1]]}


def test_first_fragment_that_must_not_pass_lets_no_other_follow() -> None:
    net = InMemoryNetwork()
    first, later, *_ = fragments(udp(VIP4, 80, CLIENT4, 5, bytes(700)))
    assert net.from_server("web1", first) == {}
    assert net.from_server("web1", later) == {}
    net.advance(6 * SECOND)
    assert net.dropped() == {DropReason.NO_SESSION: 1, DropReason.FRAGMENT: 1}


# IPv6 fragments (RFC 8200 section 4.5).


def fragment6(source: str, destination: str, next_header: int, offset: int, more: int, data: bytes) -> bytes:
    return ip(source, destination, 44, pack(">BBHI", next_header, 0, offset | more, 0x1234) + data)


OPTIONS = bytes((UDP, 0, 1, 4, 0, 0, 0, 0))
TWO_OPTIONS = bytes((60, 0, 1, 4, 0, 0, 0, 0)) + OPTIONS


@pytest.mark.parametrize("next_headers", [(60, 60), (60, UDP), (60, 59), (60, 0)], ids=str)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("options", [OPTIONS, TWO_OPTIONS], ids=["one", "two"])
def test_fragmentable_part_may_begin_with_extension_headers(
        next_headers: tuple[int, int], order: tuple[int, int], options: bytes) -> None:
    net = InMemoryNetwork()
    ((server, _),) = net.to_service(udp(CLIENT6, 5353, VIP6, 80)).items()
    for source, destination in ((CLIENT6, VIP6), (VIP6, CLIENT6)):
        ports = (5353, 80) if source == CLIENT6 else (80, 5353)
        part = options + pack(">HHHH", *ports, 8 + 1200, 0) + bytes(1200)
        parts = [fragment6(source, destination, next_headers[0], 0, 1, part[:640]),
                 fragment6(source, destination, next_headers[1], 640, 0, part[640:])]
        got: dict[str, list[bytes]] = {}
        for number in order:
            out = net.to_service(parts[number]) if source == CLIENT6 else net.from_server(server, parts[number])
            for name, packets in out.items():
                got.setdefault(name, []).extend(packets)
        assert got == {server if source == CLIENT6 else "depot": parts}
    net.advance(6 * SECOND)
    assert net.dropped() == {}


# What is allowed.

NETWORKS = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]


def allowing(networks: list[str]) -> Network:
    """The table of `direct`, with `allow` on web1."""
    text = find("direct").read_text()
    assert "[servers.web1]\n" in text
    return parse(text.replace("[servers.web1]\n", f"[servers.web1]\nallow = {networks}\n"))


def test_allowed_networks_pass_from_their_edge_node_alone() -> None:
    net = InMemoryNetwork(allowing(NETWORKS))
    for source, client in (("192.0.2.9", CLIENT4), ("198.51.100.7", CLIENT4), ("2001:db8::9", CLIENT6)):
        for packet in (*packets_from(source, client), tcp(source, 5, client, 6, SYN), tcp(source, 5, client, 6, ACK)):
            assert net.from_server("web1", packet) == {"depot": [packet]}
            assert net.from_server("web2", packet) == {}
    for source, client in (("192.0.3.9", CLIENT4), ("198.51.100.8", CLIENT4), ("2001:db9::9", CLIENT6)):
        for packet in packets_from(source, client):
            assert is_dropped(net, packet, DropReason.NOT_A_SERVICE, "web1")


def test_a_session_of_another_server_is_not_allowed_by_its_address() -> None:
    net = InMemoryNetwork(allowing([VIP4]))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    ((server, _),) = net.to_service(tcp(CLIENT4, 4001, VIP4, 80, SYN)).items()
    assert server == "web2"
    assert is_dropped(net, tcp(VIP4, 80, CLIENT4, 4001, ACK), DropReason.WRONG_PATH, "web1")
    own = udp(VIP4, 514, CLIENT4, 514)
    assert net.from_server("web1", own) == {"depot": [own]}
    assert is_dropped(net, own, DropReason.NO_SESSION, "web2")


def test_reload_changes_what_is_allowed() -> None:
    net = InMemoryNetwork(allowing([]))
    packet = ping("192.0.2.9", CLIENT4)
    assert net.from_server("web1", packet) == {}
    net.depot.reconfigure(allowing(NETWORKS), net.now)
    assert net.from_server("web1", packet) == {"depot": [packet]}


@pytest.mark.parametrize(("text", "said"), [
    ("192.0.2.1/24", '"192.0.2.0/24"'), ("2001:db8::1/64", '"2001:db8::/64"'), ("here", "no IP network"),
    ("fe80::1%eth0", "no IP network"), ("192.0.2.0/33", "no IP network"), ("", "no IP network")])
def test_wrong_network_is_named_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(NetworkError) as error:
        allowing([text])
    (problem,) = error.value.problems
    assert "servers.web1.allow" in problem
    assert said in problem
