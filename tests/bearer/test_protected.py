"""Bridge and selector of protected VPs, with the signals given by hand: whole nodes in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.protection import Side
from atmdepot.bearer.protected import moved
from atmdepot.bearer.shaping import ShapedAdaptation
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface
from atmdepot.wire.oam import FaultFunction, OamFlow
from atmdepot.wire.oam_messages import Defect
from atmdepot.wire.statistics import ServerState
from tests.effort import examples
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4
from tests.protected_network import ProtectedNetwork, make_table

ARCHITECTURES = ("1+1", "1:1")


def client(flags: int = ACK, data: bytes = b"") -> bytes:
    return tcp(CLIENT4, 4000, VIP4, 80, flags, data=data)


def server(flags: int = ACK, data: bytes = b"") -> bytes:
    return tcp(VIP4, 80, CLIENT4, 4000, flags, data=data)


def opened(**settings: str) -> ProtectedNetwork:
    net = ProtectedNetwork(make_table(**settings))
    assert net.to_service(client(SYN)) == [client(SYN)]
    return net


def signal(net: ProtectedNetwork, side: Side, fails: bool) -> None:
    for end in net.ends:
        end.state.signal(side, fails, net.now)


def exchange_packets(net: ProtectedNetwork, size: int = 1000) -> None:
    sent, answer = client(data=bytes(size)), server(data=bytes(size))
    assert net.to_service(sent) == [sent]
    assert net.from_server(answer) == [answer]


@pytest.mark.parametrize("protection", ARCHITECTURES)
@pytest.mark.parametrize("fails", list(Side))
def test_packets_go_once_on_the_route_that_works(protection: str, fails: Side) -> None:
    net = opened(protection=protection)
    exchange_packets(net)
    link = "sw1-web1" if fails is Side.WORKING else "sw2-web1"
    net.cut(link)
    signal(net, fails, True)
    assert [end.state.selected for end in net.ends] == [Side.PROTECTION if fails is Side.WORKING else Side.WORKING] * 2
    exchange_packets(net)
    net.mend(link)
    signal(net, fails, False)
    exchange_packets(net)
    net.advance(10 * SECOND)
    assert [end.state.selected for end in net.ends] == [Side.WORKING] * 2
    exchange_packets(net)
    assert len(net.edge.flows) == len(net.depot.sessions.primary) == 1
    assert net.dropped() == {}


def test_one_plus_one_sends_on_both_and_takes_one() -> None:
    net = opened(protection="1+1")
    exchange_packets(net, 1000)
    exchange_packets(net, 1000)
    assert {net.carried[f"depot-{switch}", "depot"] for switch in ("sw1", "sw2")} == {45}
    assert [end.not_selected for end in net.ends] == [44, 45]
    assert (net.depot.links["depot-sw1"].tx_pdus, net.depot.links["depot-sw2"].tx_pdus) == (3, 0)


def test_one_to_one_sends_on_the_selected_route_and_takes_both() -> None:
    net = opened(protection="1:1")
    before = net.carried["depot-sw1", "depot"]
    net.ends[0].state.signal(Side.WORKING, True, net.now)  # the far end has not moved yet
    exchange_packets(net)
    assert net.carried["depot-sw1", "depot"] == before
    assert net.carried["depot-sw2", "depot"] == net.carried["sw1-web1", "web1"] == 22
    assert [end.not_selected for end in net.ends] == [0, 0]
    assert (net.depot.links["depot-sw1"].tx_pdus, net.depot.links["depot-sw2"].tx_pdus) == (1, 1)


@pytest.mark.parametrize("protection", ARCHITECTURES)
def test_a_pdu_half_received_makes_no_wrong_packet(protection: str) -> None:
    net = opened(protection=protection)
    sent = client(data=bytes(1000))
    net.depot.packet_from_tun(sent, net.now)
    cells = net.depot.links["depot-sw1"].transmit(net.now)
    net.depot.links["depot-sw2"].transmit(net.now)
    net.depot.ready.clear()
    net.nodes["sw1"].octets_from_port("depot-sw1", cells[:5 * CELL_SIZE], net.now)
    net.exchange()
    signal(net, Side.WORKING, True)
    exchange_packets(net)
    assert net.dropped() == {DropReason.ROUTE_CHANGED: 1}
    assert net.edge.links["sw1-web1"].reassembler.next_timer() is None


def test_headers_are_corrected_before_a_route_is_selected() -> None:
    net = opened(protection="1+1")
    net.to_service(client())
    cell = net.edge.table.default.headers[0][1]
    working, second = (moved(cell + bytes(48), end.vpi) for end in (net.ends[1].working, net.ends[1].protection))
    for link, good in (("sw1-web1", working), ("sw2-web1", second)):
        port, before = net.edge.links[link], net.ends[1].not_selected
        net.edge.octets_from_port(link, bytes([good[0] ^ 1]) + good[1:], net.now)
        net.edge.octets_from_port(link, bytes([good[0] ^ 3]) + good[1:], net.now)
        assert (port.counts().hec_corrected, port.drops[DropReason.HEC_ERROR]) == (1, 1)
        assert net.ends[1].not_selected - before == (link == "sw2-web1")
    assert net.dropped() == {DropReason.HEC_ERROR: 2, DropReason.CRC_ERROR: 1}


@examples(300)
@given(st.sampled_from(list(Interface)), st.integers(0, 255), st.integers(0, 65535), st.integers(0, 7),
       st.integers(0, 1), st.integers(0, 255))
def test_moved_cells_keep_all_but_the_vpi(
        interface: Interface, vpi: int, vci: int, pti: int, clp: int, onto: int) -> None:
    header = CellHeader(vpi, vci, pti, clp)
    cells = (header.pack(interface) + bytes(range(48))) * 3
    made = moved(cells, onto)
    assert made == (header._replace(vpi=onto).pack(interface) + bytes(range(48))) * 3


def test_cells_of_other_connections_are_left_alone() -> None:
    net = opened(protection="1+1")
    port = net.edge.links["sw2-web1"]
    for header in (CellHeader(9, 99), CellHeader(1, 3), CellHeader(1, 5), CellHeader(9, 99, 5)):
        net.edge.octets_from_port("sw2-web1", header.pack() + bytes(48), net.now)
    assert net.ends[1].not_selected == 1  # the copy of the SYN
    assert port.drops == {DropReason.UNKNOWN_VC: 1, DropReason.NOT_USER_DATA: 3}


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 7), st.integers(0, 5)), max_size=20),
       st.sampled_from(ARCHITECTURES))
def test_hostile_cells_raise_nothing(cells: list[tuple[int, int, int, int]], protection: str) -> None:
    net = opened(protection=protection)
    octets = b""
    for vpi, vci, pti, flip in cells:
        header = CellHeader(vpi, vci, pti).pack()
        octets += header[:4] + bytes([header[4] ^ (1 << flip if flip else 0)]) + bytes(48)
    for link in net.edge.links:
        net.edge.octets_from_port(link, octets, net.now)
    exchange_packets(net)


# The conditions of OAM move it.

MS = SECOND // 1000


def both_ways(net: ProtectedNetwork) -> bool:
    """True when a packet arrives once in each direction."""
    sent, answer = client(data=bytes(200)), server(data=bytes(200))
    there, back = net.to_service(sent), net.from_server(answer)
    assert there in ([], [sent]), "never twice"
    assert back in ([], [answer]), "never twice"
    return bool(there and back)


def downtime(net: ProtectedNetwork, most: int) -> int:
    """The time (ns) until packets pass, with one each 5 ms in both directions."""
    began = net.now
    while not both_ways(net):
        net.advance(5 * MS)
        assert net.now - began <= most
    return net.now - began


def alive(net: ProtectedNetwork) -> bool:
    return net.depot.management.servers["web1"].alive


CUTS = [("depot-sw1", ()), ("depot-sw1", ("depot",)), ("depot-sw1", ("sw1",)),
        ("sw1-web1", ()), ("sw1-web1", ("sw1",)), ("sw1-web1", ("web1",))]


@pytest.mark.parametrize(("link", "senders"), CUTS)
@pytest.mark.parametrize("protection", ARCHITECTURES)
def test_continuity_check_alone_finds_a_cut(protection: str, link: str, senders: tuple[str, ...]) -> None:
    net = opened(protection=protection)
    net.advance(5 * SECOND)
    net.cut(link, *senders)
    assert downtime(net, 4500 * MS) >= 2500 * MS
    assert alive(net)
    net.mend(link)
    for _ in range(300):  # the way back costs no packet
        assert both_ways(net)
        net.advance(100 * MS)
    assert [end.state.selected for end in net.ends] == [Side.WORKING] * 2
    assert [end.state.switches for end in net.ends] in ([2, 2], [0, 2], [2, 0])
    assert (len(net.depot.sessions.primary), alive(net)) == (1, True)


@pytest.mark.parametrize("protection", ARCHITECTURES)
def test_ais_moves_both_ends_at_once(protection: str) -> None:
    net = opened(protection=protection)
    net.advance(SECOND)
    net.cut("depot-sw1", "sw1")
    cell = OamFlow.F4_END_TO_END.header(1) + Defect(FaultFunction.AIS).pack()
    net.depot.octets_from_port("depot-sw1", cell, net.now)
    net.exchange()
    assert net.ends[0].state.selected is Side.PROTECTION
    assert both_ways(net)
    assert alive(net)
    # In 1+1 each direction moves by itself; in 1:1 the far end hears RDI.
    assert net.ends[1].state.selected is (Side.WORKING if protection == "1+1" else Side.PROTECTION)


@pytest.mark.parametrize("protection", ARCHITECTURES)
def test_the_server_is_dead_only_when_both_routes_are(protection: str) -> None:
    net = opened(protection=protection)
    net.advance(SECOND)
    net.cut("sw1-web1")
    net.advance(5 * SECOND)
    assert alive(net)
    net.cut("depot-sw2")
    net.advance(5 * SECOND)
    assert not alive(net)
    assert net.depot.management.servers["web1"].condition.why == (
        "path down: VP web1 lost continuity (LOC) and on its protection route lost continuity (LOC)")
    net.mend("depot-sw2")
    net.advance(5 * SECOND)
    assert alive(net)
    assert both_ways(net)


def test_full_datagrams_of_a_route_that_fails_are_not_missed() -> None:
    net = opened(protection="1:1", vp="")
    net.cut("depot-sw1")
    for _ in range(15):
        for node in (net.depot, net.edge):
            for link in node.links:
                node.octets_from_port(link, b"", net.now)
                node.fill(link, 27)
        net.edge.send_statistics(ServerState.ACCEPTS, 0.1, 1, 0, net.now)
        net.exchange()
        net.advance(SECOND)
    assert net.ends[0].is_detour
    assert alive(net)


steps = st.lists(st.tuples(st.sampled_from(["depot-sw1", "depot-sw2", "sw1-web1", "sw2-web1"]), st.booleans(),
                           st.booleans(), st.integers(0, 12)), max_size=8)


@examples(60)
@given(st.sampled_from(ARCHITECTURES), steps)
def test_after_any_cuts_and_repairs_packets_flow_if_a_route_works(
        protection: str, cuts: list[tuple[str, bool, bool, int]]) -> None:
    net = opened(protection=protection)
    for link, one, other, seconds in cuts:
        ends = list(net.table.links[link].ends)
        net.mend(link)
        net.cuts |= {(link, end) for end, is_cut in zip(ends, (one, other), strict=True) if is_cut}
        net.advance(seconds * SECOND)
        both_ways(net)
    net.advance(25 * SECOND)
    whole = [side for side, links in ((Side.WORKING, ("depot-sw1", "sw1-web1")),
                                      (Side.PROTECTION, ("depot-sw2", "sw2-web1")))
             if not any(link in links for link, _ in net.cuts)]
    if whole:
        assert both_ways(net)
        assert alive(net)
        for end in net.ends:
            assert end.state.selected in whole or protection == "1+1"
        assert len(net.depot.sessions.primary) == 1
    if len(whole) == 2:
        assert [end.state.selected for end in net.ends] == [Side.WORKING] * 2


@pytest.mark.parametrize(("link", "senders"), CUTS)
@pytest.mark.parametrize("protection", ARCHITECTURES)
def test_a_cut_of_a_supervised_link_costs_half_a_second(
        protection: str, link: str, senders: tuple[str, ...]) -> None:
    net = opened(protection=protection, supervise="100ms")
    net.advance(5 * SECOND)
    net.cut(link, *senders)
    assert downtime(net, 500 * MS) >= 200 * MS
    assert alive(net)
    net.mend(link)
    for _ in range(150):
        assert both_ways(net)
        net.advance(100 * MS)
    assert [end.state.selected for end in net.ends] == [Side.WORKING] * 2
    assert alive(net)


def test_the_port_of_the_second_route_shapes_for_itself() -> None:
    net = opened(protection="1:1", link='rate = "oc3"')
    net.advance(SECOND)
    second = net.depot.links["depot-sw2"]
    assert isinstance(second, ShapedAdaptation)
    signal(net, Side.WORKING, True)
    for _ in range(100):
        net.depot.packet_from_tun(client(data=bytes(1000)), net.now)
    net.exchange()
    assert len(net.edge.take_packets()) < 100
    net.advance(100 * MS)
    assert len(net.edge.take_packets()) > 50
    sources = len(second.output.sources)
    net.advance(3600 * SECOND)  # the session ends, and its VCs
    assert len(net.depot.sessions.primary) == 0
    assert len(second.output.sources) < sources
    assert net.dropped() == {}
