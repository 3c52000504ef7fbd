"""Rates of the last seconds, from counts that are noted now and then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.rates import Counts, Rates
from atmdepot.quantiles import quantile

SECOND = 10**9


def test_without_two_moments_there_are_no_rates() -> None:
    rates = Rates()
    assert set(rates.per_second()) == {0.0}
    rates.note(Counts(1, 2, 3, 4, 5), 0)
    rates.note(Counts(1, 2, 3, 4, 5), 0)
    assert set(rates.per_second()) == {0.0}


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(2, 100))
def test_a_steady_count_has_its_rate_however_long_it_goes_on(start: int, each: int, looks: int) -> None:
    rates = Rates()
    for look in range(looks):
        rates.note(Counts(*(start + look * each * factor for factor in range(5))), look * SECOND // 2)
    assert rates.per_second() == tuple(2.0 * each * factor for factor in range(5))


def test_what_is_longer_ago_than_the_span_is_forgotten() -> None:
    rates = Rates()
    rates.note(Counts(0, 0, 0, 0, 0), 0)
    for look in range(1, 30):
        rates.note(Counts(1000, 0, 0, 0, 0), look * SECOND // 2)
    assert rates.per_second()[0] == 0.0


@given(st.lists(st.integers(0, 10**9), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values_with_enough_at_or_below_it(values: list[int], share: float) -> None:
    values.sort()
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
