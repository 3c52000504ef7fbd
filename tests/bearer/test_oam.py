"""OAM through whole nodes in memory: loopbacks, AIS, RDI and continuity, supervision, monitoring, and bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.activation import Outcome
from atmdepot.atm.loopback import Echo
from atmdepot.atm.oam import Condition
from atmdepot.atm.supervision import MISSED
from atmdepot.bearer.link_oam import MOST_VC_FLOWS
from atmdepot.config.locations import location_of
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, CellHeader
from atmdepot.wire.oam import ActivationFunction, FaultFunction, OamFlow
from atmdepot.wire.oam_messages import (
    Activation,
    ContinuityCheck,
    Defect,
    Direction,
    Loopback,
    Message,
    Request,
    read,
)
from tests.effort import examples
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.vp_oam import VpOam

MS = SECOND // 1000
NOWHERE = b"\1" + bytes(15)
VP = 'session_vcis = "64-65535"\n'


def of(net: InMemoryNetwork, node: str) -> NodeOam:
    return net.depot.bearer.oam if node == "depot" else net.edges[node].oam


def vp_of(net: InMemoryNetwork, node: str, name: str = "web1") -> VpOam:
    return of(net, node).vps[name]


def cell(message: Message, flow: OamFlow = OamFlow.F4_END_TO_END, vpi: int = 1, vci: int = 0) -> bytes:
    return flow.header(vpi, vci) + message.pack()


def messages(net: InMemoryNetwork, sender: str) -> list[Message]:
    """The OAM cells that a node has sent."""
    return [read(cells[at + 5:at + 53]) for who, _, cells in net.seen if who == sender
            for at in range(0, len(cells), CELL_SIZE) if CellHeader.unpack(cells[at:at + 5]).is_oam]


def functions(net: InMemoryNetwork, sender: str) -> list[FaultFunction | str]:
    return [message.function if isinstance(message, Defect) else type(message).__name__
            for message in messages(net, sender)]


def settle(net: InMemoryNetwork) -> None:
    while net.exchange():
        pass


def cut(_cells: bytes) -> bytes:
    return b""


def alarm(function: FaultFunction = FaultFunction.AIS) -> bytes:
    return cell(Defect(function, location=NOWHERE))


def server(net: InMemoryNetwork, name: str = "web1") -> tuple[bool, str]:
    made = net.depot.management.servers[name]
    return made.alive, made.condition.why


# ── locations ──


def test_a_location_is_the_tables_or_made_of_the_names() -> None:
    net = make_network()
    made = {location_of(net, node) for node in net.nodes}
    assert len(made) == 3
    assert all(len(location) == 16 and location[0] == 1 for location in made)
    net.nodes["web1"].location = "02" * 16
    assert location_of(net, "web1") == b"\2" * 16


# ── loopback ──


@pytest.mark.parametrize("kind", list(OamFlow))
@pytest.mark.parametrize("asks", ["depot", "web1"])
def test_each_end_answers_loopbacks_of_each_flow(asks: str, kind: OamFlow) -> None:
    net, echoes = InMemoryNetwork(), list[Echo]()
    oam = of(net, asks).links["to-web1"]
    flow = oam.flow(kind, 1, 32)
    assert flow is not None
    flow.point.ping(net.now, echoes.append)
    oam.flush(flow)
    net.now += 3 * MS
    settle(net)
    assert [echo.round_trip for echo in echoes] == [3 * MS]
    far = "web1" if asks == "depot" else "depot"
    assert [message.to_be_looped for message in messages(net, far) if isinstance(message, Loopback)] == [False]
    assert net.dropped() == {}


def test_a_loopback_without_answer_ends_after_five_seconds() -> None:
    net, echoes = InMemoryNetwork(), list[Echo]()
    net.faults["web1"] = cut
    flow = vp_of(net, "depot").end
    flow.point.ping(net.now, echoes.append)
    of(net, "depot").links["to-web1"].flush(flow)
    net.advance(4999 * MS)
    assert echoes == []
    net.advance(MS)
    assert [echo.round_trip for echo in echoes] == [None]
    assert net.next_timer() is None


def test_a_loopback_for_another_place_is_counted() -> None:
    net = InMemoryNetwork()
    net.depot.octets_from_port("to-web1", cell(Loopback(True, 1, NOWHERE)), net.now)
    assert net.dropped() == {DropReason.STRAY_LOOPBACK: 1}
    assert net.depot.links["to-web1"].transmit(net.now) == b""


def test_the_older_layout_is_answered() -> None:
    net = InMemoryNetwork()
    asked = Loopback(True, 9, b"\xff" * 12, b"\2" * 12, older=True)
    net.edges["web1"].octets_from_port("to-web1", cell(asked, OamFlow.F4_SEGMENT), net.now)
    net.exchange()
    assert messages(net, "web1") == [asked._replace(to_be_looped=False)]


def test_flows_of_vcs_are_bounded_and_end_with_their_vc() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    ports = range(4000, 4000 + MOST_VC_FLOWS + 20)
    for port in ports:
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
    for vci in range(64, 64 + len(ports)):
        net.depot.octets_from_port("to-web1", cell(alarm_of_vc(), OamFlow.F5_END_TO_END, 1, vci), net.now)
    oam = of(net, "depot").links["to-web1"]
    assert len(list(oam.flows())) == MOST_VC_FLOWS + 2
    net.advance(3 * 3600 * SECOND)
    assert oam.flow(OamFlow.F5_END_TO_END, 1, 64 + len(ports) - 1) is None
    assert server(net)[0]  # the defect of a VC is not that of its VP


def alarm_of_vc() -> Defect:
    return Defect(FaultFunction.AIS)


def test_a_cell_of_a_flow_opens_no_vc() -> None:
    net = InMemoryNetwork()
    net.edges["web1"].octets_from_port("to-web1", cell(alarm_of_vc(), OamFlow.F5_END_TO_END, 1, 99), net.now)
    assert net.dropped() == {DropReason.NOT_USER_DATA: 1}
    assert len(net.edges["web1"].table) == 2


# ── AIS and RDI ──


def test_ais_is_answered_by_rdi_each_second_and_ends_without_ais() -> None:
    net = InMemoryNetwork()
    for _ in range(3):
        net.edges["web1"].octets_from_port("to-web1", alarm(), net.now)
        net.exchange()
        net.advance(SECOND)
    assert vp_of(net, "web1").conditions == [Condition.AIS]
    assert vp_of(net, "depot").conditions == [Condition.RDI]
    assert server(net) == (False, "path down: VP web1 has RDI: web1 does not hear depot")
    assert server(net, "web2")[0]
    net.advance(1499 * MS)
    assert vp_of(net, "web1").conditions == [Condition.AIS]
    net.advance(MS)
    assert vp_of(net, "web1").conditions == []
    sent = functions(net, "web1")
    assert sent == [FaultFunction.RDI] * 5, "at once, and each second until AIS ends"
    net.advance(2 * SECOND)
    assert server(net) == (True, "its path is whole again")


def test_user_cells_end_ais() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    net.edges["web1"].octets_from_port("to-web1", alarm(), net.now)
    assert vp_of(net, "web1").conditions == [Condition.AIS]
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK))
    assert vp_of(net, "web1").conditions == []


def test_the_depot_takes_a_server_off_the_list_and_back() -> None:
    net = InMemoryNetwork()
    located = Defect(FaultFunction.AIS, location=location_of(net.network, "web2"))
    net.depot.octets_from_port("to-web1", cell(located), net.now)
    assert server(net) == (False, "path down: VP web1 has AIS from web2")
    for port in range(4000, 4004):
        assert list(net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))) == ["web2"]
    net.advance(2500 * MS)
    assert server(net)[0]


def test_a_storm_of_ais_makes_one_rdi_a_second() -> None:
    net = InMemoryNetwork()
    for _ in range(20):
        net.edges["web1"].octets_from_port("to-web1", alarm() * 500, net.now)
        net.exchange()
        net.advance(100 * MS)
    assert functions(net, "web1") == [FaultFunction.RDI] * 3  # at 0, 1 and 2 s


def test_bad_oam_is_counted_and_changes_no_state() -> None:
    net = InMemoryNetwork()
    good = alarm()
    for at in range(5, CELL_SIZE):
        net.depot.octets_from_port("to-web1", good[:at] + bytes([good[at] ^ 4]) + good[at + 1:], net.now)
    assert net.dropped() == {DropReason.BAD_OAM: 48}
    assert server(net)[0]


@examples(150)
@given(st.lists(st.tuples(st.sampled_from([3, 4, 32, 64]), st.integers(0, 7), st.binary(min_size=48, max_size=48)),
                max_size=8), st.integers(0, 2))
def test_hostile_cells_raise_nothing(cells: list[tuple[int, int, bytes]], vpi: int) -> None:
    net = InMemoryNetwork(make_network(vp=VP + "continuity_check = true\nperformance_monitoring = 128\n"))
    for vci, pti, payload in cells:
        net.depot.octets_from_port("to-web1", CellHeader(vpi, vci, pti).pack() + payload, net.now)
    net.advance(10 * SECOND)


# ── continuity check ──


def test_continuity_is_lost_after_three_and_a_half_seconds() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp=VP + "continuity_check = true"))
    net.advance(10 * SECOND)
    assert set(functions(net, "depot")) == set(functions(net, "web1")) == {"ContinuityCheck"}
    assert len(messages(net, "depot")) == 11
    net.faults["web1"] = cut
    began = net.now
    net.advance(3499 * MS)
    assert server(net)[0]
    net.advance(SECOND)
    assert server(net) == (False, "path down: VP web1 lost continuity (LOC)")
    assert net.depot.management.servers["web1"].condition.since - began <= 3500 * MS
    assert vp_of(net, "web1").conditions == [Condition.RDI]
    del net.faults["web1"]
    net.advance(SECOND)
    assert server(net) == (True, "its path is whole again")


def test_user_cells_are_continuity_too() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp=VP + "continuity_check = true"))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    net.advance(SECOND)
    net.faults["depot"] = lambda cells: b"" if ContinuityCheck().pack() in cells else cells
    for _ in range(20):
        net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK))
        net.advance(SECOND)
    assert vp_of(net, "web1").conditions == []
    net.advance(4 * SECOND)
    assert vp_of(net, "web1").conditions == [Condition.LOC]


def test_the_check_is_activated_from_either_end() -> None:
    net, outcomes = InMemoryNetwork(), list[Outcome]()
    vp_of(net, "web1").check_continuity(True, net.now, outcomes.append)
    settle(net)
    assert outcomes == [Outcome.CONFIRMED]
    for node in ("depot", "web1"):
        point = vp_of(net, node).end.point
        assert (point.checks_continuity, point.sends_continuity) == (True, True)
    net.advance(10 * SECOND)
    assert server(net)[0]
    vp_of(net, "depot").check_continuity(False, net.now, outcomes.append)
    net.faults["web1"] = cut
    net.advance(5 * SECOND)
    assert outcomes[1] is Outcome.NO_ANSWER
    assert vp_of(net, "depot").end.point.checks_continuity


@pytest.mark.parametrize("function", [ActivationFunction.FORWARD, ActivationFunction.FORWARD_AND_BACKWARD])
@pytest.mark.parametrize(("asked", "denied"), [(Request.ACTIVATE, Request.ACTIVATION_DENIED),
                                               (Request.DEACTIVATE, Request.DEACTIVATION_DENIED)])
def test_monitoring_that_is_asked_for_is_denied(
        function: ActivationFunction, asked: Request, denied: Request) -> None:
    net = make_and_ask(Activation(function, asked, Direction.BOTH, 5, 1, 1))
    assert messages(net, "web1") == [Activation(function, denied, Direction.BOTH, 5, 1, 1)]


def make_and_ask(message: Message) -> InMemoryNetwork:
    net = InMemoryNetwork(make_network())
    net.edges["web1"].octets_from_port("to-web1", cell(message), net.now)
    settle(net)
    return net


def test_a_stall_is_no_silence() -> None:
    net = InMemoryNetwork(make_network(vp=VP + "continuity_check = true"))
    net.advance(SECOND)
    for node in (net.depot, *net.edges.values()):
        node.stood_still(60 * SECOND, net.now + 60 * SECOND)
    net.now += 60 * SECOND
    net.advance(10 * SECOND)
    assert server(net) == (True, "at start")


# ── supervision ──


def supervised(servers: int = 1) -> InMemoryNetwork:
    table = make_network(servers=servers)
    for link in table.links.values():
        link.supervise = 100 * MS
    return InMemoryNetwork(table)


def test_a_supervised_link_is_never_silent() -> None:
    net = supervised()
    net.advance(10 * SECOND)
    sent = [cells for who, _, cells in net.seen if who == "depot"]
    assert set(sent) == {IDLE_CELL}
    assert 99 <= len(sent) <= 101
    assert server(net) == (True, "at start")
    assert net.dropped() == {}


def test_a_cut_of_a_direction_is_seen_by_both_ends() -> None:
    net = supervised()
    net.advance(SECOND)
    net.faults["web1"] = cut
    net.advance(MISSED * 100 * MS)
    assert vp_of(net, "depot").conditions == [Condition.AIS]
    assert server(net) == (False, "path down: VP web1 has AIS: no signal on link to-web1")
    assert vp_of(net, "web1").conditions == [Condition.RDI]
    net.advance(20 * SECOND)
    assert vp_of(net, "depot").conditions == [Condition.AIS]
    assert net.depot.links["to-web1"].supervision.losses == 1
    del net.faults["web1"]
    net.advance(5 * SECOND)
    assert server(net) == (True, "its path is whole again")
    assert vp_of(net, "web1").conditions == []


# ── performance monitoring ──


def test_lost_cells_are_counted_at_both_ends() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp=VP + "performance_monitoring = 128"))
    lost = 0

    def lose(cells: bytes) -> bytes:
        nonlocal lost
        header = CellHeader.unpack(cells[:5])
        if not header.is_user_data or net.depot.rx_packets % 7:
            return cells
        lost += 1
        return cells[CELL_SIZE:]

    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    for n in range(600):
        if n == 60:
            net.faults["depot"] = lose
        net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(500)))
    near, far = vp_of(net, "web1").near, vp_of(net, "depot").report.performance
    assert near is not None
    assert lost > 50
    # Blocks are judged when they have ended, and the report tells of all blocks but the first.
    assert lost - 30 <= near.lost <= lost
    assert far.lost == near.lost
    assert (near.misinserted, near.errors) == (0, 0)
    assert near.blocks == 600 * 12 // 128 - 1


def test_errored_cells_are_counted() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp=VP + "performance_monitoring = 128"))

    def damage(cells: bytes) -> bytes:
        return cells[:20] + bytes([cells[20] ^ 3]) + cells[21:] if len(cells) > 5 * CELL_SIZE else cells

    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    for n in range(200):
        net.faults["depot"] = damage if n == 100 else bytes
        net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(500)))
    for performance in (vp_of(net, "web1").near, vp_of(net, "depot").report.performance):
        assert performance is not None
        assert (performance.errors, performance.lost, performance.misinserted) == (2, 0, 0)
