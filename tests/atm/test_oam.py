"""OAM points on a virtual clock: conditions against their definition, the cells that are sent, and bad input."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.loopback import MOST_ANSWERS, MOST_WAITING, Echo
from atmdepot.atm.oam import AlarmSource, Condition, EndPoint, NodeOnTheWay
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.oam import FaultFunction, OamFlow, OamPayload, OamType
from atmdepot.wire.oam_messages import (
    END_POINT,
    NO_LOCATION,
    ContinuityCheck,
    Defect,
    Forward,
    Loopback,
    looped,
    read,
)
from tests.effort import examples

S = 1_000_000_000
MS = S // 1000
HERE, THERE, ELSEWHERE = b"\1" + b"h" * 15, b"\1" + b"t" * 15, b"\1" + b"e" * 15
AIS, RDI = (Defect(function, 3, ELSEWHERE).pack() for function in (FaultFunction.AIS, FaultFunction.RDI))
CC = ContinuityCheck().pack()
INPUTS = ["ais", "rdi", "cc", "user", "check", "no check", "rubbish"]


def feed(point: EndPoint, what: str, now: int) -> None:
    cells = {"ais": AIS, "rdi": RDI, "cc": CC, "rubbish": bytes(range(48))}
    if what in cells:
        assert point.receive(cells[what], now) is None
    elif what == "user":
        point.user_cells(now)
    else:
        point.check_continuity(what == "check", now)


def run_to(point: EndPoint, until: int) -> list[tuple[int, bytes]]:
    """All that is sent, with its times, on a clock that goes from timer to timer."""
    sent = []
    while (due := point.next_timer()) is not None and due <= until:
        before = due
        point.handle_timer(due)
        sent += [(due, payload) for payload in point.cells_to_send()]
        after = point.next_timer()
        assert after is None or after > before, "a timer that does not go on"
    return sent


class History:
    """The inputs so far, and which conditions they mean by the table of `oam.py`."""

    def __init__(self) -> None:
        self.inputs: list[tuple[int, str]] = []

    def last(self, *names: str, after: int = -1) -> int:
        """The place of the last of these inputs, -1 for none."""
        return max((place for place, (_, name) in enumerate(self.inputs) if name in names), default=-1)

    def conditions(self, now: int) -> set[Condition]:
        found = set()
        ais, rdi = self.last("ais"), self.last("rdi")
        if ais > self.last("cc", "user") and now < self.inputs[ais][0] + 2500 * MS:
            found.add(Condition.AIS)
        if rdi >= 0 and now < self.inputs[rdi][0] + 2500 * MS:
            found.add(Condition.RDI)
        check, off = self.last("check"), self.last("no check")
        heard = self.last("check", "cc", "user")
        if check > off and now >= self.inputs[heard][0] + 3500 * MS:
            found.add(Condition.LOC)
        return found


@given(st.lists(st.tuples(st.sampled_from([0, 1, 400, 999, 1000, 2499, 2500, 2501, 3499, 3500, 3501, 9000]),
                          st.sampled_from(INPUTS)), max_size=30))
@examples(400)
def test_conditions_are_those_of_the_table(inputs: list[tuple[int, str]]) -> None:
    point, history, now = EndPoint(HERE), History(), 0
    told: dict[Condition, bool] = {}

    def observe(condition: Condition, begins: bool, at: int) -> None:
        assert told.get(condition, False) is not begins, "told twice"
        told[condition] = begins

    point.subscribe(observe)
    for gap, what in inputs:
        now += gap * MS
        run_to(point, now)
        assert set(point.conditions) == history.conditions(now)
        feed(point, what, now)
        # To check what is checked already is no new beginning.
        if what != "check" or history.last("check") <= history.last("no check"):
            history.inputs.append((now, what))
        assert set(point.conditions) == history.conditions(now)
        assert point.is_impaired is bool({Condition.AIS, Condition.LOC} & history.conditions(now))
        assert {condition for condition, holds in told.items() if holds} == history.conditions(now)
    assert point.drops[DropReason.BAD_OAM] == sum(what == "rubbish" for _, what in inputs)


@given(st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(INPUTS)), max_size=40))
@examples(200)
def test_rdi_goes_each_second_and_never_oftener(inputs: list[tuple[int, str]]) -> None:
    """However often AIS comes and goes; and while a condition lasts, it is never missed."""
    point, now = EndPoint(HERE), 0
    sent: list[int] = []
    for gap, what in inputs:
        now += gap * MS
        sent += [at for at, payload in run_to(point, now)]
        feed(point, what, now)
        sent += [now for _ in point.cells_to_send()]
        if point.is_impaired:
            assert sent
            assert now - sent[-1] < S
    assert all(later - earlier >= S for earlier, later in pairwise(sent))


def test_a_failure_from_beginning_to_end() -> None:
    point = EndPoint(HERE)
    point.receive(AIS, 0)
    assert [read(payload) for payload in point.cells_to_send()] == [Defect(FaultFunction.RDI, 3, ELSEWHERE)]
    assert [at for at, _ in run_to(point, S - 1)] == []
    point.receive(AIS, S)
    assert point.cells_to_send() == [Defect(FaultFunction.RDI, 3, ELSEWHERE).pack()]
    assert [at for at, _ in run_to(point, 9 * S)] == [2 * S, 3 * S]
    assert (point.conditions, point.next_timer()) == ([], None)


def test_loss_of_continuity_tells_this_place() -> None:
    point = EndPoint(HERE)
    point.check_continuity(True, S)
    point.receive(CC, 2 * S)
    ((at, payload),) = run_to(point, 6 * S)
    assert (at, read(payload)) == (5500 * MS, Defect(FaultFunction.RDI, 0x6A, HERE))
    assert point.conditions == [Condition.LOC]
    point.user_cells(6 * S)
    assert point.conditions == []


def test_cc_cells_each_second() -> None:
    point = EndPoint(HERE)
    point.send_continuity(True, 0)
    sent = [0 for _ in point.cells_to_send()]
    sent += [at // MS for at, payload in run_to(point, 4 * S) if payload == CC]
    assert sent == [0, 1000, 2000, 3000, 4000]
    point.send_continuity(False, 4 * S)
    assert point.next_timer() is None


def test_missed_seconds_are_not_made_up_for() -> None:
    point, source = EndPoint(HERE), AlarmSource(HERE)
    point.send_continuity(True, 0)
    source.fail(0)
    point.cells_to_send()
    source.cells_to_send(0)
    point.handle_timer(7300 * MS)
    assert (len(point.cells_to_send()), len(source.cells_to_send(7300 * MS))) == (1, 1)
    assert (point.next_timer(), source.next_timer()) == (8300 * MS, 8300 * MS)


def test_other_functions_are_handed_on() -> None:
    point = EndPoint(HERE)
    for message in (Forward(1, 2, 3, 4), OamPayload(OamType.PROTECTION_SWITCHING, 1, bytes(45)),
                    OamPayload(OamType.FAULT_MANAGEMENT, 9, bytes(45))):
        assert point.receive(message.pack(), 0) == message


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_random_octets_change_nothing(cells: list[bytes]) -> None:
    point = EndPoint(HERE)
    for octets in cells:
        point.receive(octets, 0)
    assert point.drops.total() <= len(cells)
    assert point.next_timer() is None or point.conditions


# ── AIS from a failed link ──

def test_ais_begins_at_once_and_goes_each_second() -> None:
    source = AlarmSource(HERE)
    assert (source.next_timer(), source.cells_to_send(0), source.is_raised) == (None, [], False)
    source.fail(S)
    source.fail(S + 1)
    sent = []
    for now in (S, S + 1, 2 * S - 1, 2 * S, 3 * S + 5):
        sent += [(now, read(payload)) for payload in source.cells_to_send(now)]
    ais = Defect(FaultFunction.AIS, 0x6A, HERE)
    assert sent == [(S, ais), (2 * S, ais), (3 * S + 5, ais)]
    assert source.next_timer() == 4 * S
    source.mend()
    assert (source.next_timer(), source.cells_to_send(9 * S)) == (None, [])


# ── loopbacks ──

class Asking(NamedTuple):
    point: EndPoint
    ended: list[Echo]

    def ask(self, now: int, location: bytes = END_POINT) -> bytes:
        self.point.ping(now, self.ended.append, location)
        (payload,) = self.point.cells_to_send()
        return payload


@pytest.fixture
def asking() -> Asking:
    return Asking(EndPoint(HERE, first_tag=0xFFFFFFFF), [])


def test_a_loopback_and_its_answer(asking: Asking) -> None:
    asked, far = asking.ask(S), EndPoint(THERE)
    assert read(asked) == Loopback(True, 0xFFFFFFFF, END_POINT, HERE)
    far.receive(asked, S + 1)
    (answer,) = far.cells_to_send()
    assert answer == looped(asked)
    asking.point.receive(answer, S + 700)
    assert asking.ended == [Echo(0xFFFFFFFF, END_POINT, 700)]
    assert asking.point.next_timer() is None
    assert read(asking.ask(2 * S)) == Loopback(True, 0, END_POINT, HERE)


def test_a_loopback_without_an_answer(asking: Asking) -> None:
    first, second = asking.ask(0), asking.ask(S, THERE)
    run_to(asking.point, 5 * S)
    assert asking.ended == [Echo(0xFFFFFFFF, END_POINT, None)]
    asking.point.receive(looped(first), 5 * S)  # too late
    asking.point.receive(looped(second), 5 * S)
    asking.point.receive(looped(second), 5 * S)  # twice
    assert asking.ended[1:] == [Echo(0, THERE, 4 * S)]
    assert asking.point.drops == {DropReason.STRAY_LOOPBACK: 2}


@pytest.mark.parametrize("cell", [
    Loopback(False, 0xFFFFFFFF, END_POINT, THERE), Loopback(False, 7, END_POINT, HERE),
    Loopback(False, 0xFFFFFFFF), Loopback(True, 1, THERE, THERE)])
def test_loopbacks_that_are_not_ours(asking: Asking, cell: Loopback) -> None:
    asking.ask(0)
    asking.point.receive(cell.pack(), 1)
    assert (asking.ended, asking.point.cells_to_send()) == ([], [])
    assert asking.point.drops == {DropReason.STRAY_LOOPBACK: 1}


def test_older_gear_is_answered_in_its_layout() -> None:
    point = EndPoint(HERE)
    for location in (END_POINT, HERE):
        asked = Loopback(True, 9, location[:12], b"old exchange", older=True)
        point.receive(asked.pack(), 0)
        assert [read(payload) for payload in point.cells_to_send()] == [asked._replace(to_be_looped=False)]


def test_floods_of_loopbacks_are_bounded() -> None:
    point = EndPoint(HERE)
    for _ in range(MOST_ANSWERS + 5):
        point.receive(Loopback(True, 1).pack(), 0)
    assert len(point.cells_to_send()) == MOST_ANSWERS
    assert point.drops == {DropReason.STRAY_LOOPBACK: 5}
    for _ in range(MOST_WAITING):
        point.ping(0, [].append)
        point.cells_to_send()
    with pytest.raises(ValueError, match="256 loopbacks wait"):
        point.ping(0, [].append)


@pytest.mark.parametrize("location", [b"", b"\1" * 15, b"\1" * 17])
def test_locations_of_another_size(location: bytes) -> None:
    for make in (EndPoint, AlarmSource, NodeOnTheWay):
        with pytest.raises(ValueError, match="16 octets"):
            make(location)


# ── on the way ──

def on(flow: OamFlow, payload: bytes) -> bytes:
    return flow.header(1, 40) + payload


@pytest.mark.parametrize("flow", OamFlow)
def test_a_node_on_the_way_answers_for_itself_alone(flow: OamFlow) -> None:
    node = NodeOnTheWay(THERE)
    mine, others = Loopback(True, 1, THERE, HERE).pack(), [
        Loopback(True, 1, END_POINT, HERE).pack(), Loopback(True, 1, ELSEWHERE, HERE).pack(),
        Loopback(False, 1, THERE, HERE).pack(), AIS, CC, bytes(48), bytes(range(48)),
        Loopback(True, 1, NO_LOCATION, HERE).pack()]
    cells = b"".join(on(flow, payload) for payload in [*others[:3], mine, *others[3:]])
    assert node.pass_on(cells, 0) == b"".join(on(flow, payload) for payload in others)
    assert node.answers() == [(flow, looped(mine))]
    assert node.answers() == []


def test_the_end_of_a_segment_takes_the_segment_flow() -> None:
    segment = EndPoint(THERE)
    node = NodeOnTheWay(ELSEWHERE, segment=segment)
    segment.check_continuity(True, 0)
    kept = on(OamFlow.F5_END_TO_END, AIS)
    cells = on(OamFlow.F5_SEGMENT, AIS) + kept + on(OamFlow.F5_SEGMENT, Loopback(True, 5).pack())
    assert node.pass_on(cells, S) == kept
    assert segment.conditions == [Condition.AIS]
    assert [read(payload) for payload in segment.cells_to_send()] == [
        Defect(FaultFunction.RDI, 3, ELSEWHERE), Loopback(False, 5)]
    node.user_cells(3, S)
    assert segment.conditions == []
    assert segment.next_timer() == 4500 * MS
    NodeOnTheWay(HERE).user_cells(1, 0)


def test_a_route_is_traced_by_a_loopback_for_each_node() -> None:
    nodes = [NodeOnTheWay(bytes([1, n]) + bytes(14)) for n in range(3)]
    far, near, ended = EndPoint(THERE), EndPoint(HERE), []
    for n, location in enumerate([*(bytes([1, n]) + bytes(14) for n in range(3)), END_POINT]):
        near.ping(n, ended.append, location)
        cells = b"".join(on(OamFlow.F4_END_TO_END, payload) for payload in near.cells_to_send())
        for node in nodes:
            cells = node.pass_on(cells, n)
            for flow, payload in node.answers():
                assert flow is OamFlow.F4_END_TO_END
                near.receive(payload, n + 10)
        if cells:
            assert CellHeader.unpack(cells).vci == 4
            far.receive(cells[5:], n)
            for payload in far.cells_to_send():
                near.receive(payload, n + 20)
    assert [echo.round_trip for echo in ended] == [10, 10, 10, 20]
