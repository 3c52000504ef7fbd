"""The switch: against a model that takes cell by cell, its tables, and cells that need a closer look."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.connections import Leaf
from atmdepot.atm.scheduler import LinkScheduler, QueueClass
from atmdepot.atm.switch import Switch
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.units import LINE_RATES, CellRate
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, CellHeader, HecReceiver, Interface
from atmdepot.wire.oam import FaultFunction, OamFlow
from atmdepot.wire.oam_messages import Defect, read
from tests.atm.trains import Seen, cell, pdu, seen, train
from tests.effort import examples

UNI, NNI = Interface.UNI, Interface.NNI
PORTS = {"a": UNI, "b": NNI, "c": UNI}


class Way(NamedTuple):
    """A cross-connect of the model: where its cells go."""

    port: str
    vpi: int
    vci: int | None


TABLE: dict[tuple[str, int, int | None], list[Way]] = {
    ("a", 1, None): [Way("b", 300, None)],
    ("a", 2, 40): [Way("b", 2, 40)],
    ("a", 2, 41): [Way("b", 2, 41), Way("c", 9, 77), Way("a", 2, 50)],
    ("a", 0, 100): [Way("c", 5, 65535)],
    ("b", 2, 40): [Way("a", 2, 40)],
    ("b", 300, None): [Way("a", 1, None)],
    ("b", 4095, 7): [Way("c", 0, 5)],
}
vpis, vcis = st.sampled_from([0, 1, 2, 3, 300, 4095]), st.sampled_from([0, 3, 4, 5, 7, 16, 40, 41, 42, 100])


def example_switch() -> Switch:
    switch = Switch()
    for name, interface in PORTS.items():
        switch.add_port(name, interface=interface)
    for (port, vpi, vci), ways in TABLE.items():
        switch.connect(port, vpi, vci, [Leaf(*way) for way in ways])
    return switch


@st.composite
def headers(draw: st.DrawFn, interface: Interface) -> list[CellHeader]:
    out: list[CellHeader] = []
    for _ in range(draw(st.integers(0, 8))):
        vpi = draw(vpis) & (0xFF if interface is UNI else 0xFFF)
        gfc = draw(st.sampled_from([0, 0, 5])) if interface is UNI else 0
        header = CellHeader(vpi, draw(vcis), draw(st.integers(0, 7)), draw(st.integers(0, 1)), gfc)
        out += [header] * draw(st.integers(1, 5))
    return out


def ways_of(port: str, header: CellHeader) -> list[Way]:
    if header.is_idle:
        return []
    return TABLE.get((port, header.vpi, None)) or TABLE.get((port, header.vpi, header.vci)) or []


@given(st.sampled_from(["a", "b"]), st.data())
@examples(300)
def test_cells_go_where_the_model_sends_them(name: str, data: st.DataObject) -> None:
    """Also cells with bit errors in their headers: corrected, or discarded, in the modes of I.432.1."""
    interface = PORTS[name]
    sent = data.draw(headers(interface))
    octets = bytearray(train(sent, interface=interface))
    for bit in data.draw(st.lists(st.integers(0, 39), max_size=3)) if sent else []:
        octets[data.draw(st.integers(0, len(sent) - 1)) * CELL_SIZE + bit // 8] ^= 0x80 >> bit % 8
    switch, receiver = example_switch(), HecReceiver()
    expected: dict[str, list[Seen]] = {port: [] for port in PORTS}
    lost = idle = 0
    for at in range(0, len(octets), CELL_SIZE):
        good = receiver.receive(bytes(octets[at:at + 5]))
        if good is None:
            continue
        header = CellHeader.unpack(good, interface)
        idle += header.is_idle
        ways = ways_of(name, header)
        lost += not ways and not header.is_idle
        for way in ways:
            new = header._replace(vpi=way.vpi, vci=header.vci if way.vci is None else way.vci, gfc=0)
            expected[way.port].append(Seen(new, at // CELL_SIZE))
    switch.receive(name, bytes(octets), 0)
    for port, interface_out in PORTS.items():
        assert seen(switch.ports[port].output.leave(0), interface_out) == expected[port]
    drops = switch.ports[name].drops
    assert drops[DropReason.HEC_ERROR] == receiver.discarded
    assert drops.total() == lost + receiver.discarded
    assert (switch.ports[name].rx_cells, switch.ports[name].unassigned_cells) == (len(sent), idle)
    assert switch.ports[name].hec.mode is receiver.mode
    assert switch.ports[name].hec.corrected == receiver.corrected


def test_unknown_vcs_and_reserved_ones_are_counted_apart() -> None:
    switch = example_switch()
    switch.receive("a", train([CellHeader(2, 99)] * 3 + [CellHeader(2, 5), CellHeader(3, 3)]) + IDLE_CELL * 2, 0)
    port = switch.ports["a"]
    assert port.drops == {DropReason.UNKNOWN_VC: 3, DropReason.NOT_USER_DATA: 2}
    assert port.unassigned_cells == 2


def test_a_train_of_a_vc_leaves_as_a_train() -> None:
    switch = example_switch()
    switch.receive("a", train(pdu(2, 40, 30)), 0)
    out = switch.ports["b"].output.leave(0)
    assert seen(out, NNI) == [Seen(header, at) for at, header in enumerate(pdu(2, 40, 30))]
    assert switch.ports["b"].output.next_timer() is None


# ── contracts ──

def test_policing_and_queueing_on_the_way() -> None:
    switch = Switch()
    switch.add_port("in")
    output = LinkScheduler(LINE_RATES["oc3"], grain=0)
    switch.add_port("out", output=output)
    voice = switch.connect("in", 1, 40, [Leaf("out", 1, 40)], contract=Contract.parse("cbr:pcr=1000,cdvt=2ms"))
    data = switch.connect("in", 1, 41, [Leaf("out", 1, 41)],
                          contract=Contract.parse("nrt-vbr.3:pcr=100kcps,scr=1kcps,mbs=4,cdvt=100us"))
    switch.connect("in", 1, 42, [Leaf("out", 1, 42)])
    switch.receive("in", train(pdu(1, 42, 2)) + train(pdu(1, 41, 9)) + train(pdu(1, 40, 5)), 0)
    assert [output.queues[name].held for name in QueueClass] == [3, 0, 9, 0, 2]
    assert switch.ports["in"].drops == {DropReason.ABOVE_PCR: 2}
    out = seen(output.leave(10**6))
    assert [cell.header.vci for cell in out[:3]] == [40] * 3
    assert [cell.header.clp for cell in out if cell.header.vci == 41] == [0] * 4 + [1] * 5
    assert (voice.rx_cells, voice.leaves[0].queued.entered, data.leaves[0].queued.entered) == (5, 3, 9)
    assert voice.policer is not None
    assert (voice.policer.passed, voice.policer.discarded.total()) == (3, 2)


def test_a_connection_that_is_not_policed() -> None:
    switch = example_switch()
    made = switch.connect("c", 1, 40, [Leaf("a", 7, 40)], contract=Contract.parse("cbr:pcr=1"), police=False)
    switch.receive("c", train(pdu(1, 40, 5)), 0)
    assert len(switch.ports["a"].output.leave(0)) == 5 * CELL_SIZE
    assert made.policer is None


# ── OAM ──

class Point:
    """Keeps AIS cells to itself, and lets others travel on."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.users = 0

    def pass_on(self, cells: bytes, now: int) -> bytes:
        self.taken += [cells[at:at + CELL_SIZE] for at in range(0, len(cells), CELL_SIZE)]
        return b"" if isinstance(read(cells[5:CELL_SIZE]), Defect) else cells

    def user_cells(self, count: int, now: int) -> None:
        self.users += count


def test_a_point_sees_the_oam_cells_of_its_own_level() -> None:
    switch = example_switch()
    vp, vc = (next(c for c in switch.ports["a"].table.inputs() if (c.vpi, c.vci) == key)
              for key in ((1, None), (2, 40)))
    vp.point, vc.point = Point(), Point()
    ais = Defect(FaultFunction.AIS).pack()
    f4, f5 = (flow.header(*key) for flow, key in ((OamFlow.F4_END_TO_END, (1, 0)), (OamFlow.F5_SEGMENT, (2, 40))))
    inner = CellHeader(1, 40, 5).pack() + ais  # F5 in a VP: not of this level
    switch.receive("a", f4 + ais + inner + f5 + ais + train(pdu(2, 40, 3)), 0)
    assert (len(vp.point.taken), vp.point.users) == (1, 1)
    assert (len(vc.point.taken), vc.point.users) == (1, 3)
    out = seen(switch.ports["b"].output.leave(0), NNI)
    assert [(cell.header.vpi, cell.header.vci, cell.header.pti) for cell in out] == [
        (300, 40, 5), (2, 40, 0), (2, 40, 0), (2, 40, 1)]


def test_f4_cells_of_a_vp_that_ends_here() -> None:
    switch = example_switch()
    end = switch.ports["a"].table.vp_ends[2] = Point()
    cells = OamFlow.F4_END_TO_END.header(2) + Defect(FaultFunction.AIS).pack()
    switch.receive("a", cells + cell(CellHeader(2, 5)), 0)
    assert end.taken == [cells]
    assert switch.ports["a"].drops == {DropReason.NOT_USER_DATA: 1}


def test_oam_cells_are_inserted_downstream() -> None:
    switch = example_switch()
    vp, vc = switch.ports["a"].table.inputs()[0], switch.ports["a"].table.inputs()[2]
    ais = Defect(FaultFunction.AIS).pack()
    switch.insert(vp, OamFlow.F4_END_TO_END, ais, 0)
    switch.insert(vc, OamFlow.F5_END_TO_END, ais, 0)
    assert switch.ports["b"].output.leave(0) == (
        OamFlow.F4_END_TO_END.header(300, interface=NNI) + ais + OamFlow.F5_END_TO_END.header(2, 41, NNI) + ais)
    assert switch.ports["c"].output.leave(0) == OamFlow.F5_END_TO_END.header(9, 77) + ais


# ── changes and mistakes ──

def test_connections_come_and_go() -> None:
    switch = example_switch()
    connection = switch.ports["a"].table.inputs()[2]
    switch.remove_leaf(connection, connection.leaves[2])
    switch.receive("a", train(pdu(2, 41, 2)), 0)
    assert [len(switch.ports[name].output.leave(0)) // CELL_SIZE for name in PORTS] == [0, 2, 2]
    switch.disconnect("a", connection)
    switch.receive("a", train(pdu(2, 41, 2)), 0)
    assert switch.ports["a"].drops == {DropReason.UNKNOWN_VC: 2}
    switch.connect("a", 2, 41, [Leaf("b", 2, 41)])
    with pytest.raises(ValueError, match="VC 2/41 does not come in at a"):
        switch.disconnect("a", connection)


@pytest.mark.parametrize(("port", "vpi", "vci", "leaf", "message"), [
    ("d", 1, 40, Leaf("b", 8, 40), "there is no port d: a, b, c"),
    ("c", 1, 40, Leaf("d", 8, 40), "there is no port d"),
    ("c", 256, 40, Leaf("b", 8, 40), "a VPI is 0 to 255 at UNI"),
    ("c", 1, 40, Leaf("b", 4096, 40), "a VPI is 0 to 4095 at NNI"),
    ("c", 1, 65536, Leaf("b", 8, 40), "a VCI is 5 or"),
    ("c", 1, 3, Leaf("b", 8, 40), "those below belong to the VP"),
    ("c", 1, 40, Leaf("b", 8, 4), "those below belong to the VP"),
    ("c", 1, 40, Leaf("b", 2, 40), "VC 2/40 at b is taken: VC 2/40"),
    ("c", 1, 40, Leaf("b", 300, 40), "VC 300/40 at b is taken: VP 300"),
    ("c", 1, None, Leaf("b", 2), "VP 2 at b is taken: a VC of VP 2"),
    ("a", 1, 40, Leaf("c", 1, 40), "VC 1/40 at a is taken: VP 1"),
    ("a", 2, None, Leaf("c", 1), "VP 2 at a is taken: a VC of VP 2"),
    ("a", 2, 40, Leaf("c", 1, 40), "VC 2/40 at a is taken: VC 2/40"),
    ("c", 1, 40, Leaf("b", 8), "a VP leads to VPs and a VC to VCs"),
    ("c", 1, None, Leaf("b", 8, 40), "a VP leads to VPs and a VC to VCs"),
])
def test_connections_that_cannot_be(port: str, vpi: int, vci: int | None, leaf: Leaf, message: str) -> None:
    """And after a mistake nothing of it is left."""
    switch = example_switch()
    before = {name: len(switch.ports[name].table.inputs()) for name in PORTS}
    with pytest.raises(ValueError, match=message):
        switch.connect(port, vpi, vci, [Leaf("b", 1, 90) if vci else Leaf("b", 1), leaf])
    assert {name: len(switch.ports[name].table.inputs()) for name in PORTS} == before
    switch.connect("c", 7, 90, [Leaf("b", 1, 90)])


@pytest.mark.parametrize(("contract", "vci"), [
    (Contract(ServiceCategory.ABR, CellRate(9)), 40), (Contract.parse("gfr:pcr=9,mcr=5,mbs=3"), None)])
def test_contracts_that_a_switch_cannot_hold(contract: Contract, vci: int | None) -> None:
    with pytest.raises(ValueError, match=r"has no queue|judged by frames"):
        example_switch().connect("c", 1, vci, [Leaf("b", 8, vci)], contract=contract)


def test_a_port_is_there_once_and_takes_whole_cells() -> None:
    switch = example_switch()
    with pytest.raises(ValueError, match="port a is there already"):
        switch.add_port("a")
    with pytest.raises(ValueError, match="no whole number"):
        switch.receive("a", bytes(54), 0)


@given(st.binary(max_size=400))
def test_random_octets_raise_nothing_but_value_error(octets: bytes) -> None:
    switch = example_switch()
    try:
        switch.receive("a", octets, 0)
    except ValueError:
        assert len(octets) % CELL_SIZE
