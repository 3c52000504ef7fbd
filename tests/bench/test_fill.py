"""Idle sessions, as a depot sees them that is filled."""

from __future__ import annotations

import socket

from atmdepot.bench.fill import ack, answers, client, syn
from atmdepot.bench.lab_table import idle_vip_of, table_for
from atmdepot.config.reading import find, parse
from atmdepot.depot.forwarding import Depot
from atmdepot.wire.ip import Ipv4View, ip_view
from atmdepot.wire.tcp import ACK, SYN, TcpView

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NETWORK = parse(table_for(find("direct").read_text(), "filled", None, 1000))
VIP = socket.inet_aton(idle_vip_of(NETWORK))
COUNT = 100


def test_every_client_is_another_one_in_the_network_of_clients() -> None:
    far = [client(number) for number in (0, 1, 49_999, 50_000, 3_999_999)]
    assert len(set(far)) == len(far)
    assert all(address[0] == 10 and 16 <= address[1] < 32 and 1024 <= port < 65_536 for address, port in far)
    assert len({client(number) for number in range(0, 200_000, 7)}) == len(range(0, 200_000, 7))
    assert client(50_000) == (socket.inet_aton("10.16.0.2"), 1024)


def test_the_packets_are_good() -> None:
    for octets, flags in ((syn(7, VIP), SYN), (ack(7, VIP), ACK)):
        view = ip_view(octets)
        assert isinstance(view, Ipv4View)
        assert view.checksum_ok
        assert TcpView(octets[20:]).flags == flags


def fill(depot: Depot, *, acknowledged: bool) -> list[bytes]:
    """All handshakes; the packets that come out at the TUN device."""
    for number in range(COUNT):
        depot.packet_from_tun(syn(number, VIP), SECOND)
    train = depot.links["bench-idle"].transmit(0)
    answered = dict(answers(bytes(train)))
    assert list(answered) == [client(number) for number in range(COUNT)]
    depot.octets_from_port("bench-idle", b"".join(answered.values()), SECOND)
    out = depot.take_packets()
    for number in range(COUNT) if acknowledged else ():
        depot.packet_from_tun(ack(number, VIP), SECOND)
    assert not dict(answers(bytes(depot.links["bench-idle"].transmit(0)))), "only SYNs are answered"
    return list(out)


def test_a_depot_sees_whole_handshakes() -> None:
    depot = Depot(NETWORK, 0)
    out = fill(depot, acknowledged=True)
    assert len(out) == COUNT
    assert all(TcpView(bytes(packet[20:])).flags == SYN | ACK for packet in out)
    assert sum(depot.drops.values()) == 0
    sessions = list(depot.sessions.primary.values())
    assert len(sessions) == COUNT
    assert {(session.client.state, session.server_side.state) for session in sessions} == {
        ("ESTABLISHED", "ESTABLISHED")}


def test_filled_sessions_stay() -> None:
    depot = Depot(NETWORK, 0)
    fill(depot, acknowledged=True)
    now = SECOND
    while now < 30 * MINUTE:
        now += MINUTE // 2
        depot.handle_timer(now)
    assert len(depot.sessions.primary) == COUNT


def test_without_the_clients_ack_they_would_not() -> None:
    depot = Depot(NETWORK, 0)
    fill(depot, acknowledged=False)
    for second in range(2, 120):
        depot.handle_timer(second * SECOND)
    assert not depot.sessions.primary
