"""Medians, spreads, and ratios within rounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.figures import Target
from atmdepot.bench.samples import Samples, Spread, quartiles_of, spread_of

RATES = st.floats(0.001, 1e9)
ROUNDS = st.lists(st.tuples(st.none() | RATES, st.none() | RATES), min_size=1, max_size=9)


def made(above: list[float | None], below: list[float | None]) -> Samples:
    samples = Samples(len(above))
    for name, taken in (("depot", above), ("haproxy", below)):
        for number, value in enumerate(taken, 1):
            if value is not None:
                samples.add("new", name, number, value)
    return samples


OVER, UNDER = ("new", "depot"), ("new", "haproxy")


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    """Not the ratio of the medians: the machine may have been slow in a round, for both."""
    samples = made([10.0, 100.0, 30.0], [20.0, 100.0, 10.0])
    assert samples.ratio(OVER, UNDER) == Spread(median=1.0, least=0.5, most=3.0)
    assert samples.spread(*OVER) == Spread(median=30.0, least=10.0, most=100.0)


def test_a_round_without_a_sample_has_no_ratio() -> None:
    samples = made([10.0, None, 30.0], [20.0, 100.0, None])
    assert samples.of(*OVER) == [10.0, None, 30.0]
    assert samples.ratio(OVER, UNDER) == Spread(0.5, 0.5, 0.5)
    assert made([None, 5.0], [5.0, None]).ratio(OVER, UNDER) is None
    assert made([5.0], [0.0]).ratio(OVER, UNDER) is None


def test_a_missing_sample_has_no_spread() -> None:
    samples = Samples(3)
    assert samples.of("new", "depot") == []
    assert samples.spread("new", "depot") is None
    assert samples.ratio(OVER, UNDER) is None
    assert samples.contenders(["depot", "haproxy"]) == []
    samples.add("new", "haproxy", 3, 1.0)
    assert samples.of("new", "haproxy") == [None, None, 1.0]
    assert samples.contenders(["depot", "haproxy"]) == ["haproxy"]


def test_the_value_of_a_target() -> None:
    samples = made([10.0, 40.0], [20.0, 20.0])
    assert samples.value(Target("a", "", OVER, UNDER, 1, 2)) == 1.25
    assert samples.value(Target("a", "", OVER, None, 1, 2)) == 25.0
    assert samples.value(Target("a", "", OVER, ("new", "nobody"), 1, 2)) is None
    assert samples.value(Target("a", "", ("old", "depot"), None, 1, 2)) is None


@pytest.mark.parametrize(("taken", "quartiles"), [
    ([], None), ([None], None), ([4.0], (4.0, 4.0)), ([None, 4.0, 8.0], (5.0, 7.0)),
    ([7.0, 1.0, 5.0, 3.0, 2.0, 6.0, 4.0], (2.5, 5.5)), ([1.0, 100.0, 1.0, 1.0, 1.0], (1.0, 1.0)),
])
def test_quartiles(taken: list[float | None], quartiles: tuple[float, float] | None) -> None:
    assert quartiles_of(taken) == quartiles


@given(st.lists(RATES, min_size=1))
def test_a_quarter_of_the_samples_lies_beyond_each_quartile(taken: list[float]) -> None:
    found = quartiles_of([*taken])
    assert found is not None
    lower, upper = found
    assert min(taken) <= lower * (1 + 1e-9)
    assert upper <= max(taken) * (1 + 1e-9)
    quarter = math.ceil((len(taken) - 1) / 4)
    assert sum(one * (1 + 1e-9) < lower for one in taken) <= quarter
    assert sum(one > upper * (1 + 1e-9) for one in taken) <= quarter
    assert sum(one <= lower * (1 + 1e-9) for one in taken) >= len(taken) / 4
    assert sum(one * (1 + 1e-9) >= upper for one in taken) >= len(taken) / 4


@given(ROUNDS)
def test_ratios_come_from_complete_rounds(rounds: list[tuple[float | None, float | None]]) -> None:
    samples = made(*(list(column) for column in zip(*rounds, strict=True)))
    whole = [above / below for above, below in rounds if above is not None and below is not None]
    found, back = samples.ratio(OVER, UNDER), samples.ratio(UNDER, OVER)
    if not whole:
        assert found is None
        assert back is None
        return
    assert found is not None
    assert back is not None
    assert (found.least, found.most) == (min(whole), max(whole))
    assert found.least <= found.median <= found.most
    assert sum(one <= found.median for one in whole) * 2 >= len(whole)
    assert back.most == pytest.approx(1 / found.least)


@given(st.lists(st.none() | RATES))
def test_a_spread_covers_the_samples_present(taken: list[float | None]) -> None:
    there = [one for one in taken if one is not None]
    spread = spread_of(taken)
    assert (spread is None) == (not there)
    if spread is not None:
        assert (spread.least, spread.most) == (min(there), max(there))
