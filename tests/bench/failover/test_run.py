"""The moment of a failure: nobody else may serve by then."""

from __future__ import annotations

import time

import pytest

from atmdepot.bench.failover.cases import CONTENDERS, SIGKILL, Case
from atmdepot.bench.failover.judging import Reading
from atmdepot.bench.failover.run import _wait_for_moment
from atmdepot.bench.readings import NoFigure

CASE = Case(CONTENDERS["warm-1"], SIGKILL, 5)


class Stand:
    """A rig and its party whose depots change their roles by themselves, so many times."""

    patience = 1.0

    def __init__(self, changes: int) -> None:
        self.changes = changes
        self.judged = self.settled = 0

    def moment(self, number: int, of: int) -> float:
        return time.monotonic() + number / of / 100

    def stayed(self) -> bool:
        self.changes -= 1
        return self.changes < 0

    def see(self, _failure: object) -> Reading:
        self.judged += 1
        return Reading()

    def settle(self) -> None:
        self.settled += 1


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_what_a_change_of_roles_has_cost_is_judged_apart(changes: int) -> None:
    it = Stand(changes)
    _wait_for_moment(it, it, CASE, 3)  # type: ignore[arg-type]
    assert (it.judged, it.settled) == (changes, changes)


def test_a_machine_whose_depots_change_roles_again_and_again_gives_no_figure() -> None:
    it = Stand(9)
    with pytest.raises(NoFigure, match="too busy"):
        _wait_for_moment(it, it, CASE, 3)  # type: ignore[arg-type]
