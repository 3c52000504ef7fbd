"""Shaping: whatever enters, what leaves conforms, in order, and as early as the contract allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.policer import Policer
from atmdepot.atm.shaper import Shaper
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from tests.atm.contracts import OF_CELLS, contracts
from tests.atm.trains import headers_on, pdu, train
from tests.effort import examples

NS = 1_000_000_000
any_trains = st.lists(st.tuples(st.one_of(st.just(0), st.integers(1, 10**8)), headers_on(1, 40)), max_size=6)
wake_ups = st.one_of(st.just(0), st.integers(0, 10**6))


def run(shaper: Shaper, arrivals: list[tuple[int, bytes]], late: int = 0) -> list[tuple[int, bytes]]:
    """All that leaves, with its times, on a clock that wakes the shaper `late` ns late."""
    out, now = [], 0
    for gap, cells in arrivals:
        until = now + gap
        while (due := shaper.next_timer()) is not None and max(due, now) + late <= until:
            now = max(due, now) + late
            out.append((now, shaper.leave(now)))
        now = until
        shaper.enter(cells)
        out.append((now, shaper.leave(now)))
    while (due := shaper.next_timer()) is not None:
        now = max(due, now) + late
        out.append((now, shaper.leave(now)))
        assert out[-1][1], "it was due, and did not leave"
    return out


@given(contracts(OF_CELLS), any_trains, wake_ups)
@examples(200)
def test_no_policer_objects(contract: Contract, trains: list[tuple[int, list[CellHeader]]], late: int) -> None:
    arrivals = [(gap, train(headers)) for gap, headers in trains]
    policer = Policer(contract)
    left = run(Shaper(contract), arrivals, late)
    assert all(policer.police(cells, now) == cells for now, cells in left)
    assert b"".join(cells for _, cells in left) == b"".join(cells for _, cells in arrivals)
    assert (policer.tagged, policer.discarded.total()) == (0, 0)


@given(contracts([ServiceCategory.GFR]), st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 12),
                                                            st.integers(0, 1)), max_size=6), wake_ups)
def test_no_policer_discards_a_cell_of_gfr(
        contract: Contract, frames: list[tuple[int, int, int]], late: int) -> None:
    """Frames within MFS; what exceeds MCR is best effort."""
    arrivals = [(gap, train(pdu(1, 40, min(size, contract.mfs or size), clp))) for gap, size, clp in frames]
    policer = Policer(contract)
    assert all(policer.police(cells, now) == cells for now, cells in run(Shaper(contract), arrivals, late))


@given(contracts(OF_CELLS), any_trains)
def test_cells_leave_as_early_as_they_may(contract: Contract, trains: list[tuple[int, list[CellHeader]]]) -> None:
    """A nanosecond before its timer nothing leaves, and what is left after leaving is not yet due."""
    shaper, now = Shaper(contract), 0
    for gap, headers in trains:
        now += gap
        shaper.enter(train(headers))
        due = shaper.next_timer()
        if due is not None and due > now:
            assert shaper.leave(due - 1) == b""
            now = due
        shaper.leave(now)
        after = shaper.next_timer()
        assert after is None or after > now


@pytest.mark.parametrize(("text", "cells", "expected"), [
    ("cbr:pcr=1000", 3, [(0, 1), (999_999, 1), (1_999_999, 1)]),
    ("cbr:pcr=1000,cdvt=1ms", 4, [(0, 2), (1_000_000, 1), (2_000_000, 1)]),
    ("cbr:pcr=353207", 3, [(0, 1), (2_831, 1), (5_662, 1)]),
    ("ubr", 3, [(0, 3)]),
    ("nrt-vbr:pcr=1000,scr=100,mbs=3,cdvt=2ms", 5, [(0, 3), (10_000_000, 1), (20_000_000, 1)]),
])
def test_times(text: str, cells: int, expected: list[tuple[int, int]]) -> None:
    """Without CDVT, the nanosecond by which times are rounded."""
    left = run(Shaper(Contract.parse(text)), [(0, train(pdu(1, 40, cells)))])
    assert [(now, len(octets) // CELL_SIZE) for now, octets in left] == expected


def test_a_tenth_of_a_second_of_oc_3() -> None:
    shaper = Shaper(Contract.parse("cbr:pcr=353207,cdvt=50us"), room=40_000)
    shaper.enter(train([CellHeader(1, 40)]) * 40_000)
    now = sent = 0
    while now < NS // 10:
        sent += len(shaper.leave(now)) // CELL_SIZE
        now += 50_000
    assert abs(sent - 35_321) <= 18  # 50 us hold 17.7 cells


def test_a_train_that_does_not_fit_is_dropped_whole() -> None:
    shaper = Shaper(Contract.parse("cbr:pcr=1000"), room=5)
    assert shaper.enter(train(pdu(1, 40, 4)))
    assert not shaper.enter(train(pdu(1, 40, 2)))
    assert shaper.enter(train(pdu(1, 40, 1)))
    assert (shaper.held, shaper.drops) == (5, {DropReason.SHAPER_FULL: 2})
    assert len(shaper.leave(0)) == CELL_SIZE
    assert (shaper.held, shaper.left) == (4, 1)
    assert shaper.clear() == 4
    assert (shaper.held, shaper.next_timer(), shaper.leave(NS)) == (0, None, b"")


def test_no_whole_cells() -> None:
    shaper = Shaper(Contract.parse("ubr"))
    with pytest.raises(ValueError, match="no whole number"):
        shaper.enter(bytes(52))
    assert shaper.held == 0
