"""An intrusive doubly linked list: items in order of arrival, each of which may leave at any time.

An `OrderedDict` does the same at ten times the cost. In a plain dict the search for the oldest item takes a step for
each item that has left before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import Expiring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Chained(Expiring):
    """An item of at most a single chain at a time. A derived class calls `stand_alone` when it is made."""

    __slots__ = ("_older", "_younger")

    def stand_alone(self) -> None:
        """Clear the links: the item is in no chain, at first or again."""
        self._older: Chained | None = None
        self._younger: Chained | None = None


class Chain:
    """A chain of items; each operation takes constant time."""

    __slots__ = ("_oldest", "_size", "_youngest")

    def __init__(self) -> None:
        self._oldest: Chained | None = None
        self._youngest: Chained | None = None
        self._size = 0

    def add(self, item: Chained) -> None:
        """Append an item as the youngest; it must be in no chain."""
        item._older = self._youngest
        if self._youngest is None:
            self._oldest = item
        else:
            self._youngest._younger = item
        self._youngest = item
        self._size += 1

    def remove(self, item: Chained) -> None:
        """Remove an item, which must be in this chain."""
        older, younger = item._older, item._younger
        if older is None:
            self._oldest = younger
        else:
            older._younger = younger
        if younger is None:
            self._youngest = older
        else:
            younger._older = older
        item.stand_alone()  # `add` sets only the link to the older item
        self._size -= 1

    def oldest(self, but: Chained | None = None) -> Any:
        """The oldest item other than `but`; None when the chain has no other item."""
        oldest = self._oldest
        return oldest._younger if oldest is not None and oldest is but else oldest

    def __iter__(self) -> Iterator[Any]:
        item = self._oldest
        while item is not None:
            yield item
            item = item._younger

    def __len__(self) -> int:
        return self._size
