"""The plan: every test of the patent's tables, each with a key of its own, in time."""

from __future__ import annotations

import pytest

from atmdepot.bench.patent.plan import DEPOT_METHODS, METHODS, PARTS, QUICK, WHOLE, plan
from atmdepot.bench.patent.tables import AT_ONCE, SIZES, SYSTEMS
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import of, quick, small

MINUTE = 60


@pytest.mark.parametrize("size", [WHOLE, QUICK], ids=["whole", "quick"])
def test_no_two_tests_have_one_key(size: object) -> None:
    keys = [item.key for item in of(size).items]  # type: ignore[arg-type]
    assert len(set(keys)) == len(keys)


def test_the_whole_has_every_test_of_the_tables_in_both_regimes_and_lengths() -> None:
    tables = [item for item in of().items if item.part == "tables"]
    assert len(tables) == 2 * 2 * len(SIZES) * len(AT_ONCE) * len(SYSTEMS)
    assert {item.requests for item in tables} == {1000}


def test_one_pass_is_expected_to_take_less_than_a_quarter_of_an_hour() -> None:
    assert of().expected({}) < 15 * MINUTE
    assert of(passes=3).expected({}) > 2 * of().expected({})


def test_what_is_done_is_not_expected_again() -> None:
    whole = quick()
    assert whole.expected({item.key: 1 for item in whole.items}) == 0
    assert 0 < whole.expected({whole.items[0].key: 1}) < whole.expected({})


def test_the_prior_art_meets_each_method_in_each_situation() -> None:
    items = [item for item in of().items if item.part == "prior-art"]
    assert len(items) == len(METHODS) * 2 * 2
    assert set(DEPOT_METHODS) < {item.system for item in items}


def test_a_part_without_a_test_in_the_regime_is_refused() -> None:
    with pytest.raises(AtmdepotError, match="no test"):
        plan(small(), ["knee"], ["A"], WHOLE, 1)
    assert all(part in PARTS for part in {item.part for item in quick().items})
