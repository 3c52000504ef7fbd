"""Turns and the time that is left."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.progress import Teller
from atmdepot.bench.schedule import TimeLeft, in_words, order

NAMES = st.lists(st.text(min_size=1, max_size=3), max_size=8, unique=True)
NUMBERS = st.integers(0, 100)


@given(NAMES, NUMBERS, NUMBERS)
def test_everyone_has_one_turn(names: list[str], round_number: int, load_number: int) -> None:
    assert sorted(order(names, round_number, load_number)) == sorted(names)


@given(NAMES.filter(lambda names: len(names) > 1), NUMBERS)
def test_the_order_changes_from_round_to_round_and_load_to_load(names: list[str], number: int) -> None:
    if len(names) > 2:
        assert order(names, number, 0) != order(names, number + 1, 0)
    assert order(names, number, 0) != order(names, number, 1)


@given(NAMES.filter(bool), st.booleans())
def test_everyone_is_first_equally_often(names: list[str], backwards: bool) -> None:
    rounds = range(int(backwards), 2 * len(names), 2)
    first = [order(names, round_number, load)[0] for round_number in rounds for load in range(len(names))]
    assert {first.count(name) for name in names} == {len(names)}


def test_the_order_of_contenders_changes_each_round() -> None:
    turns = [order("abcd", round_number, 0) for round_number in range(1, 4)]
    assert {turn[turn.index("b") - 1] for turn in turns if turn[0] != "b"} == {"a", "c"}


def test_the_time_left_is_expected_at_first_and_measured_later() -> None:
    left = TimeLeft(100)
    assert left.seconds == 100
    left.passed(20, 30)
    assert left.seconds == 120
    left.spared(40)
    assert left.seconds == 60
    left.passed(40, 60)
    assert left.seconds == 0
    left.passed(10, 10)
    assert left.seconds == 0


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59.4, "59 s"), (59.5, "1 min 0 s"), (190, "3 min 10 s")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_where_there_is_no_terminal_progress_is_lines() -> None:
    stream = StringIO()
    with Teller(300, stream) as teller:
        teller.tell("begin [here]")
        teller.passed(100, 50)
        teller.end_of("round 1", "depot 17")
        teller.spared(190)
        teller.end_of("round 2", "depot failed")
    assert stream.getvalue().splitlines() == [
        "begin [here]", "round 1: depot 17; 1 min 40 s left", "round 2: depot failed; 5 s left"]
