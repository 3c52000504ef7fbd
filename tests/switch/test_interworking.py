"""FRF.8 in memory: a depot on ATM, an interworking function, edge nodes on Frame Relay; flags, headers, bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import find, load, parse
from atmdepot.drops import DropReason
from atmdepot.net.pump import Pump
from atmdepot.net.tun import NoDevice
from atmdepot.net.views import SUBJECTS
from atmdepot.switch.interworking import InterworkingNode
from atmdepot.wire.aal5 import cpcs_pdu, to_cells
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.frame_relay import Address, header_of, parse_address
from atmdepot.wire.llc import LLC_IPV4
from atmdepot.wire.lmi import FULL, SINGLE, STATUS, Message, PvcStatus
from atmdepot.wire.oam import FaultFunction, OamFlow
from atmdepot.wire.oam_messages import NO_LOCATION, UNUSED, Defect
from atmdepot.wire.statistics import ServerState
from tests.depot.playbook import Playbook
from tests.effort import examples
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork

if TYPE_CHECKING:
    from atmdepot.config.model import Network

PACKET = tcp(CLIENT4, 4000, VIP4, 80, SYN)
NETWORK = load(find("interworking"))


class Between(InMemoryNetwork):
    """The network in memory with the table's interworking function."""

    def __init__(self, network: Network = NETWORK) -> None:
        super().__init__(network)
        self.function = InterworkingNode(network, "iwf", self.now)
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


# Each side hears of faults of the other.


def states(net: Between, edge: str) -> set[bool]:
    lmi = net.edges[edge].ways[0].relay.lmi
    return set(lmi.pvcs.values())


def ais(net: Between, vpi: int) -> None:
    """Have AIS come to the function on a VP, as from a switch behind which the depot's link is cut."""
    cell = OamFlow.F4_END_TO_END.header(vpi, 32, net.function.adaptations["to-iwf"].interface)
    net.function.octets_from_port("to-iwf", cell + Defect(FaultFunction.AIS, UNUSED, NO_LOCATION).pack(), net.now)
    net.settle()


def test_while_a_vp_has_ais_its_pvcs_are_inactive_and_the_edge_node_sends_nothing_on_them() -> None:
    play = Playbook(net=Between())
    net = play.net
    assert isinstance(net, Between)
    net.advance(SECOND)
    served = play.open()
    assert (states(net, "web1"), states(net, "web2")) == ({True}, {True})
    ais(net, {"web1": 1, "web2": 2}[served])
    other = {"web1": "web2", "web2": "web1"}[served]
    assert (states(net, served), states(net, other)) == ({False}, {True})
    before = len([1 for sender, *_ in net.seen if sender == served])
    answer = tcp(VIP4, 80, CLIENT4, play.port, ACK, seq=301, ack=101, data=b"more")
    assert net.from_server(served, answer) == {}
    assert len([1 for sender, *_ in net.seen if sender == served]) == before
    assert net.edges[served].links[f"to-{served}"].drops == {DropReason.INACTIVE_PVC: 1}
    rows = {row.dlci: row.state for row in SUBJECTS["dlcis"](Pump(net.function, {}, NoDevice()), 10**6)
            if row.link == f"to-{served}"}
    assert rows[100] == f"LMI: DLCI 100 is told to be inactive: VP {served} has AIS"
    net.advance(4 * SECOND)  # AIS ends 2.5 s after its last cell
    assert states(net, served) == {True}
    assert net.from_server(served, answer) == {"depot": [answer]}


def test_while_the_lmi_of_an_edge_node_is_down_the_depot_has_ais_and_the_server_is_dead() -> None:
    net = Between()
    net.advance(SECOND)
    net.stopped.add("web1")
    net.advance(61 * SECOND)
    assert not net.function.relays["to-web1"].lmi.is_up
    server = net.depot.management.servers["web1"]
    assert (server.alive, net.depot.bearer.troubles) == (False, {"web1": "VP web1 has AIS from iwf"})
    assert net.depot.management.servers["web2"].alive
    assert states(net, "web2") == {True}
    net.stopped.clear()
    answer = tcp(VIP4, 80, CLIENT4, 4000, ACK, seq=301, ack=101, data=b"more")
    for _ in range(20):  # the link carries frames again, but the LMI is not up yet: a user cell would end the AIS
        assert net.from_server("web1", answer) == {}
        net.advance(SECOND)
        assert net.depot.bearer.troubles == {"web1": "VP web1 has AIS from iwf"}
    assert net.function.links["to-web1"].drops[DropReason.INACTIVE_PVC] >= 20
    net.advance(40 * SECOND)
    assert net.function.relays["to-web1"].lmi.is_up
    assert net.depot.bearer.troubles == {}
    assert states(net, "web1") == {True}
    assert net.function.next_timer() > net.now


def test_a_user_side_tells_the_depot_of_a_pvc_that_a_frame_relay_network_calls_inactive() -> None:
    text = find("interworking").read_text(encoding="utf-8").replace(
        '"172.31.1.2:5501" }', '"172.31.1.2:5501" }\nlmi = { network = "web1" }')
    net = Between(parse(text, "interworking.toml"))
    net.advance(SECOND)
    network_side = net.edges["web1"].ways[0].relay
    network_side.set_active([100], False, net.now)
    net.settle()
    net.advance(SECOND)
    assert net.depot.bearer.troubles == {"web1": "VP web1 has AIS from iwf"}
    network_side.set_active([100], True, net.now)
    net.advance(5 * SECOND)
    assert net.depot.bearer.troubles == {}


def behind_a_frame_relay_network() -> InterworkingNode:
    """The function with both edge nodes behind one port, to which the LMI's network side is another's switch."""
    text = find("interworking").read_text(encoding="utf-8")
    for number, old, new in ((1, "to-web1", "to-frsw"), (2, "to-web2", "frsw-web2")):
        at = text.index(f"[links.{old}]")
        end = text.index("\n\n", at)
        ends = 'iwf = "172.31.1.1:5501", frsw = "172.31.1.2:5501"' if number == 1 else \
            'frsw = "172.31.2.1:5502", web2 = "172.31.2.2:5502"'
        text = text[:at] + f'[links.{new}]\nbearer = "frame-relay"\nends = {{ {ends} }}' + text[end:]
    text = text.replace("[links.to-frsw]", '[nodes.frsw]\nkind = "external"\n\n[links.frsw-web1]\n'
                        'bearer = "frame-relay"\nends = { frsw = "172.31.3.1:5504", web1 = "172.31.3.2:5504" }\n\n'
                        "[links.to-frsw]")
    for node, dlci, sessions in (("web1", 100, "200-299"), ("web2", 101, "300-399")):
        text = text.replace(f'ends = ["iwf", "{node}"]\nvp = "{node}"\ndlci = 100\nsession_dlcis = "200-991"',
                            f'ends = ["iwf", "{node}"]\nvp = "{node}"\nvia = "frsw"\ndlci = {dlci}\n'
                            f'management_dlci = {dlci - 80}\nsession_dlcis = "{sessions}"')
    return InterworkingNode(parse(text.replace("64-855", "64-163"), "interworking.toml"), "iwf")


def told(node: InterworkingNode, report: int, active: dict[int, bool], now: int) -> None:
    """Have the network side answer what was asked last, or tell of some PVCs by itself."""
    lmi = node.relays["to-frsw"].lmi
    sent, heard = (0, 0) if report == SINGLE else (lmi.heard % 255 + 1, lmi.sent)
    pvcs = tuple(PvcStatus(dlci, up) for dlci, up in active.items())
    node.octets_from_port("to-frsw", Message(STATUS, report, sent, heard, pvcs).pack(), now)


ALL = dict.fromkeys([20, 21, 100, 101, *range(200, 400)], True)


def passes(node: InterworkingNode, dlci: int, now: int = 0) -> bool:
    """True where a frame on a DLCI becomes cells; else it is counted."""
    before = node.links["to-frsw"].drops[DropReason.INACTIVE_PVC]
    node.links["to-iwf"].transmit(now)
    node.octets_from_port("to-frsw", header_of(Address(dlci), 4) + PACKET, now)
    cells = [header for header in cells_of(node) if header.vci >= 32]
    assert node.links["to-frsw"].drops[DropReason.INACTIVE_PVC] - before == (not cells)
    return bool(cells)


def test_a_pvc_told_inactive_cuts_its_own_entry_alone() -> None:
    node = behind_a_frame_relay_network()
    node.handle_timer(0)
    told(node, FULL, ALL, 0)
    assert [passes(node, dlci) for dlci in (200, 300)] == [True, True]
    told(node, SINGLE, {100: False}, 0)
    assert {vp: of.alarms.is_raised for vp, of in node.faults.items()} == {"web1": True, "web2": False}
    assert [passes(node, dlci) for dlci in (200, 300)] == [False, True]
    told(node, SINGLE, {101: False, 201: False}, 0)
    told(node, SINGLE, {100: True}, 0)
    assert {vp: of.alarms.is_raised for vp, of in node.faults.items()} == {"web1": False, "web2": True}
    assert [passes(node, dlci) for dlci in (200, 201, 300)] == [True, False, False]


def test_no_frame_passes_while_ais_is_raised_though_a_full_status_calls_the_pvc_active() -> None:
    node = behind_a_frame_relay_network()
    node.handle_timer(0)
    told(node, FULL, ALL, 0)
    now = 0
    while node.relays["to-frsw"].lmi.is_up:  # nobody answers
        now += 10 * SECOND
        node.handle_timer(now)
    told(node, FULL, ALL, now)
    assert not node.relays["to-frsw"].lmi.is_up
    assert node.faults["web1"].alarms.is_raised
    assert [passes(node, dlci, now) for dlci in (200, 300)] == [False, False]
    while not node.relays["to-frsw"].lmi.is_up:
        now += 10 * SECOND
        node.handle_timer(now)
        told(node, FULL, ALL, now)
    assert [passes(node, dlci, now) for dlci in (200, 300)] == [True, True]


@pytest.mark.parametrize(("flags", "clp", "efci"), [({}, 0, 0), ({"de": True}, 1, 0), ({"fecn": True}, 0, 1),
                                                     ({"becn": True}, 0, 0), ({"fecn": True, "de": True}, 1, 1)])
def test_de_becomes_clp_fecn_becomes_efci_and_becn_stays_behind(flags: dict[str, bool], clp: int, efci: int) -> None:
    node = function()
    node.octets_from_port("to-web1", header_of(Address(200, **flags), 4) + PACKET + bytes(60), 0)
    headers = cells_of(node)
    assert [(header.vpi, header.vci, header.clp, header.pti) for header in headers] == [
        (1, 64, clp, 2 * efci), (1, 64, clp, 2 * efci), (1, 64, clp, 2 * efci | 1)]
    vc = node.adaptations["to-iwf"].table.find(1, 64)
    assert (vc.tx_pdus, vc.tx_cells) == (1, 3)


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
