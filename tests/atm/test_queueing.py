"""Output queues: against a model that takes cell by cell, and the promises of EPD and PPD."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.queueing import CellQueue, QueuedVc, Thresholds
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from tests.atm.trains import Seen, headers_on, pdu, seen, train
from tests.effort import examples

FULL, CLP, EPD, PPD = DropReason.QUEUE_FULL, DropReason.CLP_THRESHOLD, DropReason.EPD, DropReason.PPD


@st.composite
def thresholds(draw: st.DrawFn) -> Thresholds:
    room = draw(st.integers(1, 24))
    last = draw(st.integers(0, room - 1))
    epd = draw(st.integers(1, room - last))
    return Thresholds(room, last, draw(st.integers(1, epd)), epd, draw(st.integers(0, room + 2)))


@dataclass
class PlainQueue:
    """The rules of `queueing.py`, for a cell at a time."""

    limits: Thresholds
    cells: list[Seen] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)
    dropped: Counter[DropReason] = field(default_factory=Counter)

    def enter(self, cell: Seen, by_frames: bool) -> None:
        reason = self._refusal(cell.header, by_frames)
        if reason is not None:
            self.dropped[reason] += 1
            return
        header = cell.header
        if len(self.cells) >= self.limits.efci and not header.pti & 4:
            header = header._replace(pti=header.pti | 2)
        self.cells.append(Seen(header, cell.number))

    def _refusal(self, header: CellHeader, by_frames: bool) -> DropReason | None:
        held, limits = len(self.cells), self.limits
        full = held >= limits.room - limits.last_cells
        if header.pti & 4:
            return FULL if full else None
        if not by_frames:
            return CLP if header.clp and held >= limits.clp else FULL if held >= limits.epd else None
        state = self.states.get(header.vci, "between")
        if state == "between":
            if held >= (limits.clp if header.clp else limits.epd):
                state = "refused by clp" if header.clp else "refused"
            else:
                state = "within"
        reason = {"refused": EPD, "refused by clp": CLP}.get(state)
        if header.is_last:
            self.states[header.vci] = "between"
            return reason or (FULL if held >= limits.room else None)
        if state == "cut":
            reason = PPD
        elif state == "within" and full:
            state, reason = "cut", FULL
        self.states[header.vci] = state
        return reason


steps = st.lists(st.one_of(
    st.tuples(st.sampled_from([40, 41, 42]), st.integers(0, 3)).flatmap(lambda chosen: headers_on(1, chosen[0])),
    st.integers(0, 12)), max_size=25)


@given(thresholds(), st.sets(st.sampled_from([40, 41, 42])), steps)
@examples(500)
def test_the_queue_does_what_the_model_does(
        limits: Thresholds, framed: set[int], steps: list[list[CellHeader] | int]) -> None:
    queue, plain, number = CellQueue(limits), PlainQueue(limits), 0
    vcs = {vci: QueuedVc(by_frames=vci in framed) for vci in (40, 41, 42)}
    for step in steps:
        if isinstance(step, int):
            assert seen(b"".join(queue.take(step))) == plain.cells[:step]
            del plain.cells[:step]
        elif step:
            before = len(plain.cells)
            for at, header in enumerate(step, number):
                plain.enter(Seen(header, at), header.vci in framed)
            assert queue.enter(vcs[step[0].vci], train(step, number)) == len(plain.cells) - before
            number += len(step)
        assert queue.held == len(plain.cells) <= limits.room
    assert seen(b"".join(queue.take(100))) == plain.cells
    assert queue.drops == plain.dropped
    assert sum((vc.dropped for vc in vcs.values()), Counter()) == plain.dropped
    assert queue.entered == sum(vc.entered for vc in vcs.values()) == number - plain.dropped.total()
    assert queue.marked == sum(vc.marked for vc in vcs.values())


pdus = st.lists(st.tuples(st.sampled_from([40, 41, 42]), st.integers(1, 30), st.integers(0, 1), st.integers(0, 20)),
                max_size=30)


@given(st.integers(1, 60), pdus, st.integers(1, 9))
@examples(300)
def test_a_pdu_leaves_whole_or_not_at_all_unless_a_full_queue_cuts_it(
        room: int, sent: list[tuple[int, int, int, int]], chunk: int) -> None:
    """All of it, or none of it, or its beginning with or without its last cell; and only a full queue cuts it."""
    queue = CellQueue(Thresholds.of(room))
    vcs = {vci: QueuedVc() for vci in (40, 41, 42)}
    out: list[Seen] = []
    for number, (vci, size, clp, taken) in enumerate(sent):
        cells = b"".join(header.pack() + number.to_bytes(24, "big") + at.to_bytes(24, "big")
                         for at, header in enumerate(pdu(1, vci, size, clp)))
        for at in range(0, len(cells), chunk * CELL_SIZE):
            queue.enter(vcs[vci], cells[at:at + chunk * CELL_SIZE])
        out += seen(b"".join(queue.take(taken)))
    out += seen(b"".join(queue.take(room)))
    places: dict[int, list[int]] = {}
    for cell in out:
        places.setdefault(cell.number >> 192, []).append(cell.number & (1 << 192) - 1)
    for number, got in places.items():
        size, last = sent[number][1], got[-1] == sent[number][1] - 1
        beginning = got[:-1] if last else got
        assert beginning == list(range(len(beginning)))
        if len(beginning) + last < size:
            assert queue.drops[FULL], "a threshold cut a PDU that had begun"


def test_epd_refuses_pdus_that_begin_and_lets_those_end_that_began() -> None:
    queue = CellQueue(Thresholds(20, 2, 4, 8, 20))
    first, second, third = QueuedVc(), QueuedVc(), QueuedVc()
    assert queue.enter(first, train(pdu(1, 40, 12)[:7])) == 7
    assert queue.enter(second, train(pdu(1, 41, 5, clp=1))) == 0
    assert queue.enter(third, train(pdu(1, 42, 2))) == 2
    assert queue.enter(third, train(pdu(1, 42, 5))) == 0
    assert queue.enter(first, train(pdu(1, 40, 12)[7:])) == 5
    assert queue.drops == {CLP: 5, EPD: 5}
    assert (first.entered, second.dropped, third.dropped) == (12, {CLP: 5}, {EPD: 5})


def test_a_vp_without_frames_does_not_keep_others_from_beginning_a_pdu() -> None:
    """Above the EPD threshold is room for what has begun, not for more cells of the VP."""
    queue = CellQueue(Thresholds(32, 2, 8, 16, 32))
    whole_vp, vc = QueuedVc(by_frames=False), QueuedVc()
    assert queue.enter(whole_vp, train([CellHeader(2, 64)] * 40)) == 16
    queue.take(1)
    assert queue.enter(vc, train(pdu(1, 40, 10))) == 10
    assert queue.enter(whole_vp, train([CellHeader(2, 64)])) == 0
    assert queue.enter(whole_vp, train([CellHeader(2, 4)._replace(pti=4)])) == 1, "maintenance has all the room"
    assert (queue.drops, vc.dropped) == ({FULL: 25}, {})


def test_ppd_keeps_the_last_cell() -> None:
    queue = CellQueue(Thresholds(10, 2, 4, 6, 10))
    vc = QueuedVc()
    assert queue.enter(vc, train(pdu(1, 40, 20))) == 9
    assert queue.drops == {FULL: 1, PPD: 10}
    assert [cell.header.is_last for cell in seen(b"".join(queue.take(99)))] == [False] * 8 + [True]


def test_efci_marks_what_finds_the_queue_at_its_threshold() -> None:
    queue = CellQueue(Thresholds(10, 0, 10, 10, 3))
    vc = QueuedVc()
    queue.enter(vc, train(pdu(1, 40, 5)) + train([CellHeader(1, 40, 5), CellHeader(1, 40, 2)]))
    assert [cell.header.pti for cell in seen(b"".join(queue.take(9)))] == [0, 0, 0, 2, 3, 5, 2]
    assert (queue.marked, vc.marked, queue.most) == (2, 2, 7)


def test_observers_see_the_cells() -> None:
    told = []
    drops = Drops()
    drops.subscribe(lambda *drop: told.append(drop))
    header = CellHeader(1, 40)
    cells = train([header] * 3)
    CellQueue(Thresholds(2, 0, 1, 2, 2), drops).enter(QueuedVc(header, by_frames=False), cells)
    assert told == [(FULL, 1, cells[2 * CELL_SIZE:], header)]


@pytest.mark.parametrize("room", range(1, 40))
def test_usual_thresholds_fit_any_room(room: int) -> None:
    Thresholds.of(room).check()
    without = Thresholds.of(room, by_frames=False)
    without.check()
    assert without.epd == room - without.last_cells


@pytest.mark.parametrize("limits", [
    Thresholds.of(0), Thresholds(10, 0, 5, 4, 0), Thresholds(10, 5, 5, 6, 0), Thresholds(10, -1, 5, 6, 0),
    Thresholds(10, 0, 5, 6, -1), Thresholds(10, 0, 0, 6, 1)])
def test_thresholds_that_do_not_fit_together(limits: Thresholds) -> None:
    with pytest.raises(ValueError, match="clp <= epd"):
        CellQueue(limits)


def test_no_whole_cells() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        CellQueue(Thresholds.of(9)).enter(QueuedVc(), bytes(1))
