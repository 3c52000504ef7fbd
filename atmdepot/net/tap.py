"""A bounded look at the cells on a node's links; it never holds up the data path."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from atmdepot.wire.cell import CELL_SIZE


class Seen(NamedTuple):
    """A train as it passed: wall-clock time in ns, link, direction (`in` or `out`) and whole cells."""

    time: int
    link: str
    direction: str
    cells: bytes


class Tap:
    """Keeps up to `limit` cells; those that come after are counted in `missed`."""

    def __init__(self, limit: int) -> None:
        self.trains: deque[Seen] = deque()
        self.room = limit
        self.missed = 0

    def record(self, seen: Seen) -> None:
        """Keep a train, or the part of it that there is room for."""
        count = len(seen.cells) // CELL_SIZE
        kept = min(count, self.room)
        self.room -= kept
        self.missed += count - kept
        if kept:
            self.trains.append(seen._replace(cells=seen.cells[:kept * CELL_SIZE]))
