"""The index of sessions: all entries of both tables, by the key of their flow.

An entry says itself in which table it stands, so a packet costs one look-up, whatever the table. The index is many
small dicts, since a dict moves all of its entries when it grows: a million at once would hold packets up for 50 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from enum import StrEnum

    from atmdepot.wire.flows import FlowKey

PARTS = 256
"""Dicts: of a million entries each has some 4,000."""
_LAST = PARTS - 1
SORTED = 8_192
"""The most entries that are sorted in one step."""
_number, _table_and_number = attrgetter("number"), attrgetter("table", "number")


class Entry(Protocol):
    """An entry, as its index sees it (`sessions.Session`)."""

    key: FlowKey
    number: int

    @property
    def table(self) -> StrEnum:
        """The table in which it stands."""


class SessionIndex:
    """All entries by key."""

    __slots__ = ("_parts", "count", "over")

    def __init__(self) -> None:
        self.count = 0
        """The number of entries."""
        self.over = 0
        """The number of entries in the secondary table; the tables count them."""
        self._parts: list[dict[FlowKey, Any]] = [{} for _ in range(PARTS)]

    def find(self, key: FlowKey) -> Any:
        """The entry of a flow, or None."""
        part = self._parts[hash(key) & _LAST]
        return part.get(key)

    def enter(self, key: FlowKey, entry: Entry) -> None:
        """Enter an entry under its key."""
        part = self._parts[hash(key) & _LAST]
        before = len(part)
        part[key] = entry
        self.count += len(part) - before

    def leave(self, key: FlowKey) -> None:
        """Take an entry out."""
        part = self._parts[hash(key) & _LAST]
        del part[key]
        self.count -= 1

    def most_moved(self) -> int:
        """The most entries that the index moves at once when it grows."""
        return max(map(len, self._parts))

    def walk(self) -> Iterator[Any]:
        """Yield all entries: few of them by table, the oldest first; many in no order, so that no step is long.

        Of many, those of a part are yielded that are there at its turn; some may have gone before their own.
        """
        if self.count <= SORTED:
            yield from sorted((entry for part in self._parts for entry in part.values()), key=_table_and_number)
            return
        for part in self._parts:
            yield from list(part.values())

    def newest(self, most: int) -> list[Any]:
        """The newest entries, at most so many, and the newest first; of many the newest of each part, in no order."""
        if self.count <= SORTED:
            return sorted(self.walk(), key=_number, reverse=True)[:most]
        share = most // PARTS + 1
        return [entry for part in self._parts for entry in islice(reversed(part.values()), share)][:most]


class TableView(Mapping["FlowKey", Any]):
    """The entries of one table by key, in the order of their numbers. To go through them takes long: for tests."""

    def __init__(self, index: SessionIndex, table: StrEnum, is_secondary: bool) -> None:
        """Make a view of the primary or the secondary table."""
        self._index = index
        self._table = table
        self._is_secondary = is_secondary

    def __getitem__(self, key: FlowKey) -> Any:
        entry = self._index.find(key)
        if entry is None or entry.table is not self._table:
            raise KeyError(key)
        return entry

    def __iter__(self) -> Iterator[FlowKey]:
        found = [entry for entry in self._index.walk() if entry.table is self._table]
        return iter([entry.key for entry in sorted(found, key=_number)])

    def __len__(self) -> int:
        return self._index.over if self._is_secondary else self._index.count - self._index.over
