"""GCRA: against the standard's other form and against the standard's text in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.gcra import INCREMENT, Gcra, burst_tolerance
from tests.effort import examples

NS = 1_000_000_000
OC3 = 353_207

rates = st.one_of(st.sampled_from([1, 3, 96_000, OC3, 1_412_830, 5_651_320, 10**9]), st.integers(1, 10**9))
gaps = st.one_of(st.integers(0, 10), st.integers(0, 10_000), st.integers(0, 10**10))
arrivals = st.lists(st.tuples(gaps, st.integers(1, 40)), max_size=40)


class Standard:
    """Virtual scheduling as I.371 figure A.1 has it, cell by cell, in fractions of a second."""

    def __init__(self, rate: int, limit: Fraction) -> None:
        self.increment = Fraction(1, rate)
        self.limit = limit
        self.theoretical: Fraction | None = None

    def conforms(self, time: Fraction) -> bool:
        if self.theoretical is None:
            self.theoretical = time
        if time < self.theoretical - self.limit:
            return False
        self.theoretical = max(time, self.theoretical) + self.increment
        return True


class LeakyBucket:
    """Continuous-state leaky bucket: its level when a cell last conformed, and that time."""

    def __init__(self, rate: int, limit: int) -> None:
        self.rate = rate
        self.limit = limit
        self._level = self._last = 0

    def fit(self, now: int, count: int) -> int:
        level = max(self._level - (now - self._last) * self.rate, 0)
        return 0 if level > self.limit else min(count, (self.limit - level) // INCREMENT + 1)

    def take(self, now: int, count: int) -> None:
        self._level = max(self._level - (now - self._last) * self.rate, 0) + count * INCREMENT
        self._last = now

    def due(self, count: int = 1) -> int:
        return self._last - (self.limit - (count - 1) * INCREMENT - self._level) // self.rate


def longest_run(test: Gcra, link_rate: int) -> int | None:
    """The most cells back to back on a link (cells/s) that conform from rest; None for any number.

    TM 4.1 section 4.4.3: 1 + floor(tau / (T - delta)), with delta the link's cell time.
    """
    if link_rate <= test.rate:
        return None
    # T - delta is INCREMENT (link_rate - rate) / link_rate ticks.
    return 1 + test.limit * link_rate // (INCREMENT * (link_rate - test.rate))


@given(rates, st.integers(0, 10**7), arrivals, st.sampled_from([Gcra, LeakyBucket]))
@examples(300)
def test_each_cell_is_judged_as_the_standard_does(
        rate: int, tolerance: int, bursts: list[tuple[int, int]], form: type[Gcra | LeakyBucket]) -> None:
    test = form(rate, tolerance * rate)
    standard, now = Standard(rate, Fraction(tolerance, NS)), 0
    for gap, count in bursts:
        now += gap
        expected = [standard.conforms(Fraction(now, NS)) for _ in range(count)]
        fit = test.fit(now, count)
        assert expected == [True] * fit + [False] * (count - fit)
        test.take(now, fit)


@given(rates, st.integers(0, 10**16), st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**6)), max_size=20))
@examples(300)
def test_both_forms_are_one(rate: int, limit: int, bursts: list[tuple[int, int]]) -> None:
    """Also when a clock goes back, and when cells are counted that do not conform."""
    schedule, bucket = Gcra(rate, limit), LeakyBucket(rate, limit)
    for now, count in bursts:
        assert schedule.fit(now, count) == bucket.fit(now, count)
        schedule.take(now, count // 2)
        bucket.take(now, count // 2)
        assert schedule.due(count) == bucket.due(count)


@given(rates, st.integers(0, 10**16), st.integers(0, 10**12), st.integers(1, 10**6), st.integers(1, 10**6))
def test_due_is_the_first_nanosecond_that_conforms(rate: int, limit: int, now: int, count: int, together: int) -> None:
    test = Gcra(rate, limit)
    together = min(together, test.fit(0, together))  # as many as conform from rest
    test.take(now, count)
    due = test.due(together)
    assert test.fit(max(due, 0), together) == together
    assert due <= 0 or test.fit(due - 1, together) < together


@given(rates, st.integers(1, 10**6))
def test_no_rate_drifts(rate: int, count: int) -> None:
    """Cells that go as soon as they may: cell n is n/rate after the first, rounded up to a nanosecond."""
    test = Gcra(rate, 0)
    test.take(0, count)
    assert test.due() == -(-count * NS // rate)


def test_an_oc_3_has_353207_cells_in_each_second() -> None:
    """A nanosecond of tolerance takes up the rounding of times, so none of it adds up."""
    test, now, sent = Gcra.peak(OC3, 1), 0, 0
    while now < NS // 10:
        assert test.fit(now, 2) == 1
        test.take(now, 1)
        sent += 1
        now = test.due()
    assert sent == 35_321  # ceil(35320.7): the first cell is at 0


# ── bursts ──

contracts = st.tuples(rates, rates, st.integers(1, 2000)).map(lambda c: (min(c[:2]), max(c[:2]), c[2]))


@given(contracts)
@examples(300)
def test_mbs_cells_at_the_peak_rate_conform_and_no_more(contract: tuple[int, int, int]) -> None:
    scr, pcr, mbs = contract
    test = Gcra.sustained(scr, mbs, pcr, 0)
    assert longest_run(test, pcr) == (None if scr == pcr else mbs)
    exact = (mbs - 1) * (Fraction(1, scr) - Fraction(1, pcr)) * NS * scr
    assert exact <= burst_tolerance(*(scr, mbs, pcr)) < exact + 1


@given(contracts, st.integers(1, 50), st.integers(0, 100_000))
def test_the_longest_run_is_that_of_the_standard(contract: tuple[int, int, int], link: int, tolerance: int) -> None:
    scr, pcr, _ = contract
    pcr += link
    test = Gcra.peak(scr, tolerance)
    standard, run = Standard(scr, Fraction(tolerance, NS)), 0
    longest = longest_run(test, pcr)
    assert longest is not None
    while run < min(longest, 300) and standard.conforms(Fraction(run, pcr)):
        run += 1
    assert run == min(longest, 300)
    if longest < 300:
        assert not standard.conforms(Fraction(run, pcr))


@pytest.mark.parametrize(("scr", "pcr", "mbs", "ticks"), [
    (100, 100, 50, 0), (50, 100, 1, 0), (50, 100, 2, INCREMENT // 2), (50, 100, 101, 50 * INCREMENT),
    (1, 3, 2, 666_666_667)])
def test_burst_tolerances(scr: int, pcr: int, mbs: int, ticks: int) -> None:
    assert burst_tolerance(scr, mbs, pcr) == ticks


@pytest.mark.parametrize(("scr", "mbs", "pcr"), [(0, 1, 1), (2, 1, 1), (1, 0, 1), (-1, 5, 1)])
def test_bursts_that_cannot_be(scr: int, mbs: int, pcr: int) -> None:
    with pytest.raises(ValueError, match="MBS is at least 1"):
        burst_tolerance(scr, mbs, pcr)


@pytest.mark.parametrize(("rate", "limit"), [(0, 0), (-5, 0), (1, -1)])
def test_rates_that_cannot_be(rate: int, limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1 and 0"):
        Gcra(rate, limit)
