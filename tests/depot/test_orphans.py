"""Servers' packets of sessions unknown to the depot: adopted on a VC of the session range, else as `orphan` says."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.bearer.vci_pool import VciPool
from atmdepot.config.units import VciRange
from atmdepot.depot.session import SessionEvent, Table
from atmdepot.depot.tcp_tracking import TcpState
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.ip import PROTOCOL_TCP, ip_view
from atmdepot.wire.tcp import TcpView
from tests.depot.test_forwarding import PAIRS, vc_of
from tests.ip_packets import ACK, FIN, PSH, RST, SYN, packed, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, InMemoryNetwork, make_network, make_sets

RANGES = ['session_vcis = "64-65535"', 'session_vcis = 64', 'session_vcis = "64-65535"\nencapsulation = "llc"']
RESET = '[sessions]\norphan = "reset"'


def opened(net: InMemoryNetwork, client: str, vip: str, port: int = 4000) -> str:
    """Open a session; its server."""
    ((server, _),) = net.to_service(tcp(client, port, vip, 80, SYN, seq=100)).items()
    net.from_server(server, tcp(vip, 80, client, port, SYN | ACK, seq=300, ack=101))
    net.to_service(tcp(client, port, vip, 80, ACK, seq=101, ack=301))
    return server


def answer(client: str, vip: str, flags: int = ACK, size: int = 1000, port: int = 4000) -> bytes:
    return tcp(vip, 80, client, port, flags, seq=301, ack=101, data=bytes(size))


def exchange(net: InMemoryNetwork, server: str, packet: bytes) -> dict[str, list[bytes]]:
    """A server's packet, and all that comes of it on both sides."""
    out = net.from_server(server, packet)
    for name, packets in net.settle().items():
        out.setdefault(name, []).extend(packets)
    return out


# Adopted.


@pytest.mark.parametrize("vp", RANGES)
@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, FIN | ACK, FIN | PSH | ACK])
@pytest.mark.parametrize("size", [0, 1, 1400])
def test_session_is_adopted_on_its_vc_and_goes_on(vp: str, client: str, vip: str, flags: int, size: int) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    server = opened(net, client, vip)
    vc = vc_of(net.seen[-1][2])
    net.restart_depot()
    told: list[tuple[SessionEvent, str]] = []
    net.depot.sessions.subscribe(lambda _, event, why: told.append((event, why)))
    packet = answer(client, vip, flags, size)
    assert net.from_server(server, packet) == {"depot": [packet]}
    (session,) = net.depot.sessions.primary.values()
    assert (session.server.name, (session.path.vc.vpi, session.path.vc.vci), session.packets_out) == (server, vc, 1)
    assert told == [(SessionEvent.ADOPTED, ""), (SessionEvent.ESTABLISHED, "")]
    assert net.depot.sessions.adopted == 1
    assert session.server.primary_sessions == 1
    reply = tcp(client, 4000, vip, 80, ACK, seq=101, ack=301 + size)
    assert net.to_service(reply) == {server: [reply]}
    assert vc_of(net.seen[-1][2]) == vc
    again = answer(client, vip, ACK)
    assert net.from_server(server, again) == {"depot": [again]}
    assert net.dropped() == {}


def test_adopted_session_closes_and_its_vci_comes_free() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    for port in range(4000, 4005):
        opened(net, CLIENT4, VIP4, port)
    net.restart_depot()
    net.from_server("web1", answer(CLIENT4, VIP4, port=4003))
    (session,) = net.depot.sessions.primary.values()
    assert (session.client.state, session.server_side.state) == (TcpState.ESTABLISHED, TcpState.ESTABLISHED)
    for packet in (tcp(CLIENT4, 4003, VIP4, 80, FIN | ACK, seq=101, ack=1301, window=1),
                   tcp(CLIENT4, 4003, VIP4, 80, ACK, seq=102, ack=1_000_000, window=1)):
        net.to_service(packet)
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, 4003, FIN | ACK, seq=1301, ack=102))
    net.to_service(tcp(CLIENT4, 4003, VIP4, 80, ACK, seq=102, ack=1302))
    assert session.table is Table.SECONDARY
    for port, vci in ((5000, 64), (5001, 65), (5002, 66), (5003, 68)):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
        assert vc_of(net.seen[-1][2]) == (1, vci), "67 is the adopted session's"
    net.advance(200 * SECOND)
    assert net.depot.management.servers["web1"].primary_sessions == 0


def test_great_windows_of_an_adopted_session_are_believed() -> None:
    """Its window scale is not known: a FIN far beyond the window as it stands still closes."""
    net = InMemoryNetwork(make_network(servers=1))
    opened(net, CLIENT4, VIP4)
    net.restart_depot()
    net.from_server("web1", answer(CLIENT4, VIP4))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=1301, window=64))
    (session,) = net.depot.sessions.primary.values()
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, 4000, FIN | ACK, seq=500_000, ack=101))
    assert session.server_side.state is TcpState.FIN_WAIT_1


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_udp_flow_is_adopted_too(client: str, vip: str) -> None:
    net = InMemoryNetwork()
    request, packet = udp(client, 5, vip, 80), udp(vip, 80, client, 5, b"x")
    ((server, _),) = net.to_service(request).items()
    net.from_server(server, packet)
    net.to_service(request)  # on the VC that an answered flow has of its own
    net.restart_depot()
    assert net.from_server(server, packet) == {"depot": [packet]}
    assert net.to_service(request) == {server: [request]}
    assert net.depot.sessions.adopted == 1
    net.advance(100 * SECOND)
    assert net.depot.sessions.primary == {}


# Not adopted.


@pytest.mark.parametrize("tables", ["", RESET])
@pytest.mark.parametrize("flags", [SYN, RST, RST | ACK, FIN, 0, PSH])
def test_a_segment_that_no_open_session_sends_adopts_none(flags: int, tables: str) -> None:
    net = InMemoryNetwork(make_network(tables=tables))
    server = opened(net, CLIENT4, VIP4)
    net.restart_depot()
    assert "depot" not in exchange(net, server, answer(CLIENT4, VIP4, flags, 0))
    assert net.depot.sessions.primary == {}
    assert net.dropped() == {DropReason.NO_SESSION: 1}
    vcs = [vc.vci for vc in net.depot.links[f"to-{server}"].table]
    assert vcs == [32, 33], "the VC is closed again"


def test_synack_that_is_sent_again_adopts_its_session() -> None:
    """The depot died between the server's SYN+ACK and the client's ACK."""
    net = InMemoryNetwork()
    server = opened(net, CLIENT4, VIP4)
    net.restart_depot()
    synack = answer(CLIENT4, VIP4, SYN | ACK, 0)
    assert net.from_server(server, synack) == {"depot": [synack]}
    request = tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=1)
    assert net.to_service(request) == {server: [request]}
    assert net.dropped() == {}


OTHER = '[services.other]\nvip = ["10.80.0.9"]\nports = [80]\nservers = ["web2"]\n'


@pytest.mark.parametrize("packet", [
    tcp(VIP4, 81, CLIENT4, 4000, ACK), tcp("192.0.2.9", 80, CLIENT4, 4000, ACK),
    tcp("10.80.0.9", 80, CLIENT4, 4000, ACK)], ids=["no service", "no VIP", "another server's VIP"])
def test_only_a_service_of_the_vps_server_is_adopted(packet: bytes) -> None:
    net = InMemoryNetwork(make_network(tables=OTHER))
    vc = net.edges["web1"].table.find(1, 99)
    net.depot.octets_from_port("to-web1", segment(packet, vc), net.now)
    assert net.settle() == {}
    assert net.dropped() == {DropReason.UNKNOWN_VC: 1}
    assert net.depot.sessions.primary == {}


@pytest.mark.parametrize("protocols", [["tcp"], ["udp"], ["tcp", "udp"]])
@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("vp", RANGES)
def test_only_what_its_service_is_for_is_adopted(
        vp: str, client: str, vip: str, protocols: list[Literal["tcp", "udp"]]) -> None:
    """Behind LLC/SNAP the first cell does not always tell the port; then the packet decides."""
    network = make_network(servers=1, vp=vp)
    network.services["web"].protocols = protocols
    packets = {"tcp": answer(client, vip), "udp": udp(vip, 80, client, 4000, b"x")}
    for protocol, packet in packets.items():
        net = InMemoryNetwork(network)
        net.depot.octets_from_port("to-web1", segment(packet, net.edges["web1"].table.find(1, 64)), net.now)
        assert net.depot.sessions.adopted == (protocol in protocols)
        assert net.settle() == ({"depot": [packet]} if protocol in protocols else {})
        assert bool(net.dropped()) == (protocol not in protocols)


@pytest.mark.parametrize("packet", [answer(CLIENT4, VIP4, size=0), udp(VIP4, 80, CLIENT4, 4000, b"x")])
def test_adopted_session_takes_the_place_of_what_is_needed_least(packet: bytes) -> None:
    net = InMemoryNetwork(make_network(servers=1, tables="[sessions]\nmax_sessions = 4\nmax_half_open = 3"))
    for port in (5000, 5001):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
        net.to_service(udp(CLIENT4, port, VIP4, 80))
    tables = net.depot.sessions
    assert len(tables.primary) == 4
    net.depot.octets_from_port("to-web1", segment(packet, net.edges["web1"].table.find(1, 99)), net.now)
    assert (tables.adopted, len(tables.primary)) == (1, 4)
    assert (tables.evicted, tables.evicted_unanswered) == ((1, 0) if packet[9] == PROTOCOL_TCP else (0, 1))


def test_tables_bound_what_is_adopted() -> None:
    net = InMemoryNetwork(make_network(servers=1, tables="[sessions]\nmax_sessions = 2"))
    edge = net.edges["web1"]
    for vci in range(64, 70):
        cells = segment(answer(CLIENT4, VIP4, port=vci), edge.table.find(1, vci))
        net.depot.octets_from_port("to-web1", cells, net.now)
    assert len(net.depot.sessions.primary) == 2
    assert net.dropped() == {DropReason.NO_SESSION: 4}


def test_pdus_that_never_end_keep_few_vcs_open_and_not_for_long() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    edge = net.edges["web1"]
    for vci in range(64, 264):
        net.depot.octets_from_port("to-web1", segment(answer(CLIENT4, VIP4, port=vci), edge.table.find(1, vci))[:53],
                                  net.now)
    assert len(net.depot.links["to-web1"].table) == 2 + 64
    assert net.dropped() == {DropReason.UNKNOWN_VC: 136}
    packet = tcp(CLIENT4, 5, VIP4, 80, SYN)
    assert net.to_service(packet) == {"web1": [packet]}, "the VCI of a stray"
    net.advance(2 * SECOND)
    assert [vc.vci for vc in net.depot.links["to-web1"].table] == [32, 33, 64]


def test_middle_of_a_pdu_opens_no_vc() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    cells = segment(answer(CLIENT4, VIP4), net.edges["web1"].table.find(1, 64))
    net.depot.octets_from_port("to-web1", cells[CELL_SIZE:], net.now)
    assert net.dropped() == {DropReason.UNKNOWN_VC: len(cells) // CELL_SIZE - 1}


def test_late_cell_of_a_session_that_is_gone_still_meets_an_unknown_vc() -> None:
    net = InMemoryNetwork(make_network(servers=1, tables='[sessions]\ntwo_msl = "1s"'))
    opened(net, CLIENT4, VIP4)
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, 4000, RST | ACK, seq=301, ack=101))
    net.to_service(tcp(CLIENT4, 4001, VIP4, 80, SYN))
    late = segment(answer(CLIENT4, VIP4, size=0), net.edges["web1"].table.find(1, 64))
    net.advance(3 * SECOND)
    net.depot.octets_from_port("to-web1", late, net.now)
    assert net.dropped() == {DropReason.UNKNOWN_VC: len(late) // CELL_SIZE}


def test_vci_of_an_adopted_session_that_is_gone_is_as_any_other() -> None:
    net = InMemoryNetwork(make_network(servers=1, tables='[sessions]\ntwo_msl = "1s"'))
    for port in range(4000, 4004):
        opened(net, CLIENT4, VIP4, port)
    net.restart_depot()
    net.from_server("web1", answer(CLIENT4, VIP4, port=4002))
    net.to_service(tcp(CLIENT4, 4002, VIP4, 80, ACK, seq=101, ack=1301))
    net.to_service(tcp(CLIENT4, 4002, VIP4, 80, RST, seq=101))
    net.advance(3 * SECOND)
    assert net.depot.sessions.primary == net.depot.sessions.secondary == {}
    late = segment(answer(CLIENT4, VIP4, size=0, port=4002), net.edges["web1"].table.find(1, 66))
    net.depot.octets_from_port("to-web1", late, net.now)
    assert net.dropped() == {DropReason.UNKNOWN_VC: len(late) // CELL_SIZE}
    vcs = []
    for port in range(5000, 5004):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
        vcs.append(vc_of(net.seen[-1][2])[1])
    assert vcs == [64, 65, 67, 68]


# Reset.


@pytest.mark.parametrize("vp", ["", 'shared_vcs = { "UBR.1" = 40 }'])
@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("flags", [ACK, FIN | ACK, SYN | ACK, SYN, FIN])
@pytest.mark.parametrize("size", [0, 1000])
def test_server_is_sent_an_rst_that_its_tcp_believes(vp: str, client: str, vip: str, flags: int, size: int) -> None:
    """RFC 9293 section 3.10.7.1."""
    net = InMemoryNetwork(make_network(vp=vp, tables=RESET))
    server = opened(net, client, vip)
    net.restart_depot()
    (reset,) = exchange(net, server, answer(client, vip, flags, size))[server]
    view, segment_ = ip_view(reset), TcpView(ip_view(reset).payload)
    assert (view.source, view.destination) == (packed(client), packed(vip))
    assert (segment_.source_port, segment_.destination_port) == (4000, 80)
    if flags & ACK:
        assert (segment_.flags, segment_.sequence) == (RST, 101)
    else:
        assert (segment_.flags, segment_.sequence, segment_.acknowledgment) == (RST | ACK, 0, 301 + size + 1)
    assert net.dropped() == {DropReason.NO_SESSION: 1}
    assert net.depot.sessions.primary == {}


@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize(("flags", "size"), [(ACK, 1000), (FIN | ACK, 0), (FIN | ACK, 9)])
def test_client_that_only_waits_is_asked_and_its_answer_gets_the_rst(
        client: str, vip: str, flags: int, size: int) -> None:
    net = InMemoryNetwork(make_network(vp="", tables=RESET))
    server = opened(net, client, vip)
    net.restart_depot()
    stamps = bytes.fromhex("0101080a0000000100000002")
    packet = tcp(vip, 80, client, 4000, flags, seq=301, ack=101, data=bytes(size), options=stamps)
    (asked,) = exchange(net, server, packet)["depot"]
    assert asked == tcp(vip, 80, client, 4000, ACK, seq=300, ack=101, options=stamps)
    ((where, (reset,)),) = net.to_service(tcp(client, 4000, vip, 80, ACK, seq=101, ack=777)).items()
    assert where == "depot"
    assert (TcpView(ip_view(reset).payload).flags, TcpView(ip_view(reset).payload).sequence) == (RST, 777)


@pytest.mark.parametrize("tables", ["", RESET])
def test_neither_a_reset_nor_a_stranger_is_answered(tables: str) -> None:
    net = InMemoryNetwork(make_network(vp="", tables=tables))
    for packet in (answer(CLIENT4, VIP4, RST), answer(CLIENT4, VIP4, RST | ACK),
                   tcp("192.0.2.9", 80, CLIENT4, 5, ACK)):
        assert exchange(net, "web1", packet) == {}
    assert (exchange(net, "web1", answer(CLIENT4, VIP4)) == {}) == (not tables)
    assert net.dropped() == {DropReason.NO_SESSION: 4}


def test_session_of_another_server_is_not_reset() -> None:
    net = InMemoryNetwork(make_network(vp="", tables=RESET))
    other = {"web1": "web2", "web2": "web1"}[opened(net, CLIENT6, "fd00:80::1")]
    assert exchange(net, other, answer(CLIENT6, "fd00:80::1")) == {}
    assert net.dropped() == {DropReason.WRONG_PATH: 1}


def test_a_depot_that_is_not_active_resets_nothing() -> None:
    """The session may be another's: the clients' route moves before the role, and the edge nodes are not asked yet."""
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"]}, vp="", tables=RESET, of_set="recall = false"))
    for depot in ("depot1", "depot2"):
        assert net.to_service(tcp(CLIENT4, 4000, VIP4, 80, PSH | ACK, data=b"GET"), depot) == {}
    assert exchange(net, "web1", answer(CLIENT4, VIP4)) == {}, "the edge node hears no active depot, and tries depot1"
    assert net.dropped() == {DropReason.NO_SESSION: 3}
    net.depots["depot1"].roles.granted(net.now)
    net.settle()
    assert list(net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK), "depot1")) == ["depot1"]
    net.depots["depot1"].roles.revoked(net.now)
    assert net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK), "depot1") == {}


# VCIs out of turn.


@given(st.integers(1, 12), st.lists(st.tuples(st.sampled_from(["take", "claim", "back"]), st.integers(0, 11)),
                                    max_size=60))
def test_pool_gives_no_vci_that_was_claimed(size: int, steps: list[tuple[str, int]]) -> None:
    pool = VciPool(VciRange(f"100-{99 + size}"))
    unused, free, used = list(range(100, 100 + size)), list[int](), list[int]()
    for what, number in steps:
        if what == "take":
            expected = unused.pop(0) if unused else free.pop(0) if free else None
            assert pool.upcoming() == expected
            assert pool.take() == expected
            used += [] if expected is None else [expected]
        elif what == "claim" and number < len(unused):
            vci = unused.pop(number)
            assert pool.is_unused(vci)
            pool.claim(vci)
            used.append(vci)
            assert not pool.is_unused(vci)
        elif what == "back" and number < len(used):
            free.append(used.pop(number))
            pool.give_back(free[-1])
    assert [vci for vci in range(90, 120) if pool.is_unused(vci)] == unused
    assert pool.upcoming() == (unused[0] if unused else free[0] if free else None)


@pytest.mark.parametrize("vci", [99, 100, 201])
def test_vci_outside_or_taken_cannot_be_claimed(vci: int) -> None:
    pool = VciPool(VciRange("100-200"))
    assert pool.take() == 100
    with pytest.raises(ValueError, match=str(vci)):
        pool.claim(vci)
