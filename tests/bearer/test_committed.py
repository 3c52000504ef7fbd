"""CIR, Bc and Be: what a sender lets go a policer passes, in any load, and a frame goes as soon as it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.committed import Committed, Verdict

SECOND = 1_000_000_000
_loads = st.lists(st.tuples(st.integers(0, SECOND // 4), st.integers(1, 1500), st.booleans()), min_size=1, max_size=60)


def test_bc_passes_at_once_be_is_marked_and_the_rest_discarded() -> None:
    """64 kbit/s, Bc of 64,000 bits and Be of 32,000: 8 frames of 1,000 octets, 4 more, and again after a second."""
    of = Committed(64_000, 64_000, 32_000)
    for second in (0, 1, 5):
        seen = [of.judge(1000, False, second * SECOND) for _ in range(14)]
        assert seen == [Verdict.PASS] * 8 + [Verdict.MARK] * 4 + [Verdict.DISCARD] * 2


def test_a_frame_with_de_takes_of_be_alone() -> None:
    of = Committed(64_000, 64_000, 32_000)
    assert [of.judge(1000, True, 0) for _ in range(5)] == [Verdict.PASS] * 4 + [Verdict.DISCARD]
    assert [of.judge(1000, False, 0) for _ in range(9)] == [Verdict.PASS] * 8 + [Verdict.DISCARD]


def test_without_be_nothing_is_marked() -> None:
    of = Committed(64_000, 64_000, 0)
    assert [of.judge(4000, de, 0) for de in (False, True, False)] == [Verdict.PASS] * 2 + [Verdict.DISCARD]
    assert of.judge(1, True, 0) is Verdict.DISCARD


@pytest.mark.parametrize(("cir", "bc"), [(0, 1), (64_000, 0)])
def test_a_rate_or_a_burst_of_nothing_is_refused(cir: int, bc: int) -> None:
    with pytest.raises(ValueError, match=r"rate of 0|Bc 0"):
        Committed(cir, bc, 0)


@given(st.integers(1000, 10**9), st.integers(12_000, 10**6), st.integers(0, 10**6), _loads)
def test_what_a_shaper_lets_go_a_policer_passes(cir: int, bc: int, be: int, load: list[tuple[int, int, bool]]) -> None:
    shaper, policer, now = Committed(cir, bc, be), Committed(cir, bc, be), 0
    for pause, octets, de in load:
        has_de = de and be >= 12_000  # else such a frame never conforms
        now += pause
        due = shaper.due(octets, has_de, now)
        assert due >= now
        if due > now:
            assert not shaper.send(octets, has_de, due - 1)
        now = due
        assert shaper.send(octets, has_de, now)
        assert policer.judge(octets, has_de, now) is Verdict.PASS


@given(st.integers(1000, 10**7), st.integers(12_000, 10**6), st.integers(0, 10**6), _loads)
def test_no_more_passes_than_bursts_and_rates_allow(
        cir: int, bc: int, be: int, load: list[tuple[int, int, bool]]) -> None:
    of, now, committed, excess = Committed(cir, bc, be), 0, 0, 0
    for pause, octets, _ in load:
        now += pause
        verdict = of.judge(octets, False, now)
        committed += 8 * octets * (verdict is Verdict.PASS)
        excess += 8 * octets * (verdict is Verdict.MARK)
        assert committed * SECOND <= bc * SECOND + cir * now
        assert excess * SECOND <= be * SECOND + cir * be // bc * now
