"""Items in the order in which they came, any of which may leave at any time: a list that is linked through them.

An `OrderedDict` does the same at ten times the cost, and the oldest of a plain dict is the more steps away the more
have left before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import Expiring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Chained(Expiring):
    """What can stand in a chain, in one at a time. It calls `stand_alone` when it is made."""

    __slots__ = ("_older", "_younger")

    def stand_alone(self) -> None:
        """Stand in no chain, at first or again."""
        self._older: Chained | None = None
        self._younger: Chained | None = None


class Chain:
    """The items of a chain; each step takes the same time, however many there are."""

    __slots__ = ("_oldest", "_size", "_youngest")

    def __init__(self) -> None:
        self._oldest: Chained | None = None
        self._youngest: Chained | None = None
        self._size = 0

    def add(self, item: Chained) -> None:
        """Enter the youngest; it stands in no chain so far."""
        item._older = self._youngest
        if self._youngest is None:
            self._oldest = item
        else:
            self._youngest._younger = item
        self._youngest = item
        self._size += 1

    def remove(self, item: Chained) -> None:
        """Take out an item that is in this chain."""
        older, younger = item._older, item._younger
        if older is None:
            self._oldest = younger
        else:
            older._younger = younger
        if younger is None:
            self._youngest = older
        else:
            younger._older = older
        item.stand_alone()
        self._size -= 1

    def oldest(self, but: Chained | None = None) -> Any:
        """The oldest item, leaving out one if it is the oldest; None when there is none."""
        oldest = self._oldest
        return oldest._younger if oldest is not None and oldest is but else oldest

    def __iter__(self) -> Iterator[Any]:
        item = self._oldest
        while item is not None:
            yield item
            item = item._younger

    def __len__(self) -> int:
        return self._size
