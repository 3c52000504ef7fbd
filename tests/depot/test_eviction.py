"""Full tables: what goes first, what never goes, and that the depot's own probes always have a place."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest

from atmdepot.depot.explain import explain
from atmdepot.drops import DropReason
from atmdepot.wire.packet import TcpFields, analyse
from tests.depot.playbook import Playbook
from tests.ip_packets import ACK, RST, SYN, tcp, udp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

SMALL = "[sessions]\nmax_sessions = 40\nmax_half_open = 10\n"
PROBE = tcp(CLIENT4, 9, VIP4, 80, SYN)


def spoofed(n: int) -> str:
    return f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def syns(net: InMemoryNetwork, numbers: range) -> None:
    for n in numbers:
        net.to_service(tcp(spoofed(n), 1024, VIP4, 80, SYN, seq=n))


def pairs(net: InMemoryNetwork, numbers: range) -> None:
    """SYN, the server's SYN+ACK, and an RST at ISN + 1 from an address that never was there."""
    for n in numbers:
        ((at, _),) = net.to_service(tcp(spoofed(n), 1024, VIP4, 80, SYN, seq=n)).items()
        net.from_server(at, tcp(VIP4, 80, spoofed(n), 1024, SYN | ACK, seq=1, ack=n + 1))
        net.to_service(tcp(spoofed(n), 1024, VIP4, 80, RST, seq=n + 1))


def datagrams(net: InMemoryNetwork, numbers: range) -> None:
    for n in numbers:
        net.to_service(udp(spoofed(n), 1024, VIP4, 80, b"x"))


FLOODS = [syns, pairs, datagrams]


def open_sessions(play: Playbook, ports: range) -> dict[int, str]:
    where = {}
    for play.port in ports:
        where[play.port] = play.open()
    return where


def speak(play: Playbook, where: dict[int, str]) -> None:
    """Both ends of each session send, and are heard."""
    for play.port, play.at in where.items():
        assert play.client >> "PA seq=101 ack=301 len=10" == play.at
        assert play.server >> "PA seq=301 ack=101 len=10" == "client"
        assert (play.states, play.table) == (("ESTABLISHED", "ESTABLISHED"), "primary")


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("held", [0, 20, 35])
def test_flood_refuses_no_session_and_ends_none(flood: object, held: int) -> None:
    assert callable(flood)
    play = Playbook(make_network(tables=SMALL))
    where = open_sessions(play, range(4000, 4000 + held))
    numbers = count(0, 200)
    for port in range(5000, 5030):
        start = next(numbers)
        flood(play.net, range(start, start + 200))
        play.port = port
        assert play.open() in ("web1", "web2")
        play.close()
    speak(play, where)
    assert play.net.dropped() == {}
    tables = play.net.depot.sessions
    assert len(tables.primary) + len(tables.secondary) <= 40


@pytest.mark.parametrize("flood", FLOODS)
def test_probes_have_a_place_in_a_table_full_of_established_sessions(flood: object) -> None:
    assert callable(flood)
    play = Playbook(make_network(tables=SMALL))
    net = play.net
    where = open_sessions(play, range(4000, 4040))
    flood_with = range(100)
    for _ in range(5):
        if flood is not pairs:
            flood(net, flood_with)
        net.depot.probes[analyse(PROBE).key] = net.depot.management.servers["web2"]
        assert explain(net.depot, PROBE, net.now).server == "web2"
        assert net.to_service(PROBE) == {"web2": [PROBE]}
        if flood is not pairs:
            flood(net, flood_with)  # pushes out no probe that waits for its answer
        assert net.from_server("web2", tcp(VIP4, 80, CLIENT4, 9, SYN | ACK, seq=1, ack=1))
        assert net.to_service(tcp(CLIENT4, 9, VIP4, 80, RST, seq=1))
        net.advance(3 * SECOND)
    assert net.depot.drops.keys() <= {DropReason.TABLE_FULL}
    assert len(net.depot.sessions.primary) == 40
    speak(play, where)


@pytest.mark.parametrize("flood", [syns, datagrams])
def test_flood_pushes_out_no_probe_that_waits_for_its_answer(flood: object) -> None:
    assert callable(flood)
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_half_open = 3\nmax_sessions = 10"))
    net.depot.probes[analyse(PROBE).key] = net.depot.management.servers["web1"]
    net.to_service(PROBE)
    flood(net, range(100))
    assert net.from_server("web1", tcp(VIP4, 80, CLIENT4, 9, SYN | ACK, seq=1, ack=1))
    assert net.dropped() == {}


@pytest.mark.parametrize("flood", [syns, datagrams])
def test_flood_fills_no_servers_bound(flood: object) -> None:
    assert callable(flood)
    network = make_network()
    for name, server in network.servers.items():
        network.servers[name] = msgspec.structs.replace(server, max_sessions=5)
    play = Playbook(network)
    flood(play.net, range(100))
    where = open_sessions(play, range(4000, 4010))
    assert sorted(where.values()) == ["web1"] * 5 + ["web2"] * 5
    play.port = 5000
    assert explain(play.net.depot, tcp(CLIENT4, 5000, VIP4, 80, SYN), play.net.now).reason == DropReason.NO_SERVER
    assert play.client >> "S seq=1" == "no-server", "all are established"
    speak(play, where)


def test_order_is_closed_half_open_unanswered_and_never_established() -> None:
    play = Playbook(make_network(tables="[sessions]\nmax_sessions = 7\nmax_half_open = 4\n"))
    net, tables = play.net, play.net.depot.sessions
    where = open_sessions(play, range(4000, 4002))
    for play.port in (4100, 4101):
        play.open()
        play.close()
    net.to_service(udp(CLIENT4, 1, VIP4, 80))
    syns(net, range(2))
    assert len(tables.primary) + len(tables.secondary) == 7
    told = []
    for n in range(10, 17):
        expected = tables.eviction.pushed_out(analyse(tcp(spoofed(n), 1024, VIP4, 80, SYN)).key)
        assert expected is not None
        before = (tables.evicted_closed, tables.evicted, tables.evicted_unanswered)
        syns(net, range(n, n + 1))
        after = (tables.evicted_closed, tables.evicted, tables.evicted_unanswered)
        assert expected.table == "gone"
        told.append("chu"[[b - a for a, b in zip(before, after, strict=True)].index(1)])
    assert told == ["c", "c", "h", "h", "h", "h", "h"]
    # No half-open session is left: each handshake has ended.
    for session in list(tables.eviction.half_open):
        isn = session.client.isn
        tables.track(session, TcpFields(700, isn + 1, SYN | ACK, 65535, 0), net.now, from_client=False)
        tables.track(session, TcpFields(isn + 1, 701, ACK, 65535, 0), net.now, from_client=True)
    assert (len(tables.eviction.half_open), len(tables.eviction.unanswered), len(tables.primary)) == (0, 1, 7)
    syns(net, range(30, 31))
    assert tables.evicted_unanswered == 1
    speak(play, where)


def test_pairs_leave_nothing_for_longer_than_seconds() -> None:
    """8,300 pairs a second filled a table of a million for 120 s each."""
    net = InMemoryNetwork()
    tables = net.depot.sessions
    most = 0
    for second in range(30):
        pairs(net, range(100 * second, 100 * (second + 1)))
        net.advance(SECOND)
        most = max(most, len(tables.secondary))
    assert most <= 700
    assert tables.primary == {}
    net.advance(7 * SECOND)
    assert tables.secondary == {}
    assert sum(len(link.table) for link in net.depot.links.values()) == 4


def test_handshake_that_was_refused_is_forgotten_in_seconds_and_an_established_session_in_2_msl() -> None:
    play = Playbook()
    play.at = play.client >> "S seq=100"
    assert play.server >> "RA seq=0 ack=101" == "client"
    assert play.table == "secondary"
    play.wait("7s")
    assert play.table == "none"
    play.open()
    assert play.server >> "R seq=301" == "client"
    play.wait("119s")
    assert play.table == "secondary"
    play.wait("3s")
    assert play.table == "none"
