"""The last cells of each link, for at most a minute and in a bounded number."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.trace.items import Cell

AGE = 60_000_000_000
"""Nanoseconds for which a cell is kept."""
MOST = 4096
"""Cells that are kept of a link at most, of both directions together."""


class CellMemory:
    """The cells that were seen, each as its sender saw it."""

    def __init__(self) -> None:
        self._links: dict[str, deque[Cell]] = {}

    def add(self, cell: Cell) -> None:
        """Keep a cell, and let the oldest go."""
        kept = self._links.setdefault(cell.link, deque(maxlen=MOST))
        kept.append(cell)
        while kept and kept[0].time < cell.time - AGE:
            kept.popleft()

    def last(self, keep: Callable[[Cell], bool], *, until: int, most: int, link: str | None = None) -> list[Cell]:
        """The last cells up to a time (ns) that are to be kept, the oldest first; of all links, or of one."""
        links = self._links.values() if link is None else [self._links.get(link, deque())]
        found: list[Cell] = []
        for kept in links:
            found += reversed(list(_some((cell for cell in reversed(kept) if cell.time <= until and keep(cell)), most)))
        found.sort(key=lambda cell: cell.time)
        return found[-most:]


def _some(cells: Iterator[Cell], most: int) -> Iterator[Cell]:
    for _, cell in zip(range(most), cells, strict=False):
        yield cell
