"""Activation between two ends: both act alike, answers are known by their tags, and nothing waits for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.activation import MOST_ANSWERS, WAIT, Activations, Change, Outcome
from atmdepot.atm.oam import Condition, EndPoint
from atmdepot.wire.oam import ActivationFunction
from atmdepot.wire.oam_messages import Activation, Direction, Request, read
from tests.packets import octet

S = 1_000_000_000
CC = ActivationFunction.CONTINUITY_CHECK
cells = st.builds(Activation, st.sampled_from(ActivationFunction), st.integers(0, 63), st.integers(0, 3), octet,
                  st.integers(0, 15), st.integers(0, 15))


class End:
    """An end that grants what it is told to grant, and keeps what it was to do."""

    def __init__(self, agrees: bool = True, first_tag: int = 1) -> None:
        self.changes: list[Change] = []
        self.outcomes: list[Outcome] = []
        self.activations = Activations(lambda change, _: self.changes.append(change), lambda _: agrees,
                                       first_tag=first_tag)

    def ask(self, direction: Direction = Direction.BOTH, now: int = 0, **more: bool) -> None:
        self.activations.ask(CC, direction, now, self.outcomes.append, **more)

    def hear(self, other: End, now: int = 1) -> list[bool]:
        return [self.activations.receive(cell, now) for payload in other.activations.cells_to_send()
                if isinstance(cell := read(payload), Activation)]


@pytest.mark.parametrize(("direction", "of_a", "of_b"), [
    (Direction.A_TO_B, (True, False), (False, True)), (Direction.B_TO_A, (False, True), (True, False)),
    (Direction.BOTH, (True, True), (True, True))])
@pytest.mark.parametrize("on", [True, False])
def test_both_ends_act(direction: Direction, of_a: tuple[bool, bool], of_b: tuple[bool, bool], on: bool) -> None:
    a, b = End(), End()
    a.ask(direction, on=on)
    assert (b.hear(a), a.hear(b)) == ([True], [True])
    assert (a.changes, b.changes) == ([Change(CC, on, *of_a)], [Change(CC, on, *of_b)])
    assert (a.outcomes, a.activations.next_timer()) == ([Outcome.CONFIRMED], None)


def test_a_denial_changes_nothing() -> None:
    a, b = End(), End(agrees=False)
    a.ask()
    b.hear(a)
    a.hear(b)
    assert (a.changes, b.changes, a.outcomes) == ([], [], [Outcome.DENIED])


def test_no_answer_in_5_s() -> None:
    a, b = End(), End()
    a.ask(now=S)
    assert a.activations.next_timer() == S + WAIT
    b.hear(a)
    a.activations.handle_timer(S + WAIT - 1)
    assert a.outcomes == []
    a.activations.handle_timer(S + WAIT)
    assert (a.outcomes, a.hear(b), a.changes) == ([Outcome.NO_ANSWER], [False], [])
    a.ask(now=9 * S)
    b.hear(a)
    assert a.hear(b) == [True]
    assert a.outcomes == [Outcome.NO_ANSWER, Outcome.CONFIRMED]
    assert len(a.changes) == 1


def test_both_may_ask_at_once() -> None:
    a, b = End(), End(first_tag=1)
    a.ask(Direction.A_TO_B)
    b.ask(Direction.A_TO_B)
    from_a, from_b = (end.activations.cells_to_send() for end in (a, b))
    for end, heard in ((a, from_b), (b, from_a)):
        for payload in heard:
            cell = read(payload)
            assert isinstance(cell, Activation)
            assert end.activations.receive(cell, 1)
    assert (a.hear(b), b.hear(a)) == ([True], [True])
    assert a.changes == b.changes == [Change(CC, True, False, True), Change(CC, True, True, False)]


def test_one_question_about_a_function_at_a_time() -> None:
    a = End()
    a.ask()
    with pytest.raises(ValueError, match="continuity_check is open"):
        a.ask()
    a.activations.ask(ActivationFunction.FORWARD, Direction.BOTH, 0, a.outcomes.append, blocks=(1, 2))
    with pytest.raises(ValueError, match="4 bits"):
        End().activations.ask(CC, Direction.BOTH, 0, a.outcomes.append, blocks=(16, 0))


@given(st.lists(cells, max_size=40))
def test_whatever_comes_is_taken_or_refused(heard: list[Activation]) -> None:
    end = End(first_tag=7)
    end.ask()
    end.activations.cells_to_send()
    for cell in heard:
        end.activations.receive(cell, 1)
    out = end.activations.cells_to_send()
    assert len(out) <= MOST_ANSWERS
    assert len(end.changes) >= len(out)
    assert len(end.outcomes) <= 1
    if end.outcomes:
        assert any(cell.tag == 7 and cell.message in (Request.ACTIVATION_CONFIRMED, Request.ACTIVATION_DENIED)
                   for cell in heard)


def test_continuity_check_switched_on_from_afar() -> None:
    """The far end sends CC cells because it was asked to; when they stop, this end finds continuity lost."""
    points = [EndPoint(bytes([1]) * 16) for _ in range(2)]
    ends = [Activations(lambda change, now, point=point: (
        point.send_continuity(change.on and change.is_source, now),
        point.check_continuity(change.on and change.is_sink, now))) for point in points]
    ends[0].ask(CC, Direction.B_TO_A, 0, lambda _: None)
    for sender, hearer in ((0, 1), (1, 0)):
        for payload in ends[sender].cells_to_send():
            cell = points[hearer].receive(payload, 0)
            assert isinstance(cell, Activation)
            ends[hearer].receive(cell, 0)
    for now in range(0, 10 * S, S):
        points[1].handle_timer(now)
        for payload in points[1].cells_to_send():
            points[0].receive(payload, now)
        points[0].handle_timer(now)
        assert points[0].conditions == []
    points[0].handle_timer(13 * S)
    assert points[0].conditions == [Condition.LOC]
