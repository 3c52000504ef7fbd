"""Supervision of a link: two ends on a virtual clock, with traffic, silence and cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.oam import AlarmSource, Condition, EndPoint
from atmdepot.atm.protection import LinearProtection, Side
from atmdepot.atm.supervision import LinkSupervision
from atmdepot.wire.cell import IDLE_CELL
from tests.effort import examples

MS = 1_000_000
INTERVAL = 100 * MS


def run(end: LinkSupervision, until: int) -> list[int]:
    """The times of the idle cells sent, from timer to timer."""
    sent = []
    while (due := end.next_timer()) <= until:
        if cells := end.handle_timer(due):
            assert cells == IDLE_CELL
            sent.append(due // MS)
    return sent


def test_a_silent_end_sends_idle_cells() -> None:
    end = LinkSupervision(INTERVAL, 0)
    end.heard = 10**12
    assert run(end, 250 * MS) == [0, 100, 200]
    end.sent = 250 * MS
    assert run(end, 500 * MS) == [350, 450]


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), max_size=30))
@examples(200)
def test_the_signal_is_lost_after_three_silent_intervals(arrivals: list[tuple[int, bool]]) -> None:
    end, now, heard = LinkSupervision(INTERVAL, 0), 0, 0
    told: list[tuple[bool, int]] = []
    expected: list[tuple[bool, int]] = []
    end.subscribe(lambda is_lost, at: told.append((is_lost, at)))
    for gap, by_call in arrivals:
        now += gap * MS
        run(end, now)
        lost = now - heard >= 3 * INTERVAL
        if lost:
            expected += [(True, heard + 3 * INTERVAL), (False, now)]
        assert end.is_lost is lost
        if lost or by_call:
            end.receive(now)
        else:
            end.heard = now
        heard = now
        assert not end.is_lost
    assert told == expected
    assert end.losses == len(expected) // 2


def test_two_ends_keep_each_other_up_until_the_link_is_cut() -> None:
    ends = [LinkSupervision(INTERVAL, 0) for _ in range(2)]
    for now in range(0, 3000 * MS, 5 * MS):
        cut = 1000 * MS <= now < 2000 * MS
        for sender, hearer in ((0, 1), (1, 0)):
            if ends[sender].next_timer() <= now and ends[sender].handle_timer(now) and not cut:
                ends[hearer].receive(now)
        if now < 1000 * MS or now >= 2100 * MS:
            assert not any(end.is_lost for end in ends)
        if 1300 * MS <= now < 2000 * MS:
            assert all(end.is_lost for end in ends)
    assert [end.losses for end in ends] == [1, 1]


def test_a_cut_moves_a_protected_vp_within_half_a_second() -> None:
    """Loss of signal at a switch, AIS to the end point, and the other entity: without waiting for continuity."""
    link, alarms = LinkSupervision(INTERVAL, 0), AlarmSource(b"\1" * 16)
    end, protection = EndPoint(b"\2" * 16), LinearProtection()
    link.subscribe(lambda is_lost, now: alarms.fail(now) if is_lost else alarms.mend())
    end.subscribe(lambda condition, begins, now: protection.conditions(Side.WORKING, end.conditions, now))
    now = 0
    while protection.selected is Side.WORKING:
        now = link.next_timer()
        link.handle_timer(now)
        for payload in alarms.cells_to_send(now):
            end.receive(payload, now)
    assert end.conditions == [Condition.AIS]
    assert now == 300 * MS


@pytest.mark.parametrize("interval", [0, -5])
def test_an_interval_below_1(interval: int) -> None:
    with pytest.raises(ValueError, match="at least 1 ns"):
        LinkSupervision(interval, 0)
