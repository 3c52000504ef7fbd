"""The judgement: held against the patent's own figures, and against runs made by hand."""

from __future__ import annotations

import pytest

from atmdepot.bench.patent import words
from atmdepot.bench.patent.judging import judge, knee_of, variation
from atmdepot.bench.patent.plan import Item
from atmdepot.bench.patent.samples import Samples
from tests.bench.patent.made import as_the_patent, sample


def test_the_patents_own_figures_reach_its_improvement() -> None:
    found = judge(as_the_patent())
    assert found.reached is False or found.improvement is not None
    assert found.improvement is not None
    assert found.improvement.median == pytest.approx(92.29 / 34.87)
    assert found.knee is not None
    assert (found.knee.best_at, found.knee.falls_at) == (5, 15)
    assert {(each.size, each.at_once) for each in found.above_two} == {
        ("100B", 10), ("100B", 15), ("100B", 20), ("100B", 25), ("1KB", 20), ("1KB", 25)}
    assert len(found.failed) == 2


def test_without_samples_nothing_is_claimed() -> None:
    found = judge(Samples())
    assert (found.improvement, found.reached, found.knee, found.above_two) == (None, None, None, [])
    told = list(words.statement(found, Samples(), 1000))
    assert len(told) == 1
    assert "reached" not in told[0]


@pytest.mark.parametrize(("depot", "verdict"), [(2.7, "so it is reached"), (1.9, "so it is not reached")])
def test_the_verdict_follows_the_figures(depot: float, verdict: str) -> None:
    samples = Samples([sample(Item("tables", "B", "single").key, 100.0),
                       sample(Item("tables", "B", "depot").key, 100.0 * depot)])
    told = " ".join(words.statement(judge(samples), samples, 1000))
    assert verdict in told
    assert ("No test has a ratio above 2" in told) == (depot < 2)


def test_the_longer_run_is_told_beside_the_quoted_one() -> None:
    rows = {("single", 0.0): 100.0, ("depot", 0.0): 300.0, ("single", 2.5): 100.0, ("depot", 2.5): 190.0}
    samples = Samples([sample(Item("tables", "B", system, seconds=seconds).key, rate)
                       for (system, seconds), rate in rows.items()])
    found = judge(samples)
    assert found.improvement is not None
    assert found.improvement_long is not None
    assert (found.improvement.median, found.improvement_long.median) == pytest.approx((3.0, 1.9))


@pytest.mark.parametrize(("rates", "best", "falls"), [
    ({1: 50.0, 5: 100.0, 10: 95.0, 20: 40.0}, 5, 20),
    ({1: 50.0, 5: 100.0, 10: None}, 5, 10),
    ({1: 50.0, 5: 100.0}, 5, None),
    ({1: 100.0, 5: 89.0, 10: 99.0}, 1, None),
    ({1: 100.0, 5: 89.0, 10: 99.0, 15: 89.0, 20: 50.0}, 1, 15),
])
def test_the_knee(rates: dict[int, float | None], best: int, falls: int | None) -> None:
    found = knee_of(rates)
    assert found is not None
    assert (found.best_at, found.falls_at) == (best, falls)


@pytest.mark.parametrize(("at_once", "told"), [(20, "All are at or past the 20"), (5, "0 of 1 are at or past the 20")])
def test_more_than_two_is_told_with_its_place_beside_the_knee(at_once: int, told: str) -> None:
    rates = {("single", 5): 100.0, ("single", 20): 40.0, ("depot", 20): 60.0} | {("depot", at_once): 250.0}
    samples = Samples([sample(Item("tables", "B", system, at_once=number).key, rate)
                       for (system, number), rate in rates.items()])
    assert told in " ".join(words.statement(judge(samples), samples, 1000))


def test_no_rate_has_no_knee() -> None:
    assert knee_of({1: None}) is None


def test_the_variation_of_shares() -> None:
    assert variation([5, 5]) == 0
    assert variation([10, 0]) == 1
    assert variation([]) == variation([0, 0]) == 0
    assert variation([75, 25]) == pytest.approx(0.5)


def test_a_method_that_is_better_than_the_depot_is_named() -> None:
    rates = {"depot": 100.0, "haproxy": 120.0, "hash": 50.0}
    samples = Samples([sample(Item("prior-art", "B", method, seconds=2.5, clients=20, dear=True).key, rate)
                       for method, rate in rates.items()])
    told = list(words.where_the_depot_loses(samples))
    assert len(told) == 1
    assert "HAProxy ×1.20" in told[0]
    assert "hash" not in told[0]
    assert "20 client addresses, unequal" in told[0]
