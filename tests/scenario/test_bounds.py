from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.scenario.bounds import Bounds, Unit, parse
from tests.effort import examples

NUMBERS = st.integers(0, 10**9)


@examples(50)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_range_holds_what_is_in_it_and_a_tolerance_is_a_range(least: int, wide: int, value: int) -> None:
    most = least + wide
    inside = least <= value <= most
    assert parse(f"{least}..{most}", "count").hold(value) is inside
    assert parse(f">= {least}", "count").hold(value) is (value >= least)
    assert parse(f"<={most}", "count").hold(value) is (value <= most)
    assert parse(f"{least + wide} +- {wide}", "count").hold(value) is (least <= value <= most + wide)
    assert parse(value, "count") == Bounds(str(value), value, value)


@pytest.mark.parametrize(("written", "unit", "good", "bad"), [
    ("<= 200ms", "seconds", 0.2, 0.201), ("1s +- 10%", "seconds", 1.1, 1.11), ("0..1min", "seconds", 60.0, 60.1),
    ("50% +- 5%", "share", 0.45, 0.44), (0.5, "share", 0.5, 0.51), (">= 1e3", "rate", 1000.0, 999.0),
    ("alive", "text", "alive", "dead"), (True, "truth", True, False), (False, "truth", False, True),
    ("100 +- 10%", "count", 90, 89),
])
def test_bounds_of_each_unit(written: object, unit: Unit, good: float | str, bad: float | str) -> None:
    bounds = parse(written, unit)
    assert bounds.hold(good)
    assert not bounds.hold(bad)


@pytest.mark.parametrize(("written", "unit"), [
    ("5", "seconds"), (5, "seconds"), ("5..", "count"), ("9..3", "count"), ("< 3", "count"), ("3ms", "count"),
    (True, "count"), ([], "count"), ({}, "share"), ("x", "truth"), (1, "truth"), (1, "text"), ("-1", "count"),
    ("", "count"), ("9" * 5000, "count"), ("nan", "rate"), ("1 +- ", "count"), (float("nan"), "rate"),
])
def test_what_are_no_bounds_is_refused_with_what_would_be_right(written: object, unit: Unit) -> None:
    with pytest.raises(ValueError, match=r"write (it|true|the lower|\")"):
        parse(written, unit)
