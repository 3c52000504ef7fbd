"""FRF.8 in memory: a depot on ATM, an interworking function, edge nodes on Frame Relay; flags, headers, bad input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import find, load
from atmdepot.drops import DropReason
from atmdepot.switch.interworking import InterworkingNode
from atmdepot.wire.aal5 import cpcs_pdu, to_cells
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.frame_relay import Address, header_of, parse_address
from atmdepot.wire.llc import LLC_IPV4
from atmdepot.wire.statistics import ServerState
from tests.depot.playbook import Playbook
from tests.effort import examples
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork

PACKET = tcp(CLIENT4, 4000, VIP4, 80, SYN)
NETWORK = load(find("interworking"))


class Between(InMemoryNetwork):
    """The network in memory with the table's interworking function."""

    def __init__(self) -> None:
        super().__init__(NETWORK)
        self.function = InterworkingNode(NETWORK, "iwf", self.now)
        self.switches["iwf"] = self.function  # type: ignore[assignment]  # what stands between the ends


def function() -> InterworkingNode:
    return InterworkingNode(NETWORK, "iwf")


def cells_of(node: InterworkingNode) -> list[CellHeader]:
    octets = node.links["to-iwf"].transmit(0)
    return [CellHeader.unpack(octets[at:at + 5]) for at in range(0, len(octets), CELL_SIZE)]


def test_sessions_pass_untouched_each_on_a_vc_and_a_dlci_of_its_own() -> None:
    play = Playbook(net=Between())
    for play.port in range(4000, 4006):
        assert play.open() in ("web1", "web2")
        play.close()
    assert play.net.dropped() == {}
    dlcis = {parse_address(frame).dlci for sender, receiver, frame in play.net.seen
             if (sender, receiver) == ("iwf", "web1")}
    assert {200, 201, 202} <= dlcis


def test_a_depot_that_was_restarted_recalls_its_sessions_on_their_vcs() -> None:
    play = Playbook(net=Between())
    for play.port in range(4000, 4006):
        play.open()
    before = {key: entry.path.channel for key, entry in play.net.depot.sessions.primary.items()}
    play.net.restart_depot()
    play.net.depot.start(play.net.now)
    play.net.advance(SECOND)
    assert {key: entry.path.channel for key, entry in play.net.depot.sessions.primary.items()} == before
    assert play.net.depot.recall.adopted == len(before) == 6
    assert play.net.dropped() == {}


def test_reports_of_edge_nodes_reach_the_depot() -> None:
    net = Between()
    net.edges["web2"].send_statistics(ServerState.ACCEPTS, 0.5, 2, 1000, net.now)
    net.settle()
    assert net.depot.management.servers["web2"].load == pytest.approx(0.25, rel=1e-3)
    assert net.dropped() == {}


def test_the_function_is_the_network_side_of_its_edge_nodes() -> None:
    net = Between()
    net.advance(60 * SECOND)
    for edge in net.edges.values():
        assert not edge.ways[0].relay.lmi.is_network
        assert edge.ways[0].relay.lmi.errors == 0
        assert len(edge.ways[0].relay.lmi.pvcs) == 794


@pytest.mark.parametrize(("flags", "clp", "efci"), [({}, 0, 0), ({"de": True}, 1, 0), ({"fecn": True}, 0, 1),
                                                     ({"becn": True}, 0, 0), ({"fecn": True, "de": True}, 1, 1)])
def test_de_becomes_clp_fecn_becomes_efci_and_becn_stays_behind(flags: dict[str, bool], clp: int, efci: int) -> None:
    node = function()
    node.octets_from_port("to-web1", header_of(Address(200, **flags), 4) + PACKET + bytes(60), 0)
    headers = cells_of(node)
    assert [(header.vpi, header.vci, header.clp, header.pti) for header in headers] == [
        (1, 64, clp, 2 * efci), (1, 64, clp, 2 * efci), (1, 64, clp, 2 * efci | 1)]


@pytest.mark.parametrize(("clps", "efci", "de"), [((0, 0), 0, False), ((1, 0), 0, True), ((0, 0), 1, False)])
def test_any_clp_becomes_de_and_the_last_efci_becomes_fecn(clps: tuple[int, int], efci: int, de: bool) -> None:
    node = function()
    first, last = CellHeader(2, 65, 2 * efci, clps[0]).pack(), CellHeader(2, 65, 2 * efci | 1, clps[1]).pack()
    node.octets_from_port("to-iwf", to_cells(cpcs_pdu(LLC_IPV4 + PACKET), first, last), 0)
    assert node.links["to-web2"].transmit(0) == header_of(Address(201, fecn=bool(efci), de=de), 4) + PACKET


BAD: dict[str, tuple[str, bytes, DropReason]] = {
    "a frame of another DLCI": ("to-web1", header_of(Address(50), 4) + PACKET, DropReason.UNKNOWN_DLCI),
    "a frame without NLPID": ("to-web1", Address(200).pack() + b"\x03", DropReason.UNKNOWN_ENCAPSULATION),
    "a frame that is too long": ("to-web1", header_of(Address(200), 4) + bytes(1600), DropReason.OVERSIZE),
    "an empty report": ("to-web1", Address(16).pack() + b"\x03", DropReason.OVERSIZE),
    "an SDU without LLC": ("to-iwf", to_cells(cpcs_pdu(PACKET), CellHeader(1, 64).pack(), CellHeader(1, 64, 1).pack()),
                           DropReason.UNKNOWN_ENCAPSULATION),
    "a cell of another VC": ("to-iwf", CellHeader(3, 64, 1).pack() + bytes(48), DropReason.UNKNOWN_VC)}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_translated_is_counted(kind: str) -> None:
    link, octets, reason = BAD[kind]
    node = function()
    node.octets_from_port(link, octets, 0)
    assert node.links[link].drops == {reason: 1}
    assert all(port.transmit(0) == b"" for port in node.links.values())


@examples(80)
@given(st.lists(st.tuples(st.sampled_from(["to-web1", "to-web2"]), st.sampled_from([0, 16, 100, 200, 991, 1000]),
                          st.binary(max_size=60)), max_size=20))
def test_no_frame_breaks_the_function_or_leaves_on_a_vc_of_another(steps: list[tuple[str, int, bytes]]) -> None:
    node: Any = function()
    for link, dlci, rest in steps:
        node.octets_from_port(link, Address(dlci).pack() + rest, 0)
        for header in cells_of(node):
            vci = {16: 33, 100: 32}.get(dlci, dlci - 200 + 64)
            assert (header.vpi, header.vci) == ({"to-web1": 1, "to-web2": 2}[link], vci)
