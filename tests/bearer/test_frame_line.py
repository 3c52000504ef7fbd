"""The line of a Frame Relay link: frames keep their order, and what is lost is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.frame_line import FrameLine
from atmdepot.config.links import Line as Settings
from atmdepot.config.units import Duration
from atmdepot.drops import DropReason, Drops

times = st.lists(st.tuples(st.integers(0, 10**6), st.integers(3, 60)), max_size=30)


@given(times, st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 9))
def test_frames_leave_in_order_within_delay_and_jitter_or_are_counted(
        sent: list[tuple[int, int]], delay: int, jitter: int, loss: float, seed: int) -> None:
    drops = Drops()
    line = FrameLine(Settings(delay=Duration(delay), jitter=Duration(jitter), cell_loss=loss, seed=seed), drops)
    now, entered, left = 0, {}, []
    for number, (gap, size) in enumerate(sent):
        now += gap
        frame = number.to_bytes(size, "big")
        entered[frame] = now
        line.enter(frame, now)
    while (time := line.next_timer()) is not None:
        ready = line.leave(time)
        assert ready
        assert all(entered[frame] + delay <= time <= now + delay + jitter for frame in ready)
        left += ready
    assert left == [frame for frame in entered if frame in left]
    assert len(left) + drops[DropReason.LOST_FRAME] == len(sent)


@pytest.mark.parametrize(("settings", "lost"), [({"cell_loss": 1.0}, 20), ({"payload_bit_errors": 1.0}, 20), ({}, 0)])
def test_certain_loss_and_certain_bit_errors_lose_all_and_nothing_loses_none(
        settings: dict[str, float], lost: int) -> None:
    drops = Drops()
    line = FrameLine(Settings(**settings), drops)
    for _ in range(20):
        line.enter(bytes(44), 5)
    assert (len(line.leave(5)), drops[DropReason.LOST_FRAME]) == (20 - lost, lost)


def test_a_long_frame_meets_a_bit_error_more_often_than_a_short_one() -> None:
    lost = []
    for size in (10, 1000):
        drops = Drops()
        line = FrameLine(Settings(payload_bit_errors=1e-4), drops)
        for number in range(1000):
            line.enter(bytes(size), number)
        lost.append(drops[DropReason.LOST_FRAME])
    assert 0 < lost[0] < 30
    assert 450 < lost[1] < 650


def test_what_a_line_without_end_holds_is_bounded() -> None:
    drops = Drops()
    line = FrameLine(Settings(delay=Duration(10**12)), drops)
    for _ in range(1100):
        line.enter(bytes(64_000), 0)
    assert drops[DropReason.LOST_FRAME] == 1100 - 64 * 2**20 // 64_000


def test_a_line_that_succeeds_another_has_its_frames_in_their_order() -> None:
    old, new = FrameLine(Settings(delay=Duration(100)), Drops()), FrameLine(Settings(jitter=Duration(50)), Drops())
    for number in range(9):
        old.enter(bytes([number]), number)
    new.succeed(old, 60)
    assert (old.next_timer(), old.leave(10**9)) == (None, [])
    assert new.leave(110) == [bytes([number]) for number in range(9)]
