from __future__ import annotations

import pytest

from atmdepot.net.tap import Seen, Tap
from atmdepot.wire.cell import CELL_SIZE
from tests.net.ends import cells_of


def train(count: int, first: int = 0) -> Seen:
    return Seen(1, "lnk", "in", cells_of(count, first))


@pytest.mark.parametrize(("limit", "trains", "kept", "missed"), [
    (10, [3, 4], [3, 4], 0),
    (7, [3, 4], [3, 4], 0),
    (6, [3, 4], [3, 3], 1),
    (3, [3, 4, 5], [3], 9),
    (1, [3], [1], 2),
    (0, [3], [], 3),
])
def test_it_keeps_as_many_cells_as_it_was_told_and_counts_the_others(
    limit: int, trains: list[int], kept: list[int], missed: int,
) -> None:
    tap = Tap(limit)
    for number, count in enumerate(trains):
        tap.record(train(count, 100 * number))
    assert [seen.cells for seen in tap.trains] == [
        cells_of(count, 100 * number) for number, count in enumerate(kept)]
    assert (tap.missed, tap.room) == (missed, limit - sum(kept))
    assert all(len(seen.cells) % CELL_SIZE == 0 for seen in tap.trains)


def test_reading_makes_no_room() -> None:
    tap = Tap(3)
    tap.record(train(3))
    tap.trains.clear()
    tap.record(train(1))
    assert (list(tap.trains), tap.missed) == ([], 1)


def test_a_train_keeps_what_was_noted_of_it() -> None:
    tap = Tap(1)
    tap.record(Seen(12, "to-web1", "out", cells_of(2)))
    assert list(tap.trains) == [Seen(12, "to-web1", "out", cells_of(1))]
