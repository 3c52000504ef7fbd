"""Gaps and survival: what answers and sessions say of a failure."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.failover.judging import (
    AGES,
    HANDSHAKE,
    SETTLED,
    Reading,
    Summary,
    by_age,
    expected_loss,
    longest_gap,
    loss_of_lifetime,
    reasons,
    steps_for,
    summary,
    survival,
)
from tests.effort import examples

MS = 1_000_000


def every(step: int, since: int, until: int) -> list[int]:
    return list(range(since * MS, until * MS, step * MS))


def test_the_gap_is_the_longest_pause_that_ends_after_the_failure() -> None:
    times = [*every(5, 0, 100), *every(5, 130, 400), *every(5, 600, 1000)]
    assert longest_gap(times, 200 * MS, 1000 * MS) == 205
    assert longest_gap(times, 110 * MS, 300 * MS) == 35


def test_a_pause_counts_from_the_last_answer_before_the_failure() -> None:
    assert longest_gap([0, 80 * MS, 85 * MS], 40 * MS, 90 * MS) == 80


@pytest.mark.parametrize("times", [[], every(5, 0, 100), [*every(5, 0, 100), 101 * MS]])
def test_a_service_that_does_not_come_back_has_no_gap(times: list[int]) -> None:
    assert longest_gap(times, 100 * MS, 2000 * MS) is None


@examples(100)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=50, unique=True), st.integers(0, 999))
def test_a_gap_is_no_shorter_than_any_pause_after_the_failure(instants: list[int], since: int) -> None:
    times = [instant * MS for instant in sorted(instants)]
    gap = longest_gap(times, since * MS, times[-1])
    pauses = [later - sooner for sooner, later in pairwise(times) if later > since * MS]
    if since >= max(instants):
        assert gap is None
    elif pauses:
        assert gap is not None
        assert gap * MS >= max(pauses)


def test_sessions_are_counted_by_age() -> None:
    reading = Reading(went_on=[HANDSHAKE, 5.0, 50.0, 20_000.0], lost={"reset": [0.0, 500.0], "silent": [HANDSHAKE]})
    ages = by_age([reading, reading])
    assert [(share.went_on, share.of) for share in ages.values()] == [(2, 4), (2, 4), (2, 2), (0, 2), (0, 0), (2, 2)]
    assert ages["handshake"].percent == 50
    assert ages["1 to 10 s"].percent is None
    assert survival([reading]) .of == 5  # no handshakes
    assert survival([reading], SETTLED).went_on == 2
    assert reasons([reading, reading]) == {"reset": 4, "silent": 2}


@examples(50)
@given(st.lists(st.floats(0, 1e6)))
def test_each_age_is_in_one_bucket(ages: list[float]) -> None:
    assert sum(share.of for share in by_age([Reading(went_on=ages)]).values()) == len(ages)
    assert len(AGES) == 6


@pytest.mark.parametrize(("period", "mean", "percent"), [
    (0.1, 1, 4.8), (0.1, 10, 0.5), (1, 1, 36.8), (1, 60, 0.8), (5, 1, 80), (5, 10, 21), (5, 60, 4.1), (30, 600, 2.5)])
def test_the_expected_loss_is_that_of_the_formula(period: float, mean: float, percent: float) -> None:
    assert 100 * expected_loss(mean, period) == pytest.approx(percent, abs=0.6)
    assert expected_loss(mean, period) == pytest.approx(1 - mean / period * (1 - math.exp(-period / mean)))


@pytest.mark.parametrize("mean", [1.0, 10.0, 60.0])
def test_the_measured_loss_is_the_expected_one_when_what_is_younger_than_the_last_telling_is_lost(mean: float) -> None:
    period, chance = 1.0, random.Random(7)
    readings = []
    for kill in range(40):
        told = (kill + 0.5) / 40 * period  # ago
        # The ages are not those of such lifetimes, as they are not in a lab after a failure.
        ages = [chance.uniform(0, 3) for _ in range(500)]
        readings.append(Reading(went_on=[1000 * age for age in ages if age >= told],
                                lost={"reset": [1000 * age for age in ages if age < told]}))
    measured = loss_of_lifetime(readings, mean, steps_for(period))
    assert measured == pytest.approx(expected_loss(mean, period), abs=0.01)


def test_a_loss_is_not_told_where_an_age_was_not_met() -> None:
    assert loss_of_lifetime([Reading(went_on=[100.0])], 1.0, steps_for(1.0)) is None


def test_a_gap_without_end_is_the_worst() -> None:
    assert summary([]) is None
    assert summary([3.0, 1.0, 2.0]) == Summary(2.0, 3.0)
    assert summary([3.0, 1.0]) == Summary(2.0, 3.0)
    assert summary([1.0, None, 2.0]) == Summary(2.0, None)
    assert summary([1.0, None]) == Summary(None, None)
