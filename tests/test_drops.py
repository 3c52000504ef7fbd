"""Every drop is counted by `Drops.count`, and whoever watches hears what was dropped: its octets and its VC."""

from __future__ import annotations

import ast
import errno
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.line import Line
from atmdepot.atm.sar import segment
from atmdepot.config.links import Line as LineSettings
from atmdepot.config.units import CellRate, UdpAddress
from atmdepot.drops import OF_FRAMES, OF_REWRITING, DropReason, Drops, OnChannel
from atmdepot.wire.aal5 import cpcs_pdu, crc32, to_cells
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.oam_messages import Loopback
from tests.aal5 import abort_pdu
from tests.depot.servers import kill
from tests.effort import examples
from tests.ip_packets import ACK, SYN, UDP, icmp_error, ip, ping, tcp, udp
from tests.net.ends import Ends, Scripted, Told, cells_of, fresh, receive, scripted
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, SeededFaults, make_network
from tests.packets import ip_packets, no_packets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.net.udp_link import UdpLink

SOURCE = Path(__file__).parent.parent / "atmdepot"
Event = tuple[DropReason, int, bytes, tuple[int, int] | None]


class Ear:
    """Hears the drops of some counters."""

    def __init__(self, *heard: Drops) -> None:
        self.events: list[Event] = []
        for drops in heard:
            assert drops == {}
            drops.subscribe(self.hear)

    @classmethod
    def at(cls, net: InMemoryNetwork) -> Ear:
        nodes = [net.depot, *net.edges.values()]
        return cls(*(node.drops for node in nodes), *(link.drops for node in nodes for link in node.links.values()))

    def hear(self, reason: DropReason, count: int, octets: bytes | memoryview, vc: OnChannel | None) -> None:
        self.events.append((reason, count, bytes(octets), None if vc is None else vc.channel))

    @property
    def sums(self) -> Counter[DropReason]:
        sums: Counter[DropReason] = Counter()
        for reason, count, _, _ in self.events:
            sums[reason] += count
        return sums


# Nothing else moves the counters.


def test_only_count_counts() -> None:
    """An assignment to an item of what is called drops would go past the observers."""
    found = []
    for part in ("wire", "atm", "depot", "edge", "net"):
        for path in (SOURCE / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(
                    node, ast.AugAssign | ast.AnnAssign) else []
                found += [f"{path.name}:{node.lineno}" for target in targets
                          if isinstance(target, ast.Subscript) and "drops" in ast.unparse(target.value)]
                if isinstance(node, ast.Call) and "drops.update" in ast.unparse(node.func).replace("_drops", "drops"):
                    found += [f"{path.name}:{node.lineno}"] if "replay" not in path.name else []
    assert found == []


def test_without_observers_it_only_counts() -> None:
    drops = Drops()
    drops.count(DropReason.HEC_ERROR)
    drops.count(DropReason.HEC_ERROR, 3, b"x", CellHeader(1, 64))
    assert drops == {DropReason.HEC_ERROR: 4}
    assert Drops().observers == ()


# What is told of each reason.

SYN_ = tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=7)
BIG = tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(3000))
HEADER, LAST = CellHeader(1, 64).pack(), CellHeader(1, 64, 1).pack()
Provoked = tuple[list[Event], list[Event]]


def of_packet(reason: DropReason, octets: bytes, vc: tuple[int, int] | None = None) -> list[Event]:
    return [(reason, 1, octets, vc)]


def to_depot(octets: bytes, reason: DropReason, table: str = "", before: tuple[bytes, ...] = ()) -> Provoked:
    """A packet of a client's that the depot drops."""
    net = InMemoryNetwork(make_network(tables=table))
    for packet in before:
        net.to_service(packet)
    ear = Ear.at(net)
    net.to_service(octets)
    return ear.events, of_packet(reason, octets)


def to_full_depot(octets: bytes) -> Provoked:
    """A packet that would open an entry in a table that is full of established sessions."""
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_sessions = 1"))
    ((server, _),) = net.to_service(tcp(CLIENT4, 4001, VIP4, 80, SYN)).items()
    net.from_server(server, tcp(VIP4, 80, CLIENT4, 4001, SYN | ACK, ack=1))
    net.to_service(tcp(CLIENT4, 4001, VIP4, 80, ACK, seq=1, ack=1))
    ear = Ear.at(net)
    net.to_service(octets)
    return ear.events, of_packet(DropReason.TABLE_FULL, octets)


def from_server(octets: bytes, reason: DropReason, vci: int = 32) -> Provoked:
    """A packet on web1's VP that the depot drops."""
    net = InMemoryNetwork()
    net.to_service(tcp(CLIENT4, 4001, VIP4, 80, SYN))
    net.to_service(tcp(CLIENT4, 4002, VIP4, 80, SYN))  # to web2
    ear = Ear.at(net)
    (vc,) = [vc for vc in net.edges["web1"].link.table if vc.vci == vci]
    net.depot.octets_from_port("to-web1", segment(octets, vc), net.now)
    return ear.events, of_packet(reason, octets, (1, vci))


def cells_to_depot(cells: bytes, expected: list[Event], rest: int = 0, **vp: int) -> Provoked:
    """Cells on the link from web1, then some time."""
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-65535"\n' + "".join(
        f"{key} = {value}\n" for key, value in vp.items())))
    net.to_service(SYN_)  # opens 1/64
    ear = Ear.at(net)
    net.depot.octets_from_port("to-web1", cells, net.now)
    net.advance(rest)
    return ear.events, expected


def pdu_to_depot(pdu: bytes, reason: DropReason, **vp: int) -> Provoked:
    return cells_to_depot(to_cells(pdu, HEADER, LAST), of_packet(reason, pdu, (1, 64)), **vp)


def no_server() -> Provoked:
    net = InMemoryNetwork()
    for server in net.depot.management.servers.values():
        kill(server)
    ear = Ear.at(net)
    packets = SYN_, udp(CLIENT4, 5, VIP4, 80, b"x"), ping(CLIENT4, VIP4)
    for octets in packets:
        net.to_service(octets)
    return ear.events, [event for octets in packets for event in of_packet(DropReason.NO_SERVER, octets)]


def fragments() -> Provoked:
    """Two that wait in vain, and then one too many to hold."""
    net = InMemoryNetwork()
    ear = Ear.at(net)
    waiting = [ip(CLIENT4, VIP4, UDP, bytes([n]) * 43_000, identification=1, fragment=n + 1) for n in range(4)]
    for octets in waiting:
        net.to_service(octets)
    net.advance(6 * SECOND)
    return ear.events, [event for octets in [waiting[3], *waiting[:3]]
                        for event in of_packet(DropReason.FRAGMENT, octets)]


def statistics_at_depot() -> Provoked:
    return from_server(b"no statistics", DropReason.BAD_STATISTICS, 33)


def recalling(*, from_client: bool) -> Provoked:
    """A packet of an unknown session while the edge nodes are asked for theirs."""
    net = InMemoryNetwork()
    events = Ear.at(net).events
    net.depot.start(net.now)
    if from_client:
        octets = tcp(CLIENT4, 9, VIP4, 80, ACK)
        net.depot.packet_from_tun(octets, net.now)
        return events, [(DropReason.RECALLING, 1, octets, None)]
    octets = tcp(VIP4, 80, CLIENT4, 9, ACK)
    default = net.edges["web1"].table.default
    net.depot.octets_from_port("to-web1", segment(octets, default), net.now)
    return events, [(DropReason.RECALLING, 1, octets, default.channel)]


def announcement_at_an_edge(octets: bytes, reason: DropReason) -> Provoked:
    net = InMemoryNetwork()
    events = Ear.at(net).events
    management = next(vc for vc in net.depot.links["to-web1"].table if vc.vci == 33)
    net.edges["web1"].octets_from_port("to-web1", segment(octets, management), net.now)
    return events, [(reason, 1, octets, (1, 33))]


def overflow() -> Provoked:
    """PDUs on many VCs that are begun and not ended: the first that was begun goes."""
    net = InMemoryNetwork(make_network(servers=1, tables="[reassembly]\noctets = 65600"))
    for port in range(4000, 4100):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
    ear = Ear.at(net)
    for vci in range(64, 164):
        if not ear.events:
            net.depot.octets_from_port("to-web1", (CellHeader(1, vci).pack() + bytes([vci]) * 48) * 20, net.now)
    return ear.events, of_packet(DropReason.REASSEMBLY_OVERFLOW, bytes([64]) * 960, (1, 64))


def line(settings: LineSettings, cells: int, expected: list[Event]) -> Provoked:
    drops = Drops()
    ear = Ear(drops)
    Line(settings, drops).enter(cells_of(cells), 0)
    return ear.events, expected


CELL = HEADER + bytes(48)
WRONG_HEC = bytes([HEADER[0] ^ 3]) + CELL[1:]
STRAY = CellHeader(1, 99).pack() + bytes(48)
RM = CellHeader(1, 64, 6).pack() + bytes(48)
OAM = CellHeader(1, 64, 5).pack() + bytes(47) + b"\1"
LOOPBACK = CellHeader(1, 4).pack() + Loopback(True, 1, b"\1" + bytes(15)).pack()
PDU = cpcs_pdu(SYN_)
BAD_CRC = PDU[:-1] + bytes([PDU[-1] ^ 1])
_LYING = bytes(90) + (10).to_bytes(2, "big")  # the length of one cell
WRONG_LENGTH = _LYING + crc32(_LYING).to_bytes(4, "big")
ABORT = abort_pdu()
PARTIAL = b"".join(HEADER + bytes([n]) * 48 for n in range(10))
OF_ANOTHER_BUILD = b"ADAN" + bytes((1, 3)) + bytes(14)
"""Flows as builds before this one told them, with ages in seconds."""
STRANGER = tcp("10.9.0.9", 9, VIP4, 80, ACK)

PROVOKED: dict[str, Callable[[], Provoked]] = {
    "hec-error": lambda: cells_to_depot(WRONG_HEC, [(DropReason.HEC_ERROR, 1, WRONG_HEC, None)]),
    "unknown-vc": lambda: cells_to_depot(CELL + STRAY + STRAY, [(DropReason.UNKNOWN_VC, 1, STRAY, (1, 99))] * 2),
    "not-user-data": lambda: cells_to_depot(RM, [(DropReason.NOT_USER_DATA, 1, RM, (1, 64))]),
    "bad-oam": lambda: cells_to_depot(OAM, [(DropReason.BAD_OAM, 1, OAM, (1, 64))]),
    "stray-loopback": lambda: cells_to_depot(LOOPBACK, [(DropReason.STRAY_LOOPBACK, 1, LOOPBACK, (1, 4))]),
    "crc-error": lambda: pdu_to_depot(BAD_CRC, DropReason.CRC_ERROR),
    "length-error": lambda: pdu_to_depot(WRONG_LENGTH, DropReason.LENGTH_ERROR),
    "aborted": lambda: pdu_to_depot(ABORT, DropReason.ABORTED),
    "oversize, by its length": lambda: pdu_to_depot(cpcs_pdu(bytes(1285)), DropReason.OVERSIZE, mtu=1280),
    "oversize, by its cells": lambda: cells_to_depot(PARTIAL + CELL * 20, [
        (DropReason.OVERSIZE, 1, b"".join(bytes([n]) * 48 for n in range(6)), (1, 64))], mtu=1280),
    "reassembly-timeout": lambda: cells_to_depot(PARTIAL, [
        (DropReason.REASSEMBLY_TIMEOUT, 1, b"".join(bytes([n]) * 48 for n in range(6)), (1, 64))], 3 * SECOND),
    "reassembly-overflow": overflow,
    "bad-statistics": statistics_at_depot,
    "bad-announcement": lambda: announcement_at_an_edge(b"no message", DropReason.BAD_ANNOUNCEMENT),
    "other-build, at an edge node": lambda: announcement_at_an_edge(OF_ANOTHER_BUILD, DropReason.OTHER_BUILD),
    "other-build, at the depot": lambda: from_server(OF_ANOTHER_BUILD, DropReason.OTHER_BUILD, 33),
    "not-ip, from a client": lambda: to_depot(bytes(40), DropReason.NOT_IP),
    "not-ip, from a server": lambda: from_server(bytes(40), DropReason.NOT_IP),
    "malformed, from a client": lambda: to_depot(SYN_[:30], DropReason.MALFORMED),
    "malformed, from a server": lambda: from_server(SYN_[:30], DropReason.MALFORMED, 64),
    "multicast": lambda: to_depot(udp(CLIENT4, 5, "224.0.0.1", 5), DropReason.MULTICAST),
    "not-a-service, by its port": lambda: to_depot(tcp(CLIENT4, 4000, VIP4, 81, SYN), DropReason.NOT_A_SERVICE),
    "not-a-service, UDP": lambda: to_depot(udp(CLIENT4, 5, VIP4, 81), DropReason.NOT_A_SERVICE),
    "not-a-service, by its address": lambda: to_depot(ping(CLIENT4, "10.80.0.9"), DropReason.NOT_A_SERVICE),
    "recalling, from a client": lambda: recalling(from_client=True),
    "recalling, from a server": lambda: recalling(from_client=False),
    "no-session, from a client": lambda: to_depot(STRANGER, DropReason.NO_SESSION),
    "no-session, from a server": lambda: from_server(tcp(VIP4, 80, CLIENT4, 9, ACK), DropReason.NO_SESSION, 64),
    "no-server": no_server,
    "table-full": lambda: to_full_depot(SYN_),
    "table-full, UDP": lambda: to_full_depot(udp(CLIENT4, 5, VIP4, 80)),
    "wrong-vp": lambda: from_server(tcp(VIP4, 80, CLIENT4, 4002, SYN | ACK), DropReason.WRONG_PATH),
    "too-big": lambda: to_depot(tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(20_000)), DropReason.TOO_BIG,
                                before=(SYN_,)),
    "fragment": fragments,
    "line-loss": lambda: line(LineSettings(cell_loss=1.0), 2, [
        (DropReason.LINE_LOSS, 1, cells_of(1, 1), None), (DropReason.LINE_LOSS, 1, cells_of(1), None)]),
    "line-overflow": lambda: line(LineSettings(rate=CellRate(100), queue=3), 5, [
        (DropReason.LINE_OVERFLOW, 2, cells_of(2, 3), None)]),
    "line-overflow, in octets": lambda: line(LineSettings(queue=10**9), 64 * 2**20 // CELL_SIZE + 1, [
        (DropReason.LINE_OVERFLOW, 64 * 2**20 // CELL_SIZE + 1, cells_of(64 * 2**20 // CELL_SIZE + 1), None)]),
}


@pytest.mark.parametrize("case", PROVOKED)
def test_observers_get_the_dropped_octets(case: str) -> None:
    events, expected = PROVOKED[case]()
    assert [(reason, count, octets[:256], vc) for reason, count, octets, vc in events] == [
        (reason, count, octets[:256], vc) for reason, count, octets, vc in expected]
    assert {str(reason) for reason, _, _, _ in events} == {case.split(",")[0]}


def test_unknown_encapsulation_and_announcement_at_an_edge() -> None:
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-100"\nencapsulation = "llc"'))
    ear = Ear.at(net)
    bare = cpcs_pdu(b"no LLC header")
    vc = next(vc for vc in net.edges["web1"].link.table if vc.vci == 32)
    net.depot.octets_from_port("to-web1", to_cells(bare, *vc.headers[0]), net.now)
    arp = cpcs_pdu(b"\xaa\xaa\x03\0\0\0\x08\x06" + bytes(28))
    net.depot.octets_from_port("to-web1", to_cells(arp, *vc.headers[0]), net.now)
    management = next(vc for vc in net.depot.links["to-web1"].table if vc.vci == 33)
    net.edges["web1"].octets_from_port("to-web1", segment(b"what", management), net.now)
    assert ear.events == [
        (DropReason.UNKNOWN_ENCAPSULATION, 1, b"no LLC header", (1, 32)),
        (DropReason.UNKNOWN_ENCAPSULATION, 1, arp[:36], (1, 32)), (DropReason.BAD_ANNOUNCEMENT, 1, b"what", (1, 33))]


# On the sockets of a link.


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def full(_call: str, _octets: bytes) -> OSError:
    return BlockingIOError(errno.EAGAIN, "full")


def test_refused_sends_are_counted(ends: Ends) -> None:
    link: UdpLink = ends.link(fresh(), UdpAddress("255.255.255.255:9"), 2)  # a broadcast takes SO_BROADCAST
    link.segment_offload = False
    ear = Ear(link.drops)
    link.send(cells_of(3), 0)
    assert ear.events == [(DropReason.TX_ERROR, 2, cells_of(2), None), (DropReason.TX_ERROR, 1, cells_of(1, 2), None)]


def test_a_full_backlog_drops_datagrams(ends: Ends) -> None:
    _, link = ends.plain_and_link(27)
    script: Scripted = scripted(link)
    script.refuse = full
    ear = Ear(link.drops)
    burst = cells_of(27 * 40)
    for _ in range(4 * 2**20 // len(burst)):
        link.send(burst, 0)
    assert ear.events == []
    link.send(burst, 0)
    assert ear.events == [(DropReason.TX_OVERFLOW, 27 * 40, burst, None)]


def test_foreign_and_misfit_datagrams_are_dropped(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    ear = Ear(link.drops)
    other = ends.plain(fresh(), UdpAddress.of(*peer.peer))
    other.send(b"from elsewhere")
    receive(link)
    peer.send(b"no cells", b"")
    receive(link)
    receive(link)
    peer.send_joined(b"a" * 54 + b"b" * 54 + cells_of(1), 54)
    receive(link)
    assert ear.events == [
        (DropReason.NOT_THE_PEER, 1, b"from elsewhere", None), (DropReason.NOT_WHOLE_CELLS, 1, b"no cells", None),
        (DropReason.NOT_WHOLE_CELLS, 1, b"", None), (DropReason.NOT_WHOLE_CELLS, 1, b"a" * 54, None),
        (DropReason.NOT_WHOLE_CELLS, 1, b"b" * 54, None)]


def test_of_a_full_receive_buffer_only_the_number_is_known(ends: Ends) -> None:
    _, link = ends.plain_and_link()
    ear = Ear(link.drops)
    link._datagrams = Told(*([(cells_of(1), CELL_SIZE, seen, None)] for seen in (5, 5, 7)))
    for _ in range(3):
        link.receive_burst(16)
    assert ear.events == [(DropReason.RX_OVERFLOW, 5, b"", None), (DropReason.RX_OVERFLOW, 2, b"", None)]


def test_every_reason_is_provoked_here_or_by_the_pump() -> None:
    here = {case.split(",")[0] for case in PROVOKED} | {
        "unknown-encapsulation", "tx-error", "tx-overflow", "not-the-peer", "not-whole-cells", "rx-overflow",
        "wrong-interface", "bad-tag", "replayed",
        "wrong-label"}
    in_test_pump = {"tun-error", "tun-queue-full"}
    in_tests_of_bridges = {"bad-ilmi", "bad-fcs", "other-station", "unknown-ethertype", "bad-neighbour", "unresolved"}
    in_tests_of_atm = {
        "above-pcr", "above-scr", "bad-frame", "shaper-full", "queue-full", "clp-threshold", "epd", "ppd"}
    in_tests_of_bearer = {"route-changed", "no-route", "wrong-network"}
    in_tests_of_relay = {"bad-address", "unknown-dlci", "bad-lmi", "above-be", "inactive-pvc", "cir-queue-full",
                         "frame-not-sent", "lost-frame"}
    in_tests_of_ethernet = {str(reason) for reason in OF_FRAMES}
    in_tests_of_rewriting = {str(reason) for reason in OF_REWRITING}
    assert {str(reason) for reason in DropReason} == (
        here | in_test_pump | in_tests_of_bridges | in_tests_of_atm | in_tests_of_bearer | in_tests_of_relay
        | in_tests_of_ethernet | in_tests_of_rewriting)


# Whatever happens, what is told is what is counted.

PLAIN_PACKETS = st.sampled_from([
    SYN_, tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=8), tcp(CLIENT4, 4001, VIP4, 80, SYN), STRANGER, ping(CLIENT4, VIP4),
    udp(CLIENT4, 5, VIP4, 80, b"x" * 100), BIG, ip(CLIENT4, VIP4, UDP, bytes(16), identification=3, fragment=2),
    tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=1, ack=8), tcp(VIP4, 80, CLIENT4, 4001, ACK, data=bytes(1400)),
    icmp_error("10.1.1.1", VIP4, tcp(VIP4, 80, CLIENT4, 4000, ACK)[:28])])
STEPS = st.lists(st.one_of(
    st.tuples(st.just("client"), PLAIN_PACKETS | ip_packets | no_packets),
    st.tuples(st.sampled_from(["web1", "web2"]), PLAIN_PACKETS | ip_packets | no_packets),
    st.tuples(st.sampled_from(["cells"]), st.binary(min_size=1, max_size=48)),
    st.tuples(st.just("rest"), st.sampled_from([SECOND, 7 * SECOND, 40 * SECOND])),
    st.tuples(st.just("kill"), st.none())), min_size=1, max_size=25)


@examples(150)
@given(STEPS, st.integers(0, 1000), st.sampled_from([0.0, 0.2]))
def test_the_events_add_up_to_the_counters(steps: list[tuple[str, object]], seed: int, rate: float) -> None:
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_sessions = 2\nmax_half_open = 1"))
    for end in ("depot", "web1", "web2"):
        net.faults[end] = SeededFaults(seed, rate)
    ear = Ear.at(net)
    for step, value in steps:
        if step == "client" and isinstance(value, bytes):
            net.to_service(value)
        elif step == "cells" and isinstance(value, bytes):
            net.depot.octets_from_port("to-web1", (value + bytes(48))[:5] + bytes(48), net.now)
        elif isinstance(value, int):
            net.advance(value)
        elif step == "kill":
            kill(net.depot.management.servers["web1"], net.now)
        elif isinstance(value, bytes):
            net.from_server(step, value)
        assert all(count > 0 for _, count, _, _ in ear.events)
        assert ear.sums == Counter(net.dropped())
