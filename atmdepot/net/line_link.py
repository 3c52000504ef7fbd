"""A wrapper around any link that gives what it sends a line's rate, delay and impairments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from atmdepot.atm.line import Line


class CellLink(Protocol):
    """What the pump needs of a link. Times in ns."""

    @property
    def wants_write(self) -> bool:
        """Whether cells wait for room."""

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets)."""

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells that are there, of at most so many reads."""

    def flush(self) -> None:
        """Send what waits."""

    def next_timer(self) -> int | None:
        """When `handle_timer` has something to do."""

    def handle_timer(self, now: int) -> None:
        """Send what has become due."""

    def close(self) -> None:
        """Give the link up."""


class LineLink:
    """Cells go through the line first, then, when their time has come, out of the link."""

    def __init__(self, link: CellLink, line: Line) -> None:
        self.link = link
        self.line = line
        self.receive_burst = link.receive_burst
        self.flush = link.flush
        self.fileno = link.fileno
        self.close = link.close

    @property
    def wants_write(self) -> bool:
        """Whether the inner link has cells waiting."""
        return self.link.wants_write

    def send(self, cells: bytes, now: int) -> None:
        """Send cells into the line; those that it lets through at once go out at once."""
        self.line.enter(cells, now)
        self.handle_timer(now)

    def next_timer(self) -> int | None:
        """When cells leave the line (ns), or None."""
        return self.line.next_timer()

    def handle_timer(self, now: int) -> None:
        """Send the cells that have come out of the line."""
        if cells := self.line.leave(now):
            self.link.send(cells, now)
